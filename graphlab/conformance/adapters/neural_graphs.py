"""Answers to the golden cases of neural graphs."""

from typing import Any

from torch import Tensor

from graphlab.conformance import Case, Results, adapter
from graphlab.nn.models.neural_graphs import GraphConstructor, Statistics
from graphlab.nn.models.wild_park import WildParkCNN
from graphlab.weightgraph.data import to_data
from graphlab.weightgraph.layouts.neural_graph import (
    both_ways,
    degree_histogram,
    dense,
    fixed_edge_index,
    input_first,
    last_map,
    linear_edges,
    mlp_layers,
    neural_graph,
    nonzero_mask,
)
from graphlab.weightgraph.wiring import Wiring


@adapter("neural_graphs", "graph_mlp")
def graph_mlp(case: Case) -> Results:
    layout, config, inputs = case.document["layer_layout"], case.config, case.inputs
    layers = mlp_layers(layout)
    weights, biases = ([inputs[f"{kind}.{layer.name}"] for layer in layers] for kind in ("weights", "biases"))
    tensors, wiring = input_first(layout, weights, biases), neural_graph(layers)
    x, edge_attr, edge_index = wiring.node_values(tensors), wiring.edge_values(tensors), wiring.edge_index()
    if case.document.get("stats"):
        x, edge_attr = Statistics(**case.document["stats"]).apply(wiring, x, edge_attr)
    encoder = GraphConstructor(layout[0], len(layout[1:-1]), layout[-1], **_encoder_options(config)).to(x.dtype)
    encoder.load_state_dict(case.params)
    nodes, edges = encoder(x, edge_attr, encoder.labels(wiring), encoder.gpf and encoder.gpf(tensors))
    raw, both = dense(edge_index, edge_attr, wiring.num_nodes), both_ways(edge_index)
    encoded = both if encoder.bidirectional else edge_index
    return Results(
        {
            "node_raw": x,
            "edge_raw": raw,
            "edge_index": edge_index,
            "edge_index_bidirectional": both,
            "degree_histogram": degree_histogram([wiring]),
            "node_features": nodes,
            "edge_features": dense(encoded, edges, wiring.num_nodes, encoder.absent_edge()),
            "mask": nonzero_mask(raw, encoder.bidirectional),
        }
    )


def _encoder_options(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "d_node": config["d_node"],
        "d_edge": config["d_edge"],
        "bidirectional": config.get("rev_edge_features", False),
        "num_frequencies": config.get("sin_emb_dim", 8) if config.get("sin_emb", True) else None,
        "input_layers": config.get("input_layers", 1),
        "pos_embed": config.get("use_pos_embed", True),
        "num_probes": config.get("num_probe_features", 0),
    }


@adapter("neural_graphs", "graph_cnn")
def graph_cnn(case: Case) -> Results:
    kernel, net = case.config["max_kernel_size"], _cnn(case, "net_a")
    results = {"net_a/logits": net(case.inputs["net_a.image"])}
    for as_conv in (True, False):
        wiring = neural_graph(net.declare(), max_kernel=kernel, linear_as_conv=as_conv, residuals=net.residual)
        results |= _graph(wiring, net, f"net_a/linear_as_conv={str(as_conv).lower()}")
        results["net_a/residual_edge_index"] = fixed_edge_index(wiring)
    net = _cnn(case, "net_b")
    wiring = neural_graph(net.declare(), max_kernel=kernel, residuals=net.residual, flatten="channel_last")
    return Results(results | _graph(wiring, net, "net_b/repeat_nodes"))


def _cnn(case: Case, name: str) -> WildParkCNN:
    """A network of the case, with its parameters."""
    config, prefix = case.config[name], f"{name}."
    tensors = {key.removeprefix(prefix): value for key, value in case.inputs.items() if key.startswith(prefix)}
    net = WildParkCNN(
        config["channels"],
        config["kernel_size"],
        config["layer_layout"][-1],
        config.get("residual"),
        config.get("activation"),
        config.get("final_feature_map_size"),
    ).to(tensors["fc.weight"].dtype)
    net.load_state_dict({key: tensors[key] for key in net.state_dict()})
    return net


def _graph(wiring: Wiring, net: WildParkCNN, folder: str) -> dict[str, Tensor]:
    data = to_data(wiring, net.state_dict())
    parts = {
        "x": data.x,
        "edge_index": data.edge_index,
        "edge_attr": data.edge_attr,
        "node_types": data.node_type,
        "mlp_edge_masks": linear_edges(wiring),
        "spatial_embed_mask": last_map(wiring),
    }
    return {f"{folder}/{name}": value for name, value in parts.items()}
