"""Answers to the golden cases of metanetworks."""

from typing import Any

from graphlab.conformance import Case, Results, adapter
from graphlab.weightgraph.layouts.parameter_graph import (
    Conv,
    Layer,
    Linear,
    Norm,
    ResidualAttention,
    ResidualConv,
    ResidualFFN,
    SetLinear,
    TriplanarGrid,
    edge_features,
    node_features,
    parameter_graph,
)


@adapter("metanetworks", "parameter_graph")
def parameter_graphs(case: Case) -> Results:
    layers = [layer for layer in map(_declare, case.config["layers"]) if layer is not None]
    results = {}
    for prefix, selfloop in (("", False), ("selfloop_", True)):
        if f"{prefix}x" in case.outputs:
            wiring = parameter_graph(layers, selfloop=selfloop)
            results[f"{prefix}x"] = node_features(wiring)
            results[f"{prefix}edge_index"] = wiring.edge_index()
            results[f"{prefix}edge_attr"] = edge_features(wiring, case.params)
    back = parameter_graph(layers).read_back(case.inputs["edge_values"].unsqueeze(1), case.params)
    for number, layer in enumerate(layers):
        for place, name in enumerate(layer.parameters):
            results[f"inverse/{number}.{place}"] = back[name]
    return Results(results)


def _declare(entry: dict[str, Any]) -> Layer | None:
    """A layer of the case's list; ``None`` for one without parameters."""
    name = str(entry["index"])
    match entry:
        case {"type": "Linear", "in_features": reads, "out_features": makes, "bias": bias}:
            return Linear(name, reads, makes, bias)
        case {"type": "Conv1d" | "Conv2d" | "Conv3d", "in_channels": reads, "out_channels": makes, "kernel": kernel}:
            return Conv(name, reads, makes, tuple(kernel), entry["bias"])
        case {"type": "BatchNorm1d" | "BatchNorm2d" | "BatchNorm3d", "features": width, "affine": True}:
            return Norm(name, "bn", width)
        case {"type": "InstanceNorm1d" | "InstanceNorm2d" | "InstanceNorm3d", "features": width, "affine": True}:
            return Norm(name, "in", width)
        case {"type": "LayerNorm", "shape": [width]}:
            return Norm(name, "ln", width)
        case {"type": "GroupNorm", "channels": width}:
            return Norm(name, "gn", width)
        case {"in_channels": reads, "channels": makes, "projected_shortcut": projected}:
            return ResidualConv(name, reads, makes, projected)
        case {"embed_dim": width}:
            return ResidualAttention(name, width)
        case {"d_model": width, "d_ff": inner}:
            return ResidualFFN(name, width, inner)
        case {"type": "EquivariantSetLinear", "in_dim": reads, "out_dim": makes}:
            return SetLinear(name, reads, makes)
        case {"type": "TriplanarGrid", "tensor_shape": shape}:
            return TriplanarGrid(name, tuple(shape))
    return None
