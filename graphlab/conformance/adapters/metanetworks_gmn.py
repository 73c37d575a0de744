"""Answers to the golden cases of graph metanetworks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data

from graphlab.conformance import Case, Results, adapter
from graphlab.nn.models.gmn import GMN, MPNN, FeatureEncoder, Graph, ResidualMPNN, explicit, read
from graphlab.nn.models.gmn.networks import (
    READERS,
    EquivariantSetLinear,
    ImageToSequence,
    ImageToSignal,
    MeanOverSequence,
    ResidualConvBlock,
    ResidualFFN,
    ResidualSelfAttention,
)
from graphlab.nn.models.gmn.passes import started, value_map
from graphlab.weightgraph.layouts.parameter_graph import parameter_graph


@adapter("metanetworks", "gmn_forward")
def gmn_forward(case: Case) -> Results:
    model, data = _model(case).eval(), _data(case)
    graph = model.read(data)
    x, start = model.encode(graph)
    gnn_x, gnn_edge = model.gnn_w_readout.gnn(model.messages(graph), x, start)
    logits = model(data)
    return Results(
        {
            "encoded_x": x,
            "encoded_edge": torch.cat(started(graph, start(None))),
            "gnn_x": gnn_x,
            "gnn_edge": torch.cat(gnn_edge),
            "logits": logits,
            "out": logits.sigmoid(),
        }
    )


@adapter("metanetworks", "gmn_train")
def gmn_train(case: Case) -> Results:
    model, data, targets = _model(case).train(), _data(case), case.inputs["y"]
    optimizer = torch.optim.Adam(model.parameters(), lr=case.config["lr"])
    losses, results = [], {}
    for step in range(case.config["steps"]):
        optimizer.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(model(data), targets)
        loss.backward()
        if step == 0:
            results = {f"grad0/{name}": own.grad.clone() for name, own in model.named_parameters() if own.grad is not None}
        losses.append(loss.detach())
        optimizer.step()
    return Results(results | {"losses": torch.stack(losses), "final_out": model(data).sigmoid()})


@adapter("metanetworks", "gmn_plain_mpnn")
def gmn_plain_mpnn(case: Case) -> Results:
    config, data = case.config, _data(case)
    sizes = (config[name] for name in ("node_in", "edge_in", "hidden", "node_out", "edge_out", "layers"))
    model = MPNN(*sizes, batch_norm=config["batch_norm"], aggregation=config["reduce"]).to(data.x.dtype).eval()
    model.load_state_dict(case.params)
    x, (edge_attr,) = model(Graph.of_list(data.x, data.edge_index, data.edge_attr), data.x, value_map)
    return Results({"x": x, "edge_attr": edge_attr})


def _model(case: Case) -> GMN:
    config = case.config
    options = {name: config[name] for name in _OPTIONS if name in config}
    model = GMN(config["hidden_dim"], config["num_gnn_layers"], config["out_dim"], **options)
    model.to(case.inputs["edge_attr"].dtype).load_state_dict(case.params)
    return model


_OPTIONS = (
    "gnn_type",
    "num_heads",
    "undirected",
    "pool_type",
    "readout_layers",
    "pre_encoder",
    "pre_encoder_norms",
    "pre_encoder_post_activation",
    "pre_encoder_ff",
)


def _data(case: Case) -> Data:
    inputs: dict[str, Any] = {name: case.inputs[name] for name in ("x", "edge_index", "edge_attr", "batch") if name in case.inputs}
    return Data(**inputs)


@adapter("metanetworks", "gmn_equivariance")
def gmn_equivariance(case: Case) -> Results:
    config = case.config
    hidden, dtype = config["hidden"], case.inputs["net_input"].dtype
    encoder = FeatureEncoder(hidden).to(dtype)
    gnn = ResidualMPNN(hidden, hidden, hidden, config["edge_out_dim"], config["gnn_layers"]).to(dtype)
    net = nn.Sequential(*map(_module, config["layers"])).to(dtype).eval()
    encoder.load_state_dict(_under(case, "encoder/"))
    gnn.load_state_dict(_under(case, "gnn/"))
    wiring, results = parameter_graph(net, readers=READERS), {}
    for folder, suffix in (("net/", ""), ("net_permuted/", "_permuted")):
        net.load_state_dict(_under(case, folder))
        graph = read(explicit(wiring, net.state_dict()))
        along = graph.both_ways() if config["undirected"] else graph
        nodes, edges = gnn(along, encoder.nodes(graph), functools.partial(encoder.edges, graph))
        results[f"node_features{suffix}"], results[f"edge_features{suffix}"] = nodes, torch.cat(edges)
        results[f"pooled{suffix}"] = torch.cat(edges).mean(dim=0, keepdim=True)
        results[f"net_output{suffix}"] = net(case.inputs["net_input"])
    return Results(results)


def _under(case: Case, prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): own for name, own in case.params.items() if name.startswith(prefix)}


def _module(entry: dict[str, Any]) -> nn.Module:
    """A module of the case's list, without its parameters."""
    kind = entry["type"].partition("(")[0]
    match entry:
        case {"type": "Linear", "in_features": reads, "out_features": makes, "bias": bias}:
            return nn.Linear(reads, makes, bias)
        case {"in_channels": reads, "out_channels": makes, "kernel": kernel, "bias": bias}:
            return cast(nn.Module, getattr(nn, kind)(reads, makes, kernel, bias=bias))
        case {"features": width, "affine": affine}:
            return cast(nn.Module, getattr(nn, kind)(width, affine=affine))
        case {"type": "LayerNorm", "shape": shape}:
            return nn.LayerNorm(shape)
        case {"groups": groups, "channels": width}:
            return nn.GroupNorm(groups, width)
        case {"in_channels": reads, "channels": makes, "projected_shortcut": projected}:
            return ResidualConvBlock(reads, makes, projected)
        case {"embed_dim": width, "num_heads": heads}:
            return ResidualSelfAttention(width, heads)
        case {"d_model": width, "d_ff": inner}:
            return ResidualFFN(width, inner)
        case {"in_dim": reads, "out_dim": makes}:
            return EquivariantSetLinear(reads, makes)
    return _WITHOUT_PARAMETERS[kind]()


_WITHOUT_PARAMETERS: dict[str, Callable[[], nn.Module]] = {
    "ReLU": nn.ReLU,
    "GELU": nn.GELU,
    "Flatten": nn.Flatten,
    "Dropout1d": nn.Dropout1d,
    "AdaptiveAvgPool1d": functools.partial(nn.AdaptiveAvgPool1d, 1),
    "AdaptiveAvgPool2d": functools.partial(nn.AdaptiveAvgPool2d, 1),
    "AdaptiveAvgPool3d": functools.partial(nn.AdaptiveAvgPool3d, 1),
    "AvgPoolSeq": MeanOverSequence,
    "ImageTo1D": ImageToSignal,
    "Imageto1DSeq": ImageToSequence,
}
