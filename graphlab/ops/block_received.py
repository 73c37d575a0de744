r"""What nodes receive from blocks of edges, in a form that adds up over blocks.

The messages into a range of nodes come from several blocks (a weight's and its bias's, say). Of each block is kept how
many messages :math:`n` a node got, their sum :math:`t`, their squared deviations from their mean
:math:`q = \sum (m - t/n)^2`, and their extrema. Two blocks make

.. math:: n = n_1 + n_2, \quad t = t_1 + t_2, \quad
    q = q_1 + q_2 + n_1 (t_1/n_1 - t/n)^2 + n_2 (t_2/n_2 - t/n)^2

(Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979), which loses
no digits where the mean is large against the deviation, as :math:`E[m^2] - E[m]^2` does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

Aggregator = Literal["sum", "mean", "min", "max", "var", "std"]

LEAST_VARIANCE = 1e-5
"""Below it a standard deviation counts as zero (PyTorch Geometric's aggregators)."""


class Received(NamedTuple):
    """Statistics of the messages that ``n`` nodes got; those that nobody asked for are ``None``.

    Attributes:
        degree: How many messages: ``[n, 1]``, of the dtype of the others.
        total: Their sum, ``[*batch, n, channels]``; float32 for messages of half precision.
        spread: The sum of their squared deviations from their mean.
        least, most: Their extrema; infinite where there was no message.
    """

    degree: Tensor
    total: Tensor
    spread: Tensor | None = None
    least: Tensor | None = None
    most: Tensor | None = None

    def reduce(self, aggregators: Sequence[Aggregator]) -> Tensor:
        """Aggregates beside one another, as PNA concatenates them.

        Args:
            aggregators: Any of ``sum``, ``mean``, ``min``, ``max``, ``var`` (biased) and ``std`` (its root, with a
                gradient of zero, and zero itself, for variances up to ``1e-5``).

        Returns:
            ``[*batch, n, len(aggregators) * channels]`` in their order. A node without messages gets zeros.

        Raises:
            ValueError: for an aggregator that is unknown, or for which the statistics were not computed.
        """
        return torch.cat([self._one(name) for name in checked(aggregators)], dim=-1)

    def _one(self, name: Aggregator) -> Tensor:
        if name == "sum":
            return self.total
        if name == "mean":
            return self.total / self.degree.clamp(min=1)
        statistic = self.least if name == "min" else self.most if name == "max" else self.spread
        if statistic is None:
            raise ValueError(f"aggregators: {name} was not asked for when the messages were computed")
        if name in ("min", "max"):
            return torch.where(self.degree > 0, statistic, 0)
        variance = statistic / self.degree.clamp(min=1)
        if name == "var":
            return variance
        deviation = variance.clamp(min=LEAST_VARIANCE).sqrt()
        return deviation.masked_fill(deviation <= math.sqrt(LEAST_VARIANCE), 0)


def merge(parts: Sequence[Received]) -> Received:
    """What nodes received from several blocks (or several lists of edges) together.

    Args:
        parts: Of the same nodes, with the same statistics; at least one.

    Raises:
        ValueError: if there is none, or if they have different statistics.
    """
    if not parts:
        raise ValueError("parts: expected at least one")
    if len({tuple(statistic is None for statistic in part) for part in parts}) > 1:
        raise ValueError("parts: all must have the same statistics")
    if len(parts) == 1:
        return parts[0]
    degree, total = sum_of([part.degree for part in parts]), sum_of([part.total for part in parts])
    mean = total / degree.clamp(min=1)
    spread = None
    if parts[0].spread is not None:
        own = [part.total / part.degree.clamp(min=1) - mean for part in parts]
        between = [part.degree * deviation.square() for part, deviation in zip(parts, own, strict=True)]
        spread = sum_of([part.spread for part in parts if part.spread is not None] + between)
    least, most = parts[0].least, parts[0].most
    for part in parts[1:]:
        if least is not None and most is not None and part.least is not None and part.most is not None:
            least, most = torch.minimum(least, part.least), torch.maximum(most, part.most)
    return Received(degree, total, spread, least, most)


def sum_of(tensors: Sequence[Tensor]) -> Tensor:
    """Their sum, in their order."""
    result = tensors[0]
    for tensor in tensors[1:]:
        result = result + tensor
    return result


def checked(aggregators: Sequence[Aggregator]) -> Sequence[Aggregator]:
    """Raises ``ValueError`` for names that are no aggregators, and for none."""
    known = get_args(Aggregator)
    if isinstance(aggregators, str) or not aggregators or any(name not in known for name in aggregators):
        raise ValueError(f"aggregators: expected some of {', '.join(known)}, got {aggregators!r}")
    return aggregators
