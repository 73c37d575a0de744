"""Opening weight files safely and lazily, writing safetensors atomically.

`open` reads the headers of safetensors files, torch zip files, Lightning checkpoints, sharded checkpoints, Hugging Face
folders and PEFT adapters into a `Checkpoint`: names, shapes and dtypes at once, tensors as copy-on-write views of the
mapped file. Nothing that a file contains is ever run. `save` writes a safetensors file that appears whole or not at
all. `check_module` says which tensor belongs to which parameter of a module, and everything that does not fit. `find`
lists what can be opened below a folder.

    >>> checkpoint = graphlab.checkpoint.open("model.safetensors")
    >>> checkpoint["encoder.weight"]

Whatever is wrong with a file is a `CheckpointError`.
"""

from graphlab.checkpoint.checkpoint import Checkpoint
from graphlab.checkpoint.errors import CheckpointError
from graphlab.checkpoint.finding import find
from graphlab.checkpoint.matching import Match, check_module, match_module
from graphlab.checkpoint.opening import open
from graphlab.checkpoint.spec import TensorSpec
from graphlab.checkpoint.writing import save

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "Match",
    "TensorSpec",
    "check_module",
    "find",
    "match_module",
    "open",
    "save",
]
