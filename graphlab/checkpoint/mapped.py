"""A file in memory without reading it: a private, copy-on-write mapping."""

from __future__ import annotations

import builtins
import mmap
import os
import stat
import sys
from pathlib import Path

import torch

from graphlab.checkpoint.errors import CheckpointError
from graphlab.checkpoint.spec import TensorSpec

# MAP_NORESERVE, which Python 3.11 does not name: without it Linux refuses private mappings larger than its memory.
_NORESERVE = 0x4000 if sys.platform == "linux" else 0


class MappedFile:
    """The bytes of a regular, non-empty file, mapped privately: pages are read on first use, and writes stay in memory.

    The mapping lives as long as this object or any tensor viewing it. The file may be replaced meanwhile (that leaves
    the mapped one untouched) but must not be truncated in place.

    Raises:
        CheckpointError: the file is missing, unreadable, not a regular file, or empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise CheckpointError(path, "expected a regular file")
            with builtins.open(path, "rb") as file:
                self.size = os.fstat(file.fileno()).st_size
                if self.size == 0:
                    raise CheckpointError(path, "the file is empty (0 bytes)")
                self._map = _map_privately(file.fileno(), self.size)
        except FileNotFoundError as error:
            raise CheckpointError(path, "no such file") from error
        except (OSError, ValueError) as error:
            raise CheckpointError(path, f"cannot be read: {error}") from error

    def read(self, offset: int, size: int) -> bytes:
        """Returns `size` bytes from `offset`, fewer where the file ends."""
        return self._map[offset : offset + size]

    def rfind(self, pattern: bytes, start: int) -> int:
        """Returns the last position of `pattern` at or after `start`, or -1."""
        return self._map.rfind(pattern, max(start, 0))

    def tensor(self, spec: TensorSpec) -> torch.Tensor:
        """Returns the tensor that `spec` describes, a view of this mapping.

        Only a tensor whose offset is no multiple of its element size is copied. Empty tensors own no memory.
        """
        if spec.numel == 0:
            return torch.empty(spec.shape, dtype=spec.dtype)
        count = spec.extent * spec.dtype.itemsize
        raw = torch.frombuffer(self._map, dtype=torch.uint8, count=count, offset=spec.offset)
        if spec.offset % spec.dtype.itemsize:
            raw = raw.clone()
        return raw.view(spec.dtype).as_strided(spec.shape, spec.stride)


def _map_privately(descriptor: int, size: int) -> mmap.mmap:
    if sys.platform == "win32":
        return mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY)
    return mmap.mmap(descriptor, size, mmap.MAP_PRIVATE | _NORESERVE, mmap.PROT_READ | mmap.PROT_WRITE)
