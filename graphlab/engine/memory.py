"""How much memory training takes, estimated before it starts, and how much there is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

_MEMINFO, _CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be allocated on the device, main memory within the limit of a container; None: unknown."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu" or not _MEMINFO.exists():
        return None
    facts = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines() if ":" in line)
    free = [1024 * int(facts["MemAvailable"].split()[0])]
    limit, used = _CGROUP / "memory.max", _CGROUP / "memory.current"
    if limit.exists() and limit.read_text().strip() != "max":
        free.append(int(limit.read_text()) - int(used.read_text()))
    return max(min(free), 0)


def kept_for_backward(model: nn.Module, forward: Callable[[nn.Module], Tensor], given: Sequence[Tensor] = ()) -> int:
    """Bytes that autograd keeps of one forward pass in training mode for the backward pass: each storage once.

    Neither ``model`` nor the global generators change. Parameters, and what ``given`` lists, are not counted: they are
    there in any case.
    """
    model = copy.deepcopy(model).train()
    known = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers(), *given)}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.layout is torch.strided and tensor.untyped_storage().data_ptr() not in known:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.random.fork_rng(), torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        result = forward(model)
        del result
    return sum(storage.nbytes() for storage in kept.values())
