"""How well predicted numbers rank and explain the true ones."""

from __future__ import annotations

import torch
from torch import Tensor


def kendall_tau(predicted: Tensor, true: Tensor) -> float:
    """Kendall's tau-b, by scipy: ties count as neither concordant nor discordant.

    0 where all predictions, or all true values, are equal: there is no ranking.

    Args:
        predicted, true: ``[n]``, n >= 2.

    Raises:
        ValueError: for other shapes, and for NaN.
    """
    from scipy.stats import kendalltau

    first, second = _checked(predicted, true)
    if bool((first == first[0]).all()) or bool((second == second[0]).all()):
        return 0.0
    return float(kendalltau(first.numpy(), second.numpy()).statistic)


def r2_score(predicted: Tensor, true: Tensor) -> float:
    """The coefficient of determination, by scikit-learn: 1 - (squared errors) / (squared deviations from the mean).

    Args:
        predicted, true: ``[n]``, n >= 2.

    Raises:
        ValueError: for other shapes, and for NaN.
    """
    from sklearn.metrics import r2_score as score

    first, second = _checked(predicted, true)
    return float(score(second.numpy(), first.numpy()))


def _checked(predicted: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    if predicted.dim() != 1 or predicted.shape != true.shape or len(true) < 2:
        raise ValueError(f"expected two vectors of one length, 2 or more, got {[*predicted.shape]} and {[*true.shape]}")
    first, second = (own.detach().cpu().to(torch.float64) for own in (predicted, true))
    for name, own in (("predicted", first), ("true", second)):
        if own.isnan().any():
            raise ValueError(f"{name}: number {int(own.isnan().nonzero()[0])} is NaN")
    return first, second
