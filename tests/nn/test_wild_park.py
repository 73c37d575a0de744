"""Networks of the CNN Wild Park: what they compute, how they are declared, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from graphlab.nn.models.wild_park import ACTIVATIONS, WildParkCNN
from graphlab.weightgraph.layouts.layers import Conv, Linear


def test_residuals_are_added_before_the_activation_on_the_channels_that_both_have() -> None:
    net = WildParkCNN((3, 4, 6, 5), (3, 5, 3), 4, residual=(-1, -1, 0), activation=("relu", "tanh", "gelu"))
    image = torch.randn(2, 3, 8, 8)
    first = net.layers[0](image).relu()
    last = net.layers[2](net.layers[1](first).tanh())
    last = F.gelu(torch.cat([last[:, :4] + first, last[:, 4:]], dim=1))
    assert torch.allclose(net(image), net.fc(last.mean((2, 3))))


def test_a_wider_layer_gives_its_first_channels() -> None:
    net = WildParkCNN((1, 4, 2, 3), (1, 1, 1), 2, residual=(-1, -1, 0), activation=("none",) * 3)
    image = torch.randn(2, 1, 3, 3)
    first = net.layers[0](image)
    assert torch.allclose(net(image), net.fc((net.layers[2](net.layers[1](first)) + first[:, :3]).mean((2, 3))))


def test_a_flattened_map_and_the_declaration() -> None:
    net = WildParkCNN((1, 3, 4), (3, 3), 10, map_size=16)
    assert net(torch.randn(2, 1, 4, 4)).shape == (2, 10)
    assert net.declare() == [
        Conv("layers.0", 1, 3, (3, 3)),
        Conv("layers.1", 3, 4, (3, 3)),
        Linear("fc", 64, 10),
    ]


def test_every_activation_is_known() -> None:
    names = tuple(ACTIVATIONS)
    net = WildParkCNN((1,) * (len(names) + 1), (1,) * len(names), 2, activation=names)
    assert net(torch.randn(1, 1, 2, 2)).isfinite().all()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"kernel_size": (3,)}, r"expected kernel sizes of 2 >= 1 convolutions, got \[3\]"),
        ({"residual": (-1,)}, "expected residuals of 2"),
        ({"activation": ("relu",) * 3}, "expected activations of 2"),
        ({"activation": ("relu", "swish")}, r"unknown activations \['swish'\]: there are none, relu, gelu"),
        ({"residual": (-1, 1)}, "the residual of layer 1 must come from an earlier one, or be -1, got 1"),
        ({"residual": (0, -1)}, "the residual of layer 0"),
        ({"channels": (1,), "kernel_size": ()}, "of 0 >= 1 convolutions"),
    ],
)
def test_what_cannot_be_built_is_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        WildParkCNN(**{"channels": (1, 2, 2), "kernel_size": (3, 3), "num_classes": 2, **options})
