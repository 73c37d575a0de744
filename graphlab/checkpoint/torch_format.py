"""Files that `torch.save` writes: a zip archive of one pickle and one record for each storage."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from graphlab.checkpoint.contents import Contents
from graphlab.checkpoint.errors import CheckpointError, listing, show
from graphlab.checkpoint.mapped import MappedFile
from graphlab.checkpoint.spec import TensorSpec, extent, parse_shape, parse_sizes
from graphlab.checkpoint.weights_pickle import MAX_PICKLE, PickleFlaw, StoredTensor, interpret
from graphlab.checkpoint.zip_directory import Record, read_directory

NESTED = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts and Lightning keep the state dict."""

_MAX_NESTING = 3
_MAX_EXPANDED = 64 * 2**20


def read_torch(file: MappedFile) -> Contents:
    """Reads names, shapes and dtypes from a torch zip file, running nothing in it; storages are not touched.

    Raises:
        CheckpointError: the archive or its pickle is damaged, holds more than weights, is TorchScript or another kind
            of archive, or a tensor leads out of its storage.
    """
    records = read_directory(file)
    root = _archive_root(records, file.path)
    _check_stored(records, file.path)
    _check_byte_order(file, records.get(f"{root}byteorder"))
    value = _interpret_record(file, records[f"{root}data.pkl"])
    state, extra = _find_state(value, file.path)
    specs: dict[str, TensorSpec] = {}
    for name, entry in state.items():
        if isinstance(entry, StoredTensor):
            specs[name] = _spec(name, entry, records.get(f"{root}data/{entry.storage.key}"), file)
        else:
            extra.append(name)
    return Contents("torch zip", {file.path: file}, specs, extra=tuple(extra))


def _archive_root(records: dict[str, Record], path: Path) -> str:
    roots = [name.removesuffix("data.pkl") for name in records if name.count("/") == 1 and name.endswith("/data.pkl")]
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in records):
        raise CheckpointError(
            path,
            "a TorchScript archive, which holds a program besides its weights. Save the weights alone: "
            "torch.save(torch.jit.load(path).state_dict(), 'weights.pt')",
        )
    if len(roots) == 1:
        return roots[0]
    if any(name.endswith(".npy") for name in records):
        raise CheckpointError(path, "a NumPy .npz archive, not torch weights. Load it with numpy.load")
    if any(name.endswith("model.weights.h5") for name in records):
        raise CheckpointError(path, "a Keras archive. Only PyTorch weights are read; convert the model to PyTorch")
    raise CheckpointError(path, f"a zip archive but not torch.save's: no data.pkl among {listing(list(records), 5)}")


def _check_stored(records: dict[str, Record], path: Path) -> None:
    for name, record in records.items():
        if record.compressed:
            raise CheckpointError(
                path,
                f"the zip record {show(name)} is compressed; torch stores records as they are, and expanding one could "
                "fill the memory. Unpack the archive and save the tensors with graphlab.checkpoint.save",
            )


def _check_byte_order(file: MappedFile, record: Record | None) -> None:
    order = sys.byteorder if record is None else file.read(record.offset, min(record.size, 8)).decode("latin-1")
    if order != sys.byteorder:
        raise CheckpointError(
            file.path,
            f"written with byte order {order!r}; this machine is {sys.byteorder!r}. Re-save it here with torch",
        )


def _interpret_record(file: MappedFile, record: Record) -> Any:
    if record.size > MAX_PICKLE:
        raise CheckpointError(file.path, f"its pickle has {record.size} bytes; at most {MAX_PICKLE} are accepted")
    try:
        value, refused = interpret(file.read(record.offset, record.size))
    except PickleFlaw as error:
        raise CheckpointError(file.path, f"its pickle is damaged or not torch's: {error}") from error
    if any("torch.distributed" in name for name in refused):
        raise CheckpointError(
            file.path,
            f"holds distributed tensors ({listing(refused)}), of which this file has one shard. Gather the whole state "
            "dict first: torch.distributed.checkpoint.state_dict.get_model_state_dict with full_state_dict=True",
        )
    if refused:
        raise CheckpointError(
            file.path,
            f"its pickle holds Python objects that are not plain tensors: {listing(refused)}. Building them would run "
            "code that the file names, so nothing was run. If you trust the file, load it with torch.load(path, "
            "weights_only=False) and keep only its tensors: graphlab.checkpoint.save(state_dict, 'model.safetensors')",
        )
    return value


def _find_state(value: Any, path: Path) -> tuple[dict[str, Any], list[str]]:
    """Returns the dict that holds the tensors, and the names of what lies beside it."""
    extra: list[str] = []
    for _ in range(_MAX_NESTING):
        nested = [key for key in NESTED if isinstance(value, dict) and isinstance(value.get(key), dict)]
        if not nested:
            break
        extra += [key for key in value if key != nested[0]]
        value = value[nested[0]]
    if not isinstance(value, dict) or not any(isinstance(item, StoredTensor) for item in value.values()):
        found = (listing(list(value)) or "an empty dict") if isinstance(value, dict) else show(value)
        raise CheckpointError(
            path, f"no state dict: expected tensors by name, at the top or under {listing(list(NESTED))}; found {found}"
        )
    return value, extra


def _spec(name: str, tensor: StoredTensor, record: Record | None, file: MappedFile) -> TensorSpec:
    storage, dtype = tensor.storage, tensor.dtype
    if record is None:
        raise CheckpointError(file.path, f"its storage {show(storage.key)} is missing from the archive", name)
    declared = storage.numel * (1 if storage.dtype is None else storage.dtype.itemsize)
    if not 0 <= declared <= record.size:
        raise CheckpointError(
            file.path, f"its storage declares {show(declared)} bytes; the archive has {record.size}", name
        )
    try:
        shape = parse_shape(tensor.shape)
        stride = parse_sizes(tensor.stride, "stride")
        (offset,) = parse_sizes([tensor.offset], "offset")
    except ValueError as error:
        raise CheckpointError(file.path, str(error), name) from error
    if len(shape) != len(stride):
        raise CheckpointError(file.path, f"shape {list(shape)} and stride {list(stride)} differ in length", name)
    span = extent(shape, stride)
    if span > 0 and (offset + span) * dtype.itemsize > declared:
        raise CheckpointError(
            file.path,
            f"shape {list(shape)}, stride {list(stride)} and offset {offset} lead out of its storage of "
            f"{declared // dtype.itemsize} elements",
            name,
        )
    spec = TensorSpec(name, shape, dtype, file.path, record.offset + offset * dtype.itemsize, stride)
    if spec.nbytes > max(declared, _MAX_EXPANDED):
        raise CheckpointError(
            file.path,
            f"an expanded view of {spec.numel} elements over {declared} bytes. Save it with .contiguous()",
            name,
        )
    return spec
