"""Graph learning on PyTorch Geometric, in which a trained network is itself a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphlab.nn.accelerate import accelerate

__version__ = "0.1.0"

__all__ = ["accelerate"]


def __getattr__(name: str) -> Any:
    """What needs torch is imported when it is asked for."""
    if name == "accelerate":
        from graphlab.nn.accelerate import accelerate

        return accelerate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
