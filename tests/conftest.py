"""One thread a test process: pytest-xdist already uses every core, and small tensors only lose by more threads.

Without a GPU, Triton's kernels are tested in its interpreter, which has to be asked for before anything imports Triton.
With ``WITHOUT_MKL=1`` torch says that it has no MKL, as it has none on other processors.
"""

import os

import torch

torch.set_num_threads(1)
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
if os.environ.get("WITHOUT_MKL") == "1":
    torch.backends.mkl.is_available = lambda: False
