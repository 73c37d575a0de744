"""A checkpoint as text for a person."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphlab.checkpoint.checkpoint import Checkpoint

_MAX_ROWS = 24
_MAX_WIDTH = 100


def describe(checkpoint: Checkpoint) -> str:
    """Returns a heading, the facts that apply, and the tensors with dtype and shape (the middle left out if long)."""
    count = len(checkpoint)
    heading = (
        f"Checkpoint {checkpoint.path.name}: {count} tensor{'' if count == 1 else 's'}, "
        f"{_scaled(checkpoint.num_parameters, ['', ' thousand', ' million', ' billion', ' trillion'])} parameters, "
        f"{_scaled(checkpoint.nbytes, [' B', ' kB', ' MB', ' GB', ' TB'])}"
    )
    facts = [f"  {label:<9}{text}" for label, text in _facts(checkpoint) if text]
    return "\n".join([heading, *facts, *_rows(checkpoint)])


def _facts(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    files = len({spec.file for spec in checkpoint.specs.values()})
    dtypes = Counter(str(spec.dtype).removeprefix("torch.") for spec in checkpoint.specs.values())
    config = checkpoint.config or {}
    architectures = config.get("architectures")
    model = architectures[0] if isinstance(architectures, list) and architectures else config.get("model_type")
    adapter = checkpoint.adapter or {}
    adapted = f"{_text(adapter.get('peft_type'))} of {_text(adapter.get('base_model_name_or_path'))}"
    return [
        ("format", checkpoint.format + (f", {files} files" if files > 1 else "")),
        ("model", _clean(_text(model)) if config else ""),
        ("adapter", _clean(adapted) if adapter else ""),
        ("dtype", ", ".join(f"{name} ({count})" if len(dtypes) > 1 else name for name, count in dtypes.most_common())),
        ("prefix", f"{checkpoint.prefix} (removed)" if checkpoint.prefix else ""),
        ("tied", "; ".join(_clean(" = ".join(names)) for names in checkpoint.tied[:3])),
        ("beside", _clean(", ".join(checkpoint.extra[:8])) + (", ..." if len(checkpoint.extra) > 8 else "")),
    ]


def _rows(checkpoint: Checkpoint) -> list[str]:
    specs = list(checkpoint.specs.values())
    half = _MAX_ROWS // 2
    shown = specs if len(specs) <= _MAX_ROWS else specs[:half] + specs[-half:]
    names = [_clean(spec.name) for spec in shown]
    width = max(map(len, names), default=0)
    dtype_width = max((len(str(spec.dtype)) for spec in shown), default=0) - len("torch.")
    rows = [
        f"  {name:<{width}}  {str(spec.dtype).removeprefix('torch.'):<{dtype_width}}  {list(spec.shape)}"
        for name, spec in zip(names, shown, strict=True)
    ]
    if len(specs) > _MAX_ROWS:
        rows.insert(half, f"  ... {len(specs) - _MAX_ROWS} more ...")
    return rows


def _scaled(number: int, units: list[str]) -> str:
    scaled = float(number)
    for unit in units[:-1]:
        if scaled < 999.5:
            return f"{number}{unit}" if unit == units[0] else f"{scaled:.3g}{unit}"
        scaled /= 1000
    return f"{scaled:.3g}{units[-1]}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "unknown"


def _clean(text: str) -> str:
    """Names come from files: shortened, and nothing that a terminal would obey."""
    printable = "".join(character if character.isprintable() else "?" for character in text)
    return printable if len(printable) <= _MAX_WIDTH else printable[: _MAX_WIDTH - 3] + "..."
