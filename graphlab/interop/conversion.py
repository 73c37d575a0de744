"""Checkpoints of transformers' models under the names and in the shapes that its present version gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor, nn

from graphlab.checkpoint import Checkpoint, match_module


def present_names(opened: Checkpoint, module: nn.Module) -> Mapping[str, Tensor]:
    """The checkpoint as ``module`` names its parameters.

    Where transformers has renamed parameters since the file was written, the same tensors under their new names.
    Where it has fused some (the experts of a mixture), the copies that its own loading makes of them, from
    safetensors only. A checkpoint that fits as it is, and one of a module that is not of transformers, comes back
    itself.
    """
    if not match_module(opened, module).flaws():
        return opened
    try:
        from transformers import PreTrainedModel
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key
    except ImportError:
        return opened
    if not isinstance(module, PreTrainedModel):
        return opened
    transforms = get_model_conversion_mapping(module)
    converters = [transform for transform in transforms if isinstance(transform, WeightConverter)]
    renamings = [transform for transform in transforms if isinstance(transform, WeightRenaming)]
    renamed = {name: rename_source_key(name, renamings, converters) for name in opened}
    if any(converted for _, converted in renamed.values()):
        loaded = type(module).from_pretrained(opened.path, local_files_only=True, use_safetensors=True, dtype="auto")
        return dict(loaded.state_dict())
    return _Renamed(opened, {new: old for old, (new, _) in renamed.items()})


class _Renamed(Mapping[str, Tensor]):
    def __init__(self, opened: Checkpoint, names: dict[str, str]) -> None:
        self.path: Path = opened.path
        self._opened = opened
        self._names = names

    def __getitem__(self, name: str) -> Tensor:
        return self._opened[self._names[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
