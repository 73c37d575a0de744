"""Files that hold weights, but not as tensors that can be used as they are: what each is, and what to do instead."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from graphlab.checkpoint.errors import CheckpointError, show
from graphlab.checkpoint.mapped import MappedFile

_CONVERT = "Only PyTorch weights are read; convert the model to safetensors first"
_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_MAGICS = [
    (b"GGUF", "a GGUF file, whose weights are quantised in blocks. Use the original safetensors checkpoint"),
    (b"lmgg", "a GGML file, whose weights are quantised in blocks. Use the original safetensors checkpoint"),
    (b"tjgg", "a GGML file, whose weights are quantised in blocks. Use the original safetensors checkpoint"),
    (b"\x89HDF\r\n\x1a\n", f"an HDF5 file (Keras or TensorFlow). {_CONVERT}"),
    (b"\x93NUMPY", "a NumPy array, not a checkpoint. Load it with numpy.load"),
    (
        _LEGACY_TORCH,
        "a torch file of before version 1.6, which can only be read by running its pickle. If you trust it, load it "
        "with torch.load(path, weights_only=True) and keep it with graphlab.checkpoint.save(state_dict, path)",
    ),
    (b"\x1f\x8b", "a gzip archive. Unpack it first"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself. Fetch it with `git lfs pull`"),
    (b"<!DOCTYPE", "a web page, not weights: the download went wrong"),
    (b"<html", "a web page, not weights: the download went wrong"),
]
_SUFFIXES = {
    ".gguf": "GGUF weights, quantised in blocks",
    ".h5": "Keras or TensorFlow weights",
    ".keras": "a Keras model",
    ".msgpack": "Flax weights",
    ".npz": "NumPy arrays",
    ".npy": "a NumPy array",
    ".onnx": "an ONNX model",
    ".pb": "a TensorFlow model",
    ".tflite": "a TensorFlow Lite model",
}
_SCALED = "fp8"


def refuse_foreign(file: MappedFile) -> None:
    """Raises CheckpointError saying what `file` is instead of a safetensors or torch file, as far as can be told."""
    start = file.read(0, 264)
    for magic, answer in _MAGICS:
        if start.startswith(magic):
            raise CheckpointError(file.path, answer)
    if start[:1] == b"\x80" and start[1:2] <= b"\x05":
        raise CheckpointError(
            file.path,
            "a bare Python pickle. Reading it would run code that it names; re-save the tensors as safetensors",
        )
    if start[257:262] == b"ustar":
        raise CheckpointError(
            file.path, "a tar archive. Unpack it, or re-save a torch file of that age with torch >= 1.6"
        )
    if ".data-0" in file.path.name or file.path.name.endswith(".ckpt.index"):
        raise CheckpointError(file.path, f"a TensorFlow checkpoint. {_CONVERT}")
    if file.path.suffix in _SUFFIXES:
        raise CheckpointError(file.path, f"{_SUFFIXES[file.path.suffix]}. {_CONVERT}")
    raise CheckpointError(
        file.path, f"neither safetensors nor a torch zip file: it starts with {start[:8]!r}. Re-save it as safetensors"
    )


def refuse_foreign_folder(folder: Path, names: Collection[str]) -> None:
    """Raises CheckpointError where a folder without weights to read has others that are recognised."""
    if ".metadata" in names or any(name.endswith(".distcp") for name in names):
        raise CheckpointError(
            folder,
            "a torch.distributed checkpoint, whose tensors are cut into shards. Join it into one file first: "
            "torch.distributed.checkpoint.format_utils.dcp_to_torch_save(folder, 'model.pt')",
        )
    if "saved_model.pb" in names or ("checkpoint" in names and any(name.endswith(".index") for name in names)):
        raise CheckpointError(folder, f"a TensorFlow checkpoint. {_CONVERT}")
    for name in sorted(names):
        if Path(name).suffix in _SUFFIXES:
            raise CheckpointError(folder, f"it holds only {_SUFFIXES[Path(name).suffix]} ({show(name)}). {_CONVERT}")


def refuse_quantised_config(path: Path, config: dict[str, Any]) -> None:
    """Raises CheckpointError where a model's `quantization_config` says that its weights are packed codes."""
    quantisation = config.get("quantization_config")
    if not isinstance(quantisation, dict) or not quantisation:
        return
    method = quantisation.get("quant_method", "bitsandbytes" if "load_in_4bit" in quantisation else None)
    if not isinstance(method, str) or _SCALED not in method:
        _refuse_quantised(path, method if isinstance(method, str) else "an unnamed method")


def refuse_quantised_names(path: Path, names: Iterable[str]) -> None:
    """Raises CheckpointError where the names of the tensors are those of packed codes."""
    names = set(names)
    if any(".quant_state." in name or name.endswith((".absmax", ".SCB")) for name in names):
        _refuse_quantised(path, "bitsandbytes")
    if any(name.endswith(".qweight") for name in names) and any(name.endswith(".qzeros") for name in names):
        _refuse_quantised(path, "GPTQ or AWQ")


def _refuse_quantised(path: Path, method: str) -> None:
    raise CheckpointError(
        path,
        f"its weights are quantised ({method[:80]}): packed codes, not values. Use the checkpoint that it was made "
        "from, or dequantise it with its own library and save the result",
    )
