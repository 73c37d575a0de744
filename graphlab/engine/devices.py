"""Device, precision and processes, through Lightning Fabric.

Why Fabric and not torch.distributed alone: it is 0.3 MB of Python that brings only lightning-utilities with it; it
wires DDP, samplers, autocast and gradient scaling together the same way on CPU, CUDA and MPS; and it leaves the loop to
us and the launching to torchrun, so that leaving it later would change little beyond this file.
"""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from graphlab.engine.errors import EngineError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_DEVICE = re.compile(r"(auto|cpu|cuda|mps)|cuda:(\d+)")


@contextmanager
def launched(device: str, precision: str) -> Iterator[Fabric]:
    """Lightning's Fabric on one device; under torchrun, on one device for each process, connected inside the block.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps`` or ``auto`` (the first accelerator there is).
        precision: as Fabric names them: ``32-true``, ``64-true``, ``bf16-mixed``, ``16-mixed``, ...

    Raises:
        EngineError: there is no such device on this machine, or no such precision.
    """
    from lightning_fabric import Fabric

    accelerator, index = _parsed(device)
    processes, here = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if processes > 1 and index is not None:
        raise EngineError(f"{device}: torchrun started {processes} processes, and each takes a device of its own")
    placed: dict[str, Any] = {"devices": here if index is None else [index]}
    if processes > 1:
        placed |= {"num_nodes": processes // here, "strategy": "ddp"}
    try:
        fabric = Fabric(accelerator=accelerator, precision=precision, **placed)  # type: ignore[arg-type]
    except ValueError as error:
        raise EngineError(f"device {device} with precision {precision!r}: {error}") from error
    fabric.launch()
    try:
        yield fabric
        if processes > 1:
            # DDP's models must go first: freed after the group, they sometimes wait for its threads for ever
            gc.collect()
            fabric.barrier()
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _parsed(device: str) -> tuple[str, int | None]:
    found = _DEVICE.fullmatch(device)
    if found is None:
        raise EngineError(f"no device {device!r}; expected auto, cpu, cuda, cuda:NUMBER or mps")
    name, index = found[1] or "cuda", int(found[2]) if found[2] else None
    if name == "cuda" and not torch.cuda.is_available():
        raise EngineError(f"{device}: torch {torch.__version__} finds no CUDA device here")
    if name == "mps" and not torch.backends.mps.is_available():
        raise EngineError(f"{device}: torch {torch.__version__} finds no MPS device here")
    if index is not None and index >= torch.cuda.device_count():
        raise EngineError(f"{device}: this machine has {torch.cuda.device_count()} CUDA devices, counted from 0")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return name, index
