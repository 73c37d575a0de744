"""How each layer is drawn (specification of neural_graphs, 2.2 and 2.9); what the specification leaves open is ours."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from graphlab.weightgraph.layouts.layers import Conv, Layer, Linear, Norm, ResidualAttention, ResidualConv, ResidualFFN
from graphlab.weightgraph.layouts.neural_graph.pen import Copies, Flatten, Pen
from graphlab.weightgraph.layouts.neural_graph.types import NodeType
from graphlab.weightgraph.pieces import Nodes, View, WiringError
from graphlab.weightgraph.wiring import Wiring


def draw(
    layers: Sequence[Layer],
    max_kernel: tuple[int, ...] | None,
    linear_as_conv: bool,
    residuals: Sequence[int],
    flatten: Flatten | None,
) -> Wiring:
    """The wiring of a flat list of layers.

    Raises:
        WiringError: naming the layer, if it cannot be drawn.
    """
    if not layers:
        raise WiringError("no module has parameters: there is nothing to draw")
    pen = Pen(_largest_kernel(layers) if max_kernel is None else max_kernel, linear_as_conv)
    ends: list[Nodes] = []
    for layer, following in pairwise((*layers, None)):
        assert layer is not None
        before = pen.current
        pen.current = _layer(pen, layer, _copies(layer, following, flatten))
        if isinstance(layer, Conv):
            ends.append(pen.current)
        elif isinstance(layer, Norm) and ends and ends[-1] == before:
            ends[-1] = pen.current
    _residuals(pen, residuals, ends)
    return pen.wiring()


def _layer(pen: Pen, layer: Layer, copies: Copies | None) -> Nodes:
    match layer:
        case Linear():
            return pen.affine(layer, pen.enter(layer.name, layer.in_features, NodeType.UNIT))
        case Conv():
            return pen.affine(layer, pen.enter(layer.name, layer.in_channels, NodeType.CHANNEL), copies)
        case Norm():
            kind = NodeType.UNIT if layer.kind == "ln" else NodeType.CHANNEL
            return pen.norm(layer, pen.enter(layer.name, layer.features, kind), copies)
        case ResidualConv():
            return _residual_conv(pen, layer, copies)
        case ResidualAttention():
            return _residual_attention(pen, layer)
        case ResidualFFN():
            source = pen.enter(layer.name, layer.d_model, NodeType.UNIT)
            first, second = layer.branch
            out = pen.affine(second, pen.affine(first, source))
            pen.fixed(source, out)
            return out
        case _:
            raise WiringError(f"{layer.name}: {type(layer).__name__} has no drawing as a neural graph")


def _residual_conv(pen: Pen, layer: ResidualConv, copies: Copies | None) -> Nodes:
    """The branch, then the projection if there is one, then what both are added to."""
    source = pen.enter(layer.name, layer.in_channels, NodeType.CHANNEL)
    (conv1, bn1), (conv2, bn2) = layer.branch
    inner = pen.affine(conv2, pen.norm(bn1, pen.affine(conv1, source)))
    if layer.shortcut:
        conv, norm = layer.shortcut
        source = pen.norm(norm, pen.affine(conv, source))
    out = pen.norm(bn2, inner, copies)
    pen.fixed(source, out)
    return out


def _residual_attention(pen: Pen, layer: ResidualAttention) -> Nodes:
    """``source -> queries -> keys -> heads -> values -> out``, the middle three steps fixed, and ``source -> out``."""
    source = pen.enter(layer.name, layer.embed_dim, NodeType.UNIT)
    width, (weight, bias) = layer.embed_dim, layer.packed

    def projected(role: str, third: int) -> Nodes:
        values = View(bias, (0,), narrow=((0, third * width, width),)) if layer.bias else None
        own = pen.nodes(f"{layer.name} {role}", width, NodeType.UNIT, values)
        pen.weight(weight, source, own, rows=(third * width, width))
        return own

    queries, keys = projected("queries", 0), projected("keys", 1)
    heads = pen.nodes(f"{layer.name} heads", layer.num_heads, NodeType.UNIT)
    values = projected("values", 2)
    pen.fixed(queries, keys)
    pen.heads(keys, heads)
    pen.heads(heads, values)
    out = pen.affine(layer.out, values)
    pen.fixed(source, out)
    return out


def _residuals(pen: Pen, residuals: Sequence[int], ends: Sequence[Nodes]) -> None:
    """Fixed edges between convolutions, given the nodes that each, with the norm after it, ends at."""
    if residuals and len(residuals) != len(ends):
        raise WiringError(f"expected a residual, or -1, for each of {len(ends)} convolutions, got {list(residuals)}")
    for number, origin in enumerate(residuals):
        if origin == -1:
            continue
        if not 0 <= origin < number:
            raise WiringError(
                f"{ends[number].name}: the residual of convolution {number} must come from an earlier one, or be -1 "
                f"for none, got {origin}"
            )
        if pen.joined(ends[origin], ends[number]):
            raise WiringError(
                f"{ends[number].name}: a residual from {ends[origin].name}, which it reads already, would be a second "
                "edge between the same nodes; add the identity to its kernel"
            )
        pen.fixed(ends[origin], ends[number])


def _copies(layer: Layer, following: Layer | None, flatten: Flatten | None) -> Copies | None:
    """The positions of the map that ``layer`` gives to a linear one."""
    match layer:
        case Conv():
            width = layer.out_channels
        case ResidualConv():
            width = layer.channels
        case Norm() if layer.kind != "ln":
            width = layer.features
        case _:
            return None
    if flatten is None or not isinstance(following, Linear) or following.in_features % width:
        return None
    return Copies(following.in_features // width, flatten)


def _largest_kernel(layers: Sequence[Layer]) -> tuple[int, ...]:
    """Along each axis the most positions of any kernel.

    Raises:
        WiringError: if kernels differ in their axes.
    """
    kernels = {layer.name: layer.kernel for layer in layers if isinstance(layer, Conv | ResidualConv)}
    dimensions = {len(kernel): name for name, kernel in kernels.items()}
    if len(dimensions) > 1:
        raise WiringError(f"{' and '.join(dimensions.values())} are convolutions over different numbers of axes")
    return tuple(max(sizes) for sizes in zip(*kernels.values(), strict=True))
