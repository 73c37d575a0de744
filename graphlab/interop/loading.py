"""Giving a module the tensors of a checkpoint, without initialising it first and without copying them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from graphlab.checkpoint import check_module


@contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Modules made inside have their parameters on the meta device, and real buffers.

    Parameters then take no memory and no time to initialise, while what a checkpoint does not hold (the frequencies
    of rotary embeddings and other non-persistent buffers) is computed as always.
    """
    register = nn.Module.register_parameter

    def register_on_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None and not parameter.is_meta:
            parameter = nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)
        register(module, name, parameter)

    setattr(nn.Module, "register_parameter", register_on_meta)  # noqa: B010 (mypy knows methods as constant)
    try:
        yield
    finally:
        setattr(nn.Module, "register_parameter", register)  # noqa: B010


def load_weights(module: nn.Module, opened: Mapping[str, torch.Tensor]) -> None:
    """Make the checkpoint's tensors the module's own: views of the mapped file, in the dtypes that they have there.

    Parameters of the module that are tied stay tied. The module may be on the meta device.

    Raises:
        CheckpointError: lists every tensor that is missing, extra or of another shape than the module's.
    """
    names = check_module(opened, module).names
    loaded: dict[int, torch.Tensor] = {}
    state: dict[str, torch.Tensor] = {}
    for name, own in module.state_dict(keep_vars=True).items():
        if id(own) not in loaded:
            tensor = opened[names[name]]
            learned = isinstance(own, nn.Parameter)
            loaded[id(own)] = nn.Parameter(tensor, own.requires_grad) if learned else tensor
        state[name] = loaded[id(own)]
    module.load_state_dict(state, assign=True)
