r"""Messages over dense blocks of weight-graphs: every source to every target, an edge state for each pair.

With source terms :math:`q_j`, target terms :math:`p_i` and edge states :math:`e_{ij}`, a message is one of

.. math::
    \text{film}: &\quad m_{ij} = \gamma_{ij} \odot (p_i + q_j) + \beta_{ij}, \qquad
        [\gamma_{ij} \mid \beta_{ij}] = W e_{ij} + b \\
    \text{gate}: &\quad m_{ij} = \sigma(W e_{ij} + b) \odot (p_i + q_j) \\
    \text{linear, relu, silu}: &\quad m_{ij} = f(W e_{ij} + b + p_i + q_j)

A pair map :math:`\mathrm{Lin}([x_i, x_j, e_{ij}])` is never applied to a concatenation: its columns are divided into
:math:`p = A x_\text{target}`, :math:`q = B x_\text{source}`, a product a node, and :math:`W e_{ij}`, the only one an
edge. So are written

* NG-GNN (Kofinas et al., ICLR 2024): ``film`` with :math:`M([x_i, x_j])` as :math:`p_i + q_j`, aggregated by mean, min,
  max and std; ``gate`` with gated edges; ``linear`` without modulation. :math:`e'_{ij} = W_2 f(W_e e_{ij} + W_s x_j +
  W_t x_i)` is :func:`block_edge_update`.
* NiNo (Knyazev et al., ICLR 2025): ``film`` aggregated by the mean, and the same edge update with SiLU.
* GMN (Lim et al., ICLR 2024): :math:`e' = \mathrm{ReLU}(A [x_j, x_i, e_{ij}] + a)` is :func:`block_edge_update` without
  :math:`W_2`, :math:`m = \mathrm{ReLU}(B [x_j, e'] + b)` is ``relu`` without target terms.

Blocks are computed in tiles; nothing of the size of edges times channels is formed beyond the edge states that come in
and go out. Backward passes compute the tiles again from the inputs. Sums of ``film`` messages form no message:

.. math:: \sum_j m_{ij} = p_i \odot \sum_j \gamma_{ij} + \sum_j \gamma_{ij} \odot q_j + \sum_j \beta_{ij}, \qquad
    \sum_j \gamma_{ij} = W_\gamma \sum_j e_{ij} + n b_\gamma

(:mod:`graphlab.ops.block_film`; sheet nino, part 7, item 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal, get_args

from torch import Tensor

from graphlab.ops.block_film import film_sum
from graphlab.ops.block_received import Aggregator, Received, checked
from graphlab.ops.block_statistics import block_statistics
from graphlab.ops.block_update import block_update
from graphlab.ops.library import accumulated

Message = Literal["film", "gate", "linear", "relu", "silu"]
Activation = Literal["linear", "relu", "silu"]
End = Literal["source", "target"]


def block_messages(
    edge: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    source: Tensor | None = None,
    target: Tensor | None = None,
    message: Message = "film",
    aggregators: Sequence[Aggregator] = ("mean",),
    over: End = "source",
) -> Received:
    """What targets receive from the sources of a block, or the other way round.

    >>> received = block_messages(e, w, b, source=x_s @ B.T, target=x_t @ A.T, aggregators=("mean", "max"))
    >>> merge([received, others]).reduce(("mean", "max"))      # of several blocks into the same nodes

    Args:
        edge: States ``[*batch, n_source, n_target, edge_channels]``. Any axes may lead: ``n`` edges of a diagonal block
            are a batch of ``n`` blocks of one source and one target.
        weight: ``W``: ``[2 * channels, edge_channels]`` for ``film``, else ``[channels, edge_channels]``.
        bias: ``b``, as long as ``weight``; default zero.
        source: The terms ``q``, ``[*batch, n_source, channels]``; default zero.
        target: The terms ``p``, ``[*batch, n_target, channels]``; default zero.
        message: Which function of these, see above.
        aggregators: What the result will be asked for; see :meth:`Received.reduce`.
        over: ``source`` sums over the sources of each target; ``target``, the edges turned round, over the targets of
            each source.

    Returns:
        Statistics of the messages that each target got (each source, over targets); float32 for half precision. The
        gradient of an extremum goes to the first message that attains it. No second derivatives.

    Raises:
        ValueError: for shapes, dtypes or devices that do not fit, and for unknown names.
    """
    _known("message", message, Message)
    _known("over", over, End)
    wanted = set(checked(aggregators))
    parts = 2 if message == "film" else 1
    if weight.dim() != 2 or weight.shape[0] % parts:
        raise ValueError(
            f"weight: expected [{'2 * ' if parts == 2 else ''}channels, edge_channels], got {list(weight.shape)}"
        )
    channels = weight.shape[0] // parts
    batch, flat, source, target, bias = _checked(edge, weight, bias, source, target, channels)
    axis = 1 if over == "source" else 2
    spread, extrema = bool(wanted & {"var", "std"}), bool(wanted & {"min", "max"})
    if spread or extrema or message not in ("film", "linear"):
        found = block_statistics(flat, source, target, weight, bias, axis, message, spread, extrema)[:4]
    else:
        sender, receiver = (source, target) if over == "source" else (target, source)
        found = [_total(flat, sender, receiver, weight, bias, axis, message == "film")]
    total, *others = found
    degree = total.new_full((total.shape[1], 1), flat.shape[axis])
    shaped = (part.view(*batch, *total.shape[1:]) if part.dim() == 3 else None for part in others)
    return Received(degree, total.view(*batch, *total.shape[1:]), *shaped)


def block_edge_update(
    edge: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    source: Tensor | None = None,
    target: Tensor | None = None,
    activation: Activation = "silu",
    out_weight: Tensor | None = None,
    out_bias: Tensor | None = None,
) -> Tensor:
    """New states of a block's edges from the old ones and the nodes at their ends: ``W_2 f(W e + b + p + q) + b_2``.

    Args:
        edge: States ``[*batch, n_source, n_target, edge_channels]``.
        weight, bias: ``[channels, edge_channels]`` and ``[channels]`` (default zero): ``W`` and ``b``.
        source, target: The terms ``q`` and ``p``, ``[*batch, n_source, channels]`` and ``[*batch, n_target,
            channels]``; default zero.
        activation: ``f``: ``linear`` (none), ``relu`` or ``silu``.
        out_weight, out_bias: ``W_2``, ``[out_channels, channels]``, and ``b_2`` (default zero). Without ``W_2`` the
            result is ``f(...)`` itself.

    Returns:
        ``[*batch, n_source, n_target, out_channels]`` in the dtype of ``edge``. No second derivatives.

    Raises:
        ValueError: for shapes, dtypes or devices that do not fit, and for unknown names.
    """
    _known("activation", activation, Activation)
    if weight.dim() != 2:
        raise ValueError(f"weight: expected [channels, edge_channels], got {list(weight.shape)}")
    batch, flat, source, target, bias = _checked(edge, weight, bias, source, target, weight.shape[0])
    if out_weight is not None:
        if out_weight.dim() != 2:
            raise ValueError(f"out_weight: expected [out_channels, {weight.shape[0]}], got {list(out_weight.shape)}")
        _fits("out_weight", out_weight, (out_weight.shape[0], weight.shape[0]), edge)
        out_bias = edge.new_zeros(out_weight.shape[0]) if out_bias is None else out_bias
        _fits("out_bias", out_bias, (out_weight.shape[0],), edge)
    elif out_bias is not None:
        raise ValueError("out_bias: expected none without out_weight")
    result: Tensor = block_update(flat, source, target, weight, bias, activation, out_weight, out_bias)
    return result.view(*batch, *result.shape[1:])


def _total(
    edge: Tensor, sender: Tensor, receiver: Tensor, weight: Tensor, bias: Tensor, axis: int, film: bool
) -> Tensor:
    """``[batch, receivers, channels]``: the sum of ``film`` or ``linear`` messages, of which none is formed."""
    count = edge.shape[axis]
    heard, given, weight, bias = (
        accumulated(part) for part in (sender.sum(dim=1, keepdim=True), receiver, weight, bias)
    )
    if not film:
        pooled = edge.sum(dim=axis, dtype=heard.dtype)
        return pooled @ weight.t() + count * (bias + given) + heard
    (scale, shift), (scale_bias, shift_bias) = weight.chunk(2), bias.chunk(2)
    crossed, pooled = film_sum(edge, sender, scale, axis)
    total = given * (pooled @ scale.t() + count * scale_bias) + crossed + scale_bias * heard
    result: Tensor = total + pooled @ shift.t() + count * shift_bias
    return result


def _checked(
    edge: Tensor, weight: Tensor, bias: Tensor | None, source: Tensor | None, target: Tensor | None, channels: int
) -> tuple[tuple[int, ...], Tensor, Tensor, Tensor, Tensor]:
    """The batch, the edges with one batch axis, and all that is added to their products, present and of one shape."""
    if edge.dim() < 3 or not edge.is_floating_point():
        raise ValueError(
            f"edge: expected floating [*batch, n_source, n_target, channels], got {edge.dtype} {list(edge.shape)}"
        )
    *batch, n_source, n_target, edge_channels = edge.shape
    _fits("weight", weight, (weight.shape[0], edge_channels), edge)
    bias = edge.new_zeros(weight.shape[0]) if bias is None else bias
    _fits("bias", bias, (weight.shape[0],), edge)
    flat = edge.reshape(prod(batch), n_source, n_target, edge_channels)
    ends = []
    for name, term, nodes in (("source", source, n_source), ("target", target, n_target)):
        shape = (*batch, nodes, channels)
        if term is not None:
            _fits(name, term, shape, edge)
        ends.append((edge.new_zeros(shape) if term is None else term).reshape(prod(batch), nodes, channels))
    return tuple(batch), flat, ends[0], ends[1], bias


def _fits(name: str, tensor: Tensor, shape: tuple[int, ...], edge: Tensor) -> None:
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name}: expected the shape {list(shape)}, got {list(tensor.shape)}")
    if tensor.dtype != edge.dtype or tensor.device != edge.device:
        raise ValueError(f"{name} is {tensor.dtype} on {tensor.device}, edge is {edge.dtype} on {edge.device}")


def _known(name: str, value: str, names: object) -> None:
    if value not in get_args(names):
        raise ValueError(f"{name}: expected {', '.join(get_args(names))}, got {value!r}")
