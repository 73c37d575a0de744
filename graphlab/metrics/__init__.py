"""Metrics: thin fronts on other packages' that take tensors and say what is wrong with them."""

from graphlab.metrics.regression import kendall_tau, r2_score

__all__ = ["kendall_tau", "r2_score"]
