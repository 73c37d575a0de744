"""Answers to the golden cases of models on neural graphs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from graphlab.conformance import Case, Results, adapter
from graphlab.nn.models.neural_graphs import NGGNN, NGT, NGGNNEditor, NGTEditor, graph_data
from graphlab.nn.models.neural_graphs.probes import perceptron_answers
from graphlab.weightgraph.layouts.neural_graph import degree_histogram, dense, input_first, mlp_layers, neural_graph
from graphlab.weightgraph.wiring import Wiring


def encoder_options(config: dict[str, Any], slots: int = 1) -> dict[str, Any]:
    """Options of the encoder by their published names."""
    own = config.get("graph_constructor", {})
    return {
        "slots": slots,
        "bidirectional": config.get("rev_edge_features", False),
        "num_frequencies": own.get("sin_emb_dim", 8) if own.get("sin_emb", True) else None,
        "input_layers": own.get("input_layers", 1),
        "pos_embed": own.get("use_pos_embed", True),
        "num_probes": own.get("num_probe_features", 0),
        "zero_out_weights": own.get("zero_out_weights", False),
        "zero_out_bias": own.get("zero_out_bias", False),
    }


def gnn_options(config: dict[str, Any], wiring: Wiring | None = None) -> dict[str, Any]:
    """Options of the message-passing part by their published names."""
    own = config["gnn_backbone"]
    modulation = ("gate" if own.get("gating_edges") else "film") if own.get("modulate_edges", True) else "none"
    return {
        "degrees": own.get("deg") or degree_histogram([wiring]).tolist(),
        "channels": config["d_hid"],
        "num_layers": own["num_layers"],
        "aggregators": own["aggregators"],
        "scalers": own["scalers"],
        "modulation": modulation,
        "norm": "batch_graph" if own.get("norm", "layernorm") else "none",
        "act": own.get("act", "silu"),
        "act_first": own.get("act_first", False),
        "dropout": own.get("dropout", 0.0),
        "update_edges": own.get("update_edge_attr", True),
        "final_edge_update": own.get("final_edge_update", False),
        "jk": own.get("jk"),
    }


def pooling_options(config: dict[str, Any]) -> dict[str, Any]:
    method, _, layer = config.get("pooling", "cat/last").partition("/")
    return {
        "pooling": config.get("pooling_method", method),
        "pooling_layer": config.get("pooling_layer_idx", layer),
    }


def perceptrons(case: Case, prefix: str = "") -> tuple[Wiring, dict[str, Tensor], Batch]:
    """The drawing of a case's networks, their parameters stacked, and explicit graphs."""
    layout = case.document["layer_layout"]
    layers = mlp_layers(layout)
    lists = ([case.inputs[f"{prefix}{kind}.{layer.name}"] for layer in layers] for kind in ("weights", "biases"))
    tensors, wiring = input_first(layout, *lists), neural_graph(layers)
    count = len(next(iter(tensors.values())))
    members = [{name: tensor[number] for name, tensor in tensors.items()} for number in range(count)]
    return wiring, tensors, Batch.from_data_list([graph_data(wiring, member) for member in members])


def sizes_of(case: Case) -> tuple[int, int, int]:
    layout = case.document["layer_layout"]
    return layout[0], len(layout) - 2, layout[-1]


def load(model: Any, case: Case, prefix: str = "") -> Any:
    params = {name.removeprefix(prefix): value for name, value in case.params.items() if name.startswith(prefix)}
    model.to(next(value.dtype for value in params.values() if value.is_floating_point()))
    model.load_state_dict(params)
    return model.eval()


def alone(model: Any, graphs: Batch, **options: Any) -> Tensor:
    """What a model says of each graph in a batch of its own."""
    singles = [Batch.from_data_list([graph]) for graph in graphs.to_data_list()]
    return torch.cat([model(single, **options) for single in singles])


@adapter("neural_graphs", "gnn_classification")
def gnn_classification(case: Case) -> Results:
    wiring, _, graphs = perceptrons(case)
    model = ng_gnn(case, case.config, wiring)
    trace: dict[str, Tensor] = {}
    count = len(graphs)

    def watch(name: str, made: Any) -> None:
        rows = [own.view(count, -1, own.shape[-1]) for own in made]
        trace[f"trace/{name}"] = torch.cat(rows, dim=1).flatten(0, 1)

    model.embed(graphs, watch=watch)
    return Results(
        trace | encoded(model, graphs) | {"logits": model(graphs), "logits_each_alone": alone(model, graphs)}
    )


def ng_gnn(case: Case, config: dict[str, Any], wiring: Wiring, prefix: str = "") -> NGGNN:
    model = NGGNN(
        *sizes_of(case),
        config["d_out"],
        **gnn_options(config, wiring),
        **pooling_options(config),
        encoder=encoder_options(config),
        statistics=case.document.get("stats"),
    )
    return load(model, case, prefix)


