"""The loss between two networks: the line from one to another in weight space, before and after aligning them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphlab.capture import Program
from graphlab.weightgraph.align import align
from graphlab.weightgraph.graph import WeightGraph

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Curve:
    """``losses[k]`` at ``(1 - weights[k]) theta_a + weights[k] theta_b``."""

    weights: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def barrier(self) -> float:
        """``max_l loss(l) - ((1 - l) loss(0) + l loss(1))``, at least 0.

        Entezari, Sedghi, Saukh, Neyshabur, "The Role of Permutation Invariance in Linear Mode Connectivity of Neural
        Networks", ICLR 2022; Git Re-Basin's is the same where the losses of both ends are equal.
        """
        first, last = self.losses[0], self.losses[-1]
        return max(
            loss - ((1 - weight) * first + weight * last)
            for weight, loss in zip(self.weights, self.losses, strict=True)
        )


@dataclass(frozen=True)
class Barriers:
    """The result of :func:`interpolation_barrier`: the curves from ``a`` to ``b`` as it is, and to ``b`` aligned."""

    before: Curve
    after: Curve

    def __repr__(self) -> str:
        return f"Barriers: {self.before.barrier:.4g} before aligning, {self.after.barrier:.4g} after"


def interpolate(a: State, b: State, weight: float) -> dict[str, Tensor]:
    """``(1 - weight) a + weight b`` for floating-point tensors; others are ``a``'s."""
    return {
        name: torch.lerp(tensor, b[name].to(tensor), weight) if tensor.is_floating_point() else tensor
        for name, tensor in a.items()
    }


def output_distance(
    a: WeightGraph, b: WeightGraph, program: Program, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
) -> Callable[[State], float]:
    """A loss for :func:`interpolation_barrier` that needs no labels: how far outputs are from those of both ends.

    ``L(theta) = (|f(theta) - f(a)|^2 + |f(theta) - f(b)|^2) / (|f(a)|^2 + |f(b)|^2)`` over all outputs ``f`` of
    floating point on the given inputs, in float64. It is the same at both ends, and less in between if outputs mix as
    weights do.

    Args:
        a, b: Networks of equal structure.
        program: What both compute (:func:`graphlab.capture.capture`).
        args, kwargs: Inputs of the captured shapes.

    Raises:
        CaptureError: for inputs or weights that do not fit the program.
        ValueError: if the program has no output of floating point.
    """

    @torch.no_grad()
    def outputs(state: State) -> Tensor:
        found = program.run(state, args, kwargs, torch.float64).values()
        flat = [output.flatten() for output in found if output.is_floating_point()]
        if not flat:
            raise ValueError("expected a network with an output of floating point")
        return torch.cat(flat)

    ends = [outputs(graph.state_dict()) for graph in (a, b)]
    scale = sum(float(end.square().sum()) for end in ends) or 1.0

    def loss(state: State) -> float:
        found = outputs(state)
        return sum(float((found - end).square().sum()) for end in ends) / scale

    return loss


def interpolation_barrier(
    a: WeightGraph,
    b: WeightGraph,
    loss: Callable[[dict[str, Tensor]], float],
    points: int = 25,
    prepare: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
    aligned: WeightGraph | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Barriers:
    """The loss along the straight line from ``a`` to ``b``, and from ``a`` to ``b`` aligned to it.

    Args:
        a, b: Networks of equal structure.
        loss: The loss of a network with these weights.
        points: How many points of each line, ends included.
        prepare: Makes of each interpolated state dict the one to evaluate. BatchNorm's statistics belong here: those
            of the networks at the ends are wrong in between, where activations have less variance; reset them by a
            pass over training data (Jordan et al., "REPAIR", ICLR 2023).
        aligned: ``b`` in the order to compare with. Default: ``align(a, b).graph``.
        progress: Called with (points done, points in all).

    Raises:
        ValueError: if the structures differ, or ``points`` is less than 2.
    """
    if points < 2:
        raise ValueError(f"expected at least the 2 ends of the line, got {points} points")
    ends = b.state_dict(), (aligned if aligned is not None else align(a, b).graph).state_dict()
    start = a.state_dict()
    weights = tuple(torch.linspace(0, 1, points, dtype=torch.float64).tolist())

    def curve(end: State, done: int) -> Curve:
        losses = []
        for weight in weights:
            state = interpolate(start, end, weight)
            losses.append(float(loss(prepare(state) if prepare else state)))
            if progress:
                progress(done + len(losses), 2 * points)
        return Curve(weights, tuple(losses))

    return Barriers(curve(ends[0], 0), curve(ends[1], points))
