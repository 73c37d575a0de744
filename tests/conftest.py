"""One thread a test process: pytest-xdist already uses every core, and small tensors only lose by more threads."""

import torch

torch.set_num_threads(1)
