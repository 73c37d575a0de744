"""How layers on weight spaces begin (specification of metanetworks, 2.3)."""

from __future__ import annotations

from math import sqrt

from torch import nn

from graphlab.nn.models.dws.downsample import DownSampledDWSLayer
from graphlab.nn.models.dws.layer import DWSLayer

BIAS = 1e-4
"""Biases are uniform between -BIAS and BIAS."""


def initialise_layer(layer: DWSLayer, scale: float, off_diagonal: float) -> None:
    """Normal weights of deviation ``sqrt(2 / (in + out)) sqrt(2 in / out) scale``; biases nearly 0.

    Args:
        layer: Written into. The samplers and the skip of one with fewer inputs are left as they are.
        scale: Of all maps.
        off_diagonal: Further factor of maps between different layers of neurons.
    """
    for term in layer.terms():
        gain = scale * (1 if term.map.source.index == term.map.target.index else off_diagonal)
        for module in term.module.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight, gain * sqrt(2 * module.in_features / module.out_features))
                if module.bias is not None:
                    nn.init.uniform_(module.bias, -BIAS, BIAS)
    if layer.skip is not None and not isinstance(layer, DownSampledDWSLayer):
        initialise_skip(layer.skip[0], 0.5)


def initialise_skip(linear: nn.Module, power: float) -> None:
    """Every weight ``numel ** -power``, biases 0."""
    assert isinstance(linear, nn.Linear)
    nn.init.constant_(linear.weight, linear.weight.numel() ** -power)
    nn.init.zeros_(linear.bias)
