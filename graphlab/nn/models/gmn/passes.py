r"""One pass over edges, a tile at a time: new states of edges and what nodes receive, nothing else of their size.

A pass computes, of the states of edges and of terms that the nodes at their ends have,

.. math:: e'_{k}, m_{k} = f(e_k, s_{\text{source}(k)}, t_{\text{target}(k)}; w), \qquad
    y_i = \sum_{k:\, \text{target}(k) = i} m_k.

All that :math:`f` makes on the way exists for a tile of edges only, in the processor's cache; the gradient computes it
again. So a layer keeps one tensor of the size of the edges for its backward pass, and none without gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphlab.nn.models.gmn.ends import Tile, tiles
from graphlab.nn.models.gmn.graph import Edges, Graph
from graphlab.ops.allocation import zeros

TILE = 1 << 17
"""Numbers in the states of a tile, 512 kB in float32: what is made of them on the way stays in a core's cache."""
CUDA_TILE = 1 << 25
"""The same on a GPU, where it is the launches that cost."""

Result = tuple[Tensor | None, Tensor | None]


@dataclass(frozen=True)
class EdgeMap:
    """A function of every edge by itself.

    Attributes:
        of: ``(edges, tile, states [*tile, channels], *weights)`` -> ``[*tile, new channels]``.
        weights: What else it depends on and gradients flow to.
        width: The most channels on the way.
    """

    of: Callable[..., Tensor]
    weights: tuple[Tensor, ...]
    width: int

    def then(self, last: EdgeMap) -> EdgeMap:
        """What ``last`` makes of the results."""
        count = len(self.weights)

        def of(edges: Edges, tile: Tile, states: Tensor, *weights: Tensor) -> Tensor:
            return last.of(edges, tile, self.of(edges, tile, states, *weights[:count]), *weights[count:])

        return EdgeMap(of, (*self.weights, *last.weights), max(self.width, last.width))


Fold = Callable[[nn.Linear | None], EdgeMap]
"""A function of every edge by itself, given the linear map beside it, which it takes in: what comes after a start, and
what comes before an end."""


def value_map(then: nn.Linear | None = None) -> EdgeMap:
    """The values of edges as they are, or what a linear map makes of them."""
    if then is not None:
        return linear_map(then.weight, then.bias)
    return EdgeMap(lambda _edges, _tile, states: states, (), 1)


@dataclass(frozen=True)
class EdgeFunction:
    """What a pass computes.

    Attributes:
        of: ``(edges, tile, states, source terms, target terms, *weights)`` -> new states or ``None``, messages or
            ``None``. Terms are broadcastable to ``[*tile, channels]``, or ``None`` where the pass has none.
        weights: What else it depends on and gradients flow to.
        width: The most channels on the way.
    """

    of: Callable[..., Result]
    weights: tuple[Tensor, ...]
    width: int


def alone(function: EdgeMap, send: bool = False) -> EdgeFunction:
    """The pass that makes new states, or messages, of each edge by itself."""

    def of(edges: Edges, tile: Tile, states: Tensor, _source: Any, _target: Any, *weights: Tensor) -> Result:
        made = function.of(edges, tile, states, *weights)
        return (None, made) if send else (made, None)

    return EdgeFunction(of, function.weights, function.width)


def linear_map(weight: Tensor, bias: Tensor, relu: bool = False) -> EdgeMap:
    """``W e + b``, perhaps with a ReLU."""

    def of(_: Edges, __: Tile, states: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        made = F.linear(states, weight, bias)
        return made.relu_() if relu else made

    return EdgeMap(of, (weight, bias), len(weight))


def linear_at(modules: nn.Module, place: int) -> nn.Linear:
    """A linear map of a sequence."""
    return cast(nn.Linear, cast(nn.Sequential, modules)[place])


def composed(first: nn.Linear, second: nn.Linear) -> tuple[Tensor, Tensor]:
    """Weight and bias of ``second(first(x))``."""
    return second.weight @ first.weight, F.linear(first.bias, second.weight, second.bias)


def seed() -> int:
    """One for :func:`dropped`, from PyTorch's default generator."""
    return int(torch.randint(2**62, ()))


def dropped(x: Tensor, p: float, seed: int, tile: Tile) -> Tensor:
    """Dropout that a pass can repeat: the mask of a tile depends on the seed only."""
    if p == 0:
        return x
    number = (seed + hash(tuple(own.start for own in tile))) % 2**63
    generator = torch.Generator(x.device).manual_seed(number)
    return x * torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device).ge_(p).div_(1 - p)


def edge_pass(
    function: EdgeFunction,
    edges: Edges,
    states: Tensor,
    source: Tensor | None = None,
    target: Tensor | None = None,
    num_nodes: int = 0,
    overwrite: bool = False,
) -> Result:
    """Compute a function of edges and of the nodes at their ends.

    Args:
        function: Which.
        edges: Whose states they are.
        states: ``[*edges, channels]``.
        source, target: ``[num_nodes, ...]``: the terms of nodes as sources and as targets; default none.
        num_nodes: How many nodes there are to receive messages.
        overwrite: New states may be written where the old ones are, if there is no gradient to compute.

    Returns:
        New states ``[*edges, new channels]``, and ``[num_nodes, message channels]``, the sum of the messages to each
        node; ``None`` where the function makes none. No second derivatives.
    """
    given = (states, source, target, *function.weights)
    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in given):
        result: Result = _Pass.apply(function, edges, num_nodes, *given)  # type: ignore[no-untyped-call]
        return result
    return _run(function, edges, num_nodes, states, source, target, *function.weights, overwrite=overwrite)


