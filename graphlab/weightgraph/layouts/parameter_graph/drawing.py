"""How each layer is drawn; the published construction, quirks included (specification of metanetworks, 2.1 and 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphlab.weightgraph.layouts.layers import (
    Conv,
    Layer,
    Linear,
    Norm,
    ResidualAttention,
    ResidualConv,
    ResidualFFN,
    SetLinear,
    TriplanarGrid,
)
from graphlab.weightgraph.layouts.parameter_graph.pen import Pen
from graphlab.weightgraph.layouts.parameter_graph.types import EdgeType, NodeType
from graphlab.weightgraph.wiring import Block, Nodes, View, Wiring, WiringError


@dataclass(frozen=True)
class Options:
    """What differs from the published construction; see ``parameter_graph``."""

    selfloop: bool = False
    distinct_types: bool = False
    mark_outputs: bool = False
    correct_grid: bool = False


def draw(layers: Sequence[Layer], options: Options) -> Wiring:
    """The wiring of a flat list of layers.

    Raises:
        WiringError: naming the layer, if it cannot be drawn.
    """
    if not layers:
        raise WiringError("no module has parameters: there is nothing to draw")
    pen = Pen(options.selfloop)
    makers = [number for number, layer in enumerate(layers) if not isinstance(layer, Norm)]
    last = makers[-1] if options.mark_outputs and makers else len(layers) - 1
    for number, layer in enumerate(layers):
        _layer(pen, layer, options, number == last)
    return pen.wiring()


def _layer(pen: Pen, layer: Layer, options: Options, last: bool) -> None:
    match layer:
        case Linear():
            pen.enter(layer.name, layer.in_features, NodeType.NEURON)
            pen.current = (_affine(pen, layer, pen.current, pen.layer, last),)
            pen.layer += 1
        case Conv():
            pen.enter(layer.name, layer.in_channels, NodeType.CHANNEL)
            pen.current = (_affine(pen, layer, pen.current, pen.layer, last),)
            pen.layer += 1
        case Norm():
            pen.enter(layer.name, layer.features, NodeType.NEURON if layer.kind == "ln" else NodeType.CHANNEL)
            _norm(pen, layer, pen.current, pen.layer, ordered=last)
        case ResidualConv():
            _refuse_selfloop(pen, layer)
            _residual_conv(pen, layer, last)
        case ResidualAttention():
            _refuse_selfloop(pen, layer)
            _residual_attention(pen, layer, options.distinct_types, last)
        case ResidualFFN():
            _residual_ffn(pen, layer, last)
        case SetLinear():
            _set_linear(pen, layer, options.distinct_types, last)
        case TriplanarGrid():
            _triplanar_grid(pen, layer, options.correct_grid)


def _affine(pen: Pen, layer: Linear | Conv, sources: Sequence[Nodes], at: int, ordered: bool) -> Nodes:
    """New activations of layer ``at + 1``, a weight onto them and perhaps a bias."""
    if isinstance(layer, Linear):
        target = pen.nodes(layer.name, layer.out_features, NodeType.NEURON, at + 1, ordered)
        pen.weight(f"{layer.name}.weight", sources, target, EdgeType.LIN_WEIGHT, at)
        unit, bias = NodeType.BIAS, EdgeType.LIN_BIAS
    else:
        target = pen.nodes(layer.name, layer.out_channels, NodeType.CHANNEL, at + 1, ordered)
        pen.weight(f"{layer.name}.weight", sources, target, EdgeType.CONV_WEIGHT, at, layer.kernel)
        unit, bias = NodeType.CHANNEL_BIAS, EdgeType.CONV_BIAS
    if layer.bias:
        pen.unit(f"{layer.name}.bias", (target,), (unit, bias), (at + 1, at))
    return target


def _norm(pen: Pen, layer: Norm, targets: Sequence[Nodes], at: int, ordered: bool = False) -> None:
    for present, parameter, part in ((layer.weight, "weight", "GAMMA"), (layer.bias, "bias", "BETA")):
        if present:
            kind = f"{layer.kind.upper()}_{part}"
            pen.unit(f"{layer.name}.{parameter}", targets, (NodeType[kind], EdgeType[kind]), (at, at), ordered)


def _residual_conv(pen: Pen, layer: ResidualConv, last: bool) -> None:
    """Unlike norms at top level, those inside have the layer number of the convolution before them."""
    pen.enter(layer.name, layer.in_channels, NodeType.CHANNEL)
    (conv1, bn1), (conv2, bn2) = layer.branch
    start, shortcut = pen.layer, pen.current
    inner = _affine(pen, conv1, pen.current, start, ordered=False)
    _norm(pen, bn1, (inner,), start)
    out = _affine(pen, conv2, (inner,), start + 1, last)
    _norm(pen, bn2, (out,), start + 1)
    if layer.shortcut:
        conv, norm = layer.shortcut
        shortcut = (_affine(pen, conv, pen.current, start + 1, ordered=False),)
        _norm(pen, norm, shortcut, start + 1)
    pen.residual(shortcut, out, start)
    pen.current = (out,)
    pen.layer += 2


def _residual_attention(pen: Pen, layer: ResidualAttention, distinct: bool, last: bool) -> None:
    """Queries, keys and values all end at the same nodes."""
    pen.enter(layer.name, layer.embed_dim, NodeType.NEURON)
    start, (weight, bias) = pen.layer, layer.packed
    middle = pen.nodes(layer.name, layer.embed_dim, NodeType.ATTENTION_NEURON, start + 1)
    for third, role in enumerate(("QUERY", "KEY", "VALUE")):
        types = (EdgeType[f"{role}_WEIGHT"], EdgeType[f"{role}_BIAS"])
        weight_type, bias_type = types if distinct else (EdgeType.LIN_WEIGHT, EdgeType.LIN_BIAS)
        pen.weight(weight, pen.current, middle, weight_type, start, third=third)
        if layer.bias:
            pen.unit(bias, (middle,), (NodeType.BIAS, bias_type), (start + 1, start), third=third)
    projection = layer.out
    out = pen.nodes(projection.name, layer.embed_dim, NodeType.ATTENTION_NEURON, start + 2, last)
    pen.weight(f"{projection.name}.weight", (middle,), out, EdgeType.LIN_WEIGHT, start + 1)
    if layer.bias:
        layers = (start + 2, start + 1)
        pen.unit(f"{projection.name}.bias", (out,), (NodeType.BIAS, EdgeType.LIN_BIAS), layers)
    pen.residual(pen.current, out, start)
    pen.current = (out,)
    pen.layer += 2


def _residual_ffn(pen: Pen, layer: ResidualFFN, last: bool) -> None:
    pen.enter(layer.name, layer.d_model, NodeType.NEURON)
    first, second = layer.branch
    inner = _affine(pen, first, pen.current, pen.layer, ordered=False)
    out = _affine(pen, second, (inner,), pen.layer + 1, last)
    pen.residual(pen.current, out, pen.layer)
    pen.current = (out,)
    pen.layer += 2


def _set_linear(pen: Pen, layer: SetLinear, distinct: bool, last: bool) -> None:
    """Both weights end at the same nodes."""
    pen.enter(layer.name, layer.in_dim, NodeType.NEURON)
    start, (weight, bias, mean_weight) = pen.layer, layer.parameters
    out = pen.nodes(layer.name, layer.out_dim, NodeType.DEEPSETS_NEURON, start + 1, last)
    pen.weight(weight, pen.current, out, EdgeType.LIN_WEIGHT, start, axes=layer.axes)
    pen.unit(bias, (out,), (NodeType.BIAS, EdgeType.LIN_BIAS), (start + 1, start))
    mean_type = EdgeType.SET_MEAN_WEIGHT if distinct else EdgeType.LIN_WEIGHT
    pen.weight(mean_weight, pen.current, out, mean_type, start, axes=layer.axes)
    pen.current = (out,)
    pen.layer += 1


def _triplanar_grid(pen: Pen, layer: TriplanarGrid, correct: bool) -> None:
    """Edges go point by point, values channel by channel; ``correct`` brings values and edges together."""
    if pen.current:
        raise WiringError(f"{layer.name}: a triplanar grid must be the first layer with parameters")
    (parameter,), n, d = layer.parameters, layer.size, layer.features
    xyz = pen.nodes(f"{layer.name} xyz", 3, NodeType.NEURON, 0, ordered=True)
    points = pen.nodes(f"{layer.name} points", 3 * n * n, NodeType.TRIPLANAR, 0, ordered=True)
    features = pen.nodes(layer.name, d, NodeType.TRIPLANAR, 0)
    by_point = View(parameter, (0, 1, 3, 4, 2), unflatten=((1, (3, d)),))
    pen.edges(
        Block(
            points.name,
            features.name,
            shape=(3, n, n, d) if correct else (3 * n * n, d),
            source_axes=(0, 1, 2) if correct else (0,),
            target_axes=(3,) if correct else (1,),
            values=by_point if correct else View(parameter, (0, 1, 2, 3), reinterpreted=True),
            type=EdgeType.TRIPLANAR,
        )
    )
    pen.current = (xyz, features)
    pen.layer += 1


def _refuse_selfloop(pen: Pen, layer: ResidualConv | ResidualAttention) -> None:
    if pen.selfloop:
        raise WiringError(
            f"{layer.name}: {type(layer).__name__} has no drawing with self loops; draw the network with selfloop=False"
        )
