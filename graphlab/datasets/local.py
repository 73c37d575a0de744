"""Where local copies of raw files are, and where data sets are processed.

PyG writes ``processed/`` beside ``raw/``, so raw files are copied to a cache folder first: a folder of local copies is
only read. The cache is ``$GRAPHLAB_CACHE``, else ``graphlab`` in the user's cache folder (``$XDG_CACHE_HOME``).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

Read = TypeVar("Read")

RawFile = tuple[str, str]
"""A file below the folder of local copies, and where below its root PyG looks for it."""


def data_folder(data_dir: str | Path | None = None) -> Path:
    """The folder of local copies: ``data_dir``, else ``$GRAPHLAB_DATA``, else ``shared/data`` beside the checkout."""
    if data_dir is not None:
        return Path(data_dir)
    configured = os.environ.get("GRAPHLAB_DATA")
    return Path(configured) if configured else Path(__file__).parents[3] / "shared" / "data"


def cache_folder() -> Path:
    """Where data sets are processed; it may not exist yet."""
    configured = os.environ.get("GRAPHLAB_CACHE")
    if configured:
        return Path(configured)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "graphlab"


def missing(folder: Path, files: Sequence[RawFile]) -> list[str]:
    """Those of the local copies that are not there."""
    return [source for source, _ in files if not (folder / source).is_file()]


def process_copy(folder: Path, files: Sequence[RawFile], read: Callable[[str], Read]) -> Read:
    """Copy raw files into the cache and read them there; once for each state of the files.

    Args:
        folder: With the local copies.
        files: All that ``read`` needs.
        read: Called with a root below which the files lie as PyG wants them.
    """
    stamp = hashlib.sha256()
    for source, target in files:
        facts = (folder / source).resolve().stat()
        stamp.update(f"{(folder / source).resolve()} {target} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    root = cache_folder() / "local" / stamp.hexdigest()[:16]
    if not root.exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root.parent) as scratch:
            made = Path(scratch) / "root"
            for source, target in files:
                (made / target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / source, made / target)
            read(str(made))
            try:
                made.rename(root)
            except OSError:  # another process was first
                if not root.exists():
                    raise
    return read(str(root))
