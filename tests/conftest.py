"""One thread a test process: pytest-xdist already uses every core, and small tensors only lose by more threads.

Without a GPU, Triton's kernels are tested in its interpreter, which has to be asked for before anything imports Triton.
"""

import os

import torch

torch.set_num_threads(1)
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
