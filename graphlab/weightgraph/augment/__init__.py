"""Augmentations of stacked networks: pure functions, drawn by a generator or given what would be drawn.

>>> x = siren_negation(translate(x, generator=generator), generator=generator)
>>> mixed = mixup_aligned(a, b, generator)
>>> targets = mixed_labels(label_a, label_b, mixed.weight, num_classes=10)

Shamsian, Navon, Zhang, Zhang, Fetaya, Chechik, Maron: Improved Generalization of Weight Space Networks via Augmentations,
ICML 2024 (arXiv 2402.04081). Nothing is written into; every network of a batch has draws of its own.
"""

from graphlab.weightgraph.augment.inputs import rotate, scale, translate
from graphlab.weightgraph.augment.labels import label_smoothing, mixed_labels
from graphlab.weightgraph.augment.legacy import legacy_augment
from graphlab.weightgraph.augment.mixup import (
    SINGLE,
    Mixed,
    mixup,
    mixup_aligned,
    mixup_combined,
    mixup_permuted,
    mixup_self,
    mixup_weights_only,
    one_of,
)
from graphlab.weightgraph.augment.noise import dropout, gaussian_noise, quantile, quantile_threshold
from graphlab.weightgraph.augment.symmetries import (
    positive_scale,
    rescaled,
    scale_neurons,
    siren_bias,
    siren_negation,
)

__all__ = [
    "SINGLE",
    "Mixed",
    "dropout",
    "gaussian_noise",
    "label_smoothing",
    "legacy_augment",
    "mixed_labels",
    "mixup",
    "mixup_aligned",
    "mixup_combined",
    "mixup_permuted",
    "mixup_self",
    "mixup_weights_only",
    "one_of",
    "positive_scale",
    "quantile",
    "quantile_threshold",
    "rescaled",
    "rotate",
    "scale",
    "scale_neurons",
    "siren_bias",
    "siren_negation",
    "translate",
]