SIZES = ("d_node", "d_edge", "d_attn_hid", "d_node_hid", "d_edge_hid", "n_layers", "n_heads")


def transformer_options(config: dict[str, Any]) -> dict[str, Any]:
    switches = {"modulate_v": True, "use_ln": True, "dropout": 0.0}
    return {name: config[name] for name in SIZES} | {name: config.get(name, own) for name, own in switches.items()}


@adapter("neural_graphs", "ngt_classification")
def ngt_classification(case: Case) -> Results:
    _, _, graphs = perceptrons(case)
    config = case.config
    model = NGT(
        *sizes_of(case),
        config["d_out"],
        **transformer_options(config),
        d_out_hid=config["d_out_hid"],
        disable_edge_updates=config.get("disable_edge_updates", False),
        **pooling_options(config),
        encoder=encoder_options(config),
        statistics=case.document.get("stats"),
    )
    load(model, case)
    trace: dict[str, Tensor] = {}
    model.embed(graphs, watch=lambda name, made: trace.update({f"trace/{name}": made[0]}))
    return Results(trace | encoded(model, graphs) | {"logits": model(graphs)})


@adapter("neural_graphs", "ngt_edit")
def ngt_edit(case: Case) -> Results:
    wiring, tensors, graphs = perceptrons(case)
    model = ng_t_editor(case, case.config)
    return Results(edits(model, wiring, graphs, "delta_biases") | images(case, model, wiring, tensors, graphs))


def ng_t_editor(case: Case, config: dict[str, Any], prefix: str = "") -> NGTEditor:
    model = NGTEditor(
        *sizes_of(case),
        **transformer_options(config),
        normalize=case.document.get("normalize_on_the_way_out", False),
        encoder=encoder_options(config),
        statistics=case.document.get("stats"),
    )
    return load(model, case, prefix)


def encoded(model: Any, graphs: Data) -> dict[str, Tensor]:
    """The features that a model of perceptrons begins with."""
    given, x, edges, states = model.encode(graphs)
    count, encoder = len(given), model.construct_graph
    size = len(x) // count
    index = torch.cat([torch.stack(own.numbers()).view(2, count, -1)[:, 0] for own in edges], dim=1)
    features = torch.cat([state.view(count, -1, state.shape[-1]) for state in states], dim=1)
    found = {
        "node_features": x.view(count, size, -1),
        "edge_features": dense(index, features, size, encoder.absent_edge()),
    }
    if encoder.gpf is not None:
        probes = encoder.gpf.project(encoder.gpf.perceptron(given), given.node_layer, given.depth[given.graph])
        found["probe_features"] = probes.view(count, size, -1)
    return found


@adapter("neural_graphs", "gnn_edit")
def gnn_edit(case: Case) -> Results:
    wiring, tensors, graphs = perceptrons(case)
    config = case.config
    model = NGGNNEditor(
        *sizes_of(case),
        **gnn_options(config, wiring),
        normalize=case.document.get("normalize_on_the_way_out", False),
        encoder=encoder_options(config),
        statistics=case.document.get("stats"),
    )
    load(model, case)
    results = edits(model, wiring, graphs, "delta_biases_aligned")
    model.misread_biases = True
    return Results(results | edits(model, wiring, graphs, "delta_biases") | images(case, model, wiring, tensors, graphs))


def edits(model: Any, wiring: Wiring, graphs: Batch, biases: str) -> dict[str, Tensor]:
    """Changes of the parameters in the published format."""
    changes, said = model.changes(graphs)
    count = len(changes)
    nodes, edges = changes.x.view(count, -1, 1), changes.values[0].view(count, -1, 1)
    results = {"node_out": said.view(count, -1, 1)}
    ranges = [own for own, _ in wiring.node_parts(nodes)]
    for layer, (_, part) in enumerate(wiring.edge_parts(edges)):
        results[f"delta_weights.{layer}"] = part.view(count, ranges[layer].size, ranges[layer + 1].size, 1)
    for layer, (_, part) in enumerate(list(wiring.node_parts(nodes))[1:]):
        results[f"{biases}.{layer}"] = part
    return results


def images(case: Case, model: Any, wiring: Wiring, tensors: dict[str, Tensor], graphs: Batch) -> dict[str, Tensor]:
    """The networks, as given and as changed, at the coordinates of the case."""
    one = {name: tensor[0] for name, tensor in tensors.items()}
    after = [wiring.read_back(own.edge_attr, one, own.x) for own in model(graphs).to_data_list()]
    both = {"before": tensors, "after": {name: torch.stack([own[name] for own in after]) for name in tensors}}
    coordinates = case.given["coordinates"]
    return {f"image_{name}": perceptron_answers(own, coordinates)[-1].transpose(1, 2) for name, own in both.items()}
