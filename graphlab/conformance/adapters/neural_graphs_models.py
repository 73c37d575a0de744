"""Answers to the golden cases of models on neural graphs."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from graphlab.conformance import Case, Results, adapter
from graphlab.nn.models.neural_graphs import (
    ACTIVATIONS,
    NGGNN,
    NGT,
    ModulatedPNAConv,
    NGGNNEditor,
    NGTEditor,
    StatNN,
    graph_data,
)
from graphlab.nn.models.neural_graphs.edges import FlatEdges
from graphlab.nn.models.neural_graphs.graphs import read
from graphlab.nn.models.neural_graphs.matrices import matrices
from graphlab.nn.models.neural_graphs.probes import perceptron_answers
from graphlab.nn.models.neural_graphs.statnn import layer_statistics
from graphlab.nn.models.wild_park import WildParkCNN
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
        trace[f"trace/{name}"] = by_graph(made[0], count, model, name).flatten(0, 1)

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


def by_graph(rows: Tensor, count: int, model: Any, name: str) -> Tensor:
    """``[graphs, rows, channels]``, of edges first all forward, then all reversed."""
    directions = 2 if name.startswith("edge") and model.construct_graph.bidirectional else 1
    return rows.view(directions, count, -1, rows.shape[-1]).transpose(0, 1).flatten(1, 2)


def encoded(model: Any, graphs: Data) -> dict[str, Tensor]:
    """The features that a model of perceptrons begins with."""
    given, x, edges, states = model.encode(graphs)
    count, encoder = len(given), model.construct_graph
    size = len(x) // count
    index = torch.stack([by_graph(end.unsqueeze(1), count, model, "edge")[0, :, 0] for end in edges[0].numbers()])
    features = by_graph(states[0], count, model, "edge")
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


@adapter("neural_graphs", "equivariance")
def equivariance(case: Case) -> Results:
    shared = {"graph_constructor": case.config["graph_constructor"]}
    wiring, _, graphs = perceptrons(case)
    _, _, permuted = perceptrons(case, "permuted.")
    editor = ng_t_editor(case, case.config["edit"] | shared, "edit.")
    classifier = ng_gnn(case, case.config["cls"] | shared, wiring, "cls.")
    results = {"cls.logits": classifier(graphs), "cls_permuted.logits": classifier(permuted)}
    for prefix, given in (("edit", graphs), ("edit_permuted", permuted)):
        changes = edits(editor, wiring, given, "delta_biases")
        results |= {f"{prefix}.{name}": value for name, value in changes.items() if name.startswith("delta")}
    return Results(results)


@adapter("neural_graphs", "pna_conv_variants")
def pna_conv_variants(case: Case) -> Results:
    results = {}
    for number, own in enumerate(case.config):
        modulation = ("gate" if own.get("gating_edges") else "film") if own.get("modulate_edges") else "none"
        conv = ModulatedPNAConv(
            own["in_channels"],
            own["out_channels"],
            own["edge_dim"],
            case.inputs[f"{number}.degree_histogram"].tolist(),
            own["aggregators"],
            own["scalers"],
            modulation,
            **{name: own[name] for name in ("towers", "divide_input", "pre_layers", "post_layers", "act") if name in own},
        )
        load(conv, case, f"{number}.")
        x, edge_attr, edge_index = (case.inputs[f"{number}.{name}"] for name in ("x", "edge_attr", "edge_index"))
        results[f"{number}.out"] = conv(x, [FlatEdges(*edge_index, len(x))], [edge_attr])
    return Results(results)


@adapter("neural_graphs", "statnn")
def statnn(case: Case) -> Results:
    model = load(StatNN(case.config["max_num_hidden_layers"], case.config["h_size"]), case)
    graphs = Batch.from_data_list(convolutional(case))
    weights, biases = layer_statistics(read(graphs), model.layers)
    return Results({"weight_stats": weights, "bias_stats": biases, "prediction": model(graphs)})


def convolutional(case: Case) -> list[Data]:
    """Explicit graphs of the convolutional networks of a case."""
    config, graphs = case.config, []
    kernel = config.get("max_kernel_size") or [max(k for own in case.document["networks"] for k in own["kernel_size"])] * 2
    for number, own in enumerate(case.document["networks"]):
        prefix = f"net{number}."
        sizes = (own[key] for key in ("channels", "kernel_size", "n_classes"))
        net = WildParkCNN(*sizes, *(own.get(key) for key in ("residual", "activation", "fmap")))
        tensors = {name.removeprefix(prefix): value for name, value in case.inputs.items() if name.startswith(prefix)}
        wiring = neural_graph(
            net.declare(),
            max_kernel=kernel,
            linear_as_conv=config.get("linear_as_conv", True),
            residuals=net.residual,
            flatten="channel_last" if config.get("flattening_method") else None,
        )
        graphs.append(graph_data(wiring, tensors))
    return graphs


@adapter("neural_graphs", "cnn_model")
def cnn_model(case: Case) -> Results:
    config, graphs = case.config, convolutional(case)
    spatial = case.params.get("construct_graph.spatial_embed")
    encoder = encoder_options(config, prod(config["max_kernel_size"])) | {
        "activations": ACTIVATIONS if config.get("graph_constructor", {}).get("use_act_embed", True) else None,
        "map_size": None if spatial is None else len(spatial),
        "linear_apart": not config.get("linear_as_conv", True),
    }
    sizes = (config["input_channels"], config["max_num_hidden_layers"], config["num_classes"], config["d_out"])
    options = pooling_options(config) | {"encoder": encoder, "padded": True}
    model: Any
    if config["model"].startswith("NG-GNN"):
        degrees = config["gnn_backbone"].get("deg") or config["degree_histogram"]
        model = NGGNN(*sizes, **gnn_options(config) | {"degrees": degrees}, **options)
    else:
        model = NGT(
            *sizes,
            **transformer_options(config),
            d_out_hid=config["d_out_hid"],
            disable_edge_updates=config.get("disable_edge_updates", False),
            head_layers=3,
            pool_rows=True,
            **options,
        )
    load(model, case)
    batch, activations = Batch.from_data_list(graphs), [own.get("activation") for own in case.document["networks"]]
    singles = [model(Batch.from_data_list([one]), [own]) for one, own in zip(graphs, activations, strict=True)]
    results = {"prediction": model(batch, activations), "prediction_each_alone": torch.cat(singles)}
    given, x, edges, _ = model.encode(batch, activations)
    (matrix,) = matrices(given, edges, padded=True)
    results |= {"node_features": matrix.node_rows(x, model.construct_graph.padding()), "node_mask": matrix.nodes >= 0}
    return Results({name: value for name, value in results.items() if name in case.outputs})


@adapter("neural_graphs", "train")
def train(case: Case) -> Results:
    wiring, _, graphs = perceptrons(case)
    model, config, label = ng_gnn(case, case.config, wiring).train(), case.config, case.inputs["label"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=5e-4, amsgrad=True)
    warmup = max(config["warmup_steps"], 1)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / warmup, total_iters=warmup - 1)
    steps = []
    for _ in range(config["steps"]):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(graphs), label)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config["clip_grad_max_norm"])
        steps.append((loss.detach(), norm, torch.tensor(schedule.get_last_lr()[0], dtype=torch.float64)))
        optimizer.step()
        schedule.step()
    results = {name: torch.stack(own) for name, own in zip(("loss", "grad_norm", "lr"), zip(*steps), strict=True)}
    state = model.state_dict()
    results |= {f"final/{name}": value for name, value in state.items()}
    results |= {f"final/{name.removeprefix('construct_graph.')}": value for name, value in state.items()}
    return Results(results | {"final_logits": model.eval()(graphs)})
