"""What the tests of accelerating look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graphlab.nn.conv import gat_conv, gatv2_conv, neighbours, normalised, pna_conv


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operators that the layers call."""
    calls: list[str] = []

    def noted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            calls.append(name)
            return function(*arguments, **options)

        return call

    for module, name in (
        (normalised, "spmm"),
        (neighbours, "spmm"),
        (gat_conv, "gat_attention"),
        (gatv2_conv, "gatv2_attention"),
        (pna_conv, "spmm_stats"),
    ):
        monkeypatch.setattr(module, name, noted(name, getattr(module, name)))
    return calls