def started(graph: Graph, start: EdgeMap) -> list[Tensor]:
    """``[*edges, channels]`` for each part: what ``start`` makes of the values, once for edges and their reverse."""
    function, made = alone(start), dict[int, Tensor]()
    for edges in graph.edges:
        if id(edges.values) not in made:
            new, _ = edge_pass(function, edges, edges.values)
            assert new is not None
            made[id(edges.values)] = new
    return [made[id(edges.values)] for edges in graph.edges]


def sums(graph: Graph, states: Sequence[Tensor], send: EdgeMap) -> list[Tensor]:
    """``[N, channels]`` for each part: the sums over the edges into each node of what ``send`` makes of states."""
    function = alone(send, send=True)
    pairs = zip(graph.edges, states, strict=True)
    results = (edge_pass(function, edges, own, num_nodes=graph.num_nodes) for edges, own in pairs)
    return [total for _, total in results if total is not None]


def whole_pass(
    function: EdgeFunction, edges: Edges, states: Tensor, source: Tensor | None = None, target: Tensor | None = None
) -> Result:
    """New states and messages of all edges at once, for what cannot be computed tile by tile."""
    return function.of(edges, (), states, *_terms(edges, (), *_spread(edges, source, target)), *function.weights)


def edge_tiles(states: Tensor, width: int) -> list[Tile]:
    """Tiles of edges, given the most channels that are made of them on the way."""
    most = (CUDA_TILE if states.is_cuda else TILE) // max(1, width)
    return list(tiles(states.shape[:-1], max(1, most))) or [()]  # without edges, all of none


def blank(shape: Sequence[int], like: Tensor) -> Tensor:
    """Zeros of the dtype and on the device of a tensor."""
    return zeros(shape, like.dtype) if like.device.type == "cpu" else like.new_zeros(shape)


def _run(
    function: EdgeFunction,
    edges: Edges,
    num_nodes: int,
    states: Tensor,
    source: Tensor | None,
    target: Tensor | None,
    *weights: Tensor,
    overwrite: bool = False,
) -> Result:
    new: Tensor | None = None
    total: Tensor | None = None
    ends = _spread(edges, source, target)
    for tile in edge_tiles(states, function.width):
        made, sent = function.of(edges, tile, states[tile], *_terms(edges, tile, *ends), *weights)
        if made is not None:
            if new is None:
                fits = overwrite and made.shape[-1] == states.shape[-1]
                new = states if fits else blank((*states.shape[:-1], made.shape[-1]), made)
            new[tile] = made
        if sent is not None:
            if total is None:
                total = sent.new_zeros(num_nodes, sent.shape[-1])
                rows = edges.target.spread(total)
            edges.target.add(rows, sent, tile)
    return new, total


def _spread(edges: Edges, source: Tensor | None, target: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    return (
        None if source is None else edges.source.spread(source),
        None if target is None else edges.target.spread(target),
    )


def _terms(
    edges: Edges, tile: Tile, source: Tensor | None, target: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    return (
        None if source is None else edges.source.read(source, tile),
        None if target is None else edges.target.read(target, tile),
    )


class _Pass(torch.autograd.Function):
    """The pass with its gradient: every tile again, with what autograd makes of it."""

    @staticmethod
    def forward(ctx: Any, function: EdgeFunction, edges: Edges, num_nodes: int, *given: Tensor | None) -> Result:
        ctx.function, ctx.edges = function, edges
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*given)
        return _run(function, edges, num_nodes, *given)  # type: ignore[arg-type]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_new: Tensor | None, d_total: Tensor | None) -> tuple[Any, ...]:
        if d_new is None and d_total is None:
            return (None,) * len(ctx.needs_input_grad)
        function, edges = ctx.function, ctx.edges
        states, source, target, *weights = ctx.saved_tensors
        need = ctx.needs_input_grad[3:]
        leaves = [own.detach().requires_grad_(wanted) for own, wanted in zip(weights, need[3:], strict=True)]
        given = zip((states, source, target, *weights), need, strict=True)
        gradients: list[Any] = [blank(own.shape, own) if wanted else None for own, wanted in given]
        ends, d_ends = _spread(edges, source, target), _spread(edges, *gradients[1:3])
        d_rows = None if d_total is None else edges.target.spread(d_total)
        for tile in edge_tiles(states, function.width):
            inputs = [
                own if own is None else own.detach().requires_grad_(wanted)
                for own, wanted in zip((states[tile], *_terms(edges, tile, *ends)), need, strict=False)
            ]
            with torch.enable_grad():
                made, sent = function.of(edges, tile, *inputs, *leaves)
            outputs = []
            if made is not None and d_new is not None:
                outputs.append((made, d_new[tile]))
            if sent is not None and d_rows is not None:
                outputs.append((sent, edges.target.read(d_rows, tile).expand_as(sent)))
            wanted = [own for own in (*inputs, *leaves) if own is not None and own.requires_grad]
            results, their = zip(*outputs, strict=True)
            found = iter(torch.autograd.grad(results, wanted, their, allow_unused=True))
            for place, own in enumerate((*inputs, *leaves)):
                gradient = next(found) if own is not None and own.requires_grad else None
                if gradient is None:
                    continue
                if place == 0:
                    gradients[0][tile] = gradient
                elif place == 1:
                    edges.source.add(d_ends[0], gradient, tile)
                elif place == 2:
                    edges.target.add(d_ends[1], gradient, tile)
                else:
                    gradients[place].add_(gradient)
        return None, None, None, *gradients
