"""The prefixes that wrappers leave on every name of a state dict."""

from __future__ import annotations

from collections.abc import Collection

WRAPPERS = ("module.", "_orig_mod.")
"""What `DataParallel`, `DistributedDataParallel` and `torch.compile` put before each name."""

MODEL = "model."
"""What a training class that keeps its network as ``self.model`` puts before each name."""


def common_prefix(names: Collection[str], with_model: bool) -> str:
    """Returns the wrappers' prefix that all `names` carry, such as ``module._orig_mod.``.

    Args:
        names: the names of a state dict.
        with_model: whether ``model.`` counts, once at most: a network may have a part of that name itself.
    """
    prefix = ""
    candidates = (*WRAPPERS, MODEL) if with_model else WRAPPERS
    while True:
        for candidate in candidates:
            longer = prefix + candidate
            if names and all(name.startswith(longer) and len(name) > len(longer) for name in names):
                break
        else:
            return prefix
        if candidate == MODEL:
            candidates = WRAPPERS
        prefix = longer


def unwrapped(name: str) -> str:
    """Returns `name` without the prefixes of `WRAPPERS`, in any order and number."""
    while stripped := next((name.removeprefix(wrapper) for wrapper in WRAPPERS if name.startswith(wrapper)), ""):
        name = stripped
    return name
