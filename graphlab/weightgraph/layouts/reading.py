"""Reading the list of layers off ``torch`` modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from torch import nn

from graphlab.weightgraph.layouts.layers import Conv, Layer, Linear, Norm
from graphlab.weightgraph.wiring import WiringError

Reader: TypeAlias = Callable[[str, nn.Module], Layer]
"""Declares a module, given its name and itself."""


def read_layers(
    modules: nn.Module | Iterable[nn.Module | Layer],
    readers: Mapping[type[nn.Module], Reader] | None = None,
) -> list[Layer]:
    """The layers of a sequence of modules, in its order; modules without parameters are left out.

    Args:
        modules: ``nn.Sequential``, ``nn.ModuleList`` or any iterable, nested ones included. Modules are named by their
            place, as in the state dict of a sequence. Declared layers pass as they are.
        readers: How to declare modules of further classes, such as one's own residual blocks.

    Raises:
        WiringError: naming the module and its class, if a module with parameters cannot be declared.
    """
    known = {**_READERS, **(readers or {})}
    layers: list[Layer] = []
    owners: dict[int, str] = {}
    for name, module in _flat(modules):
        if not isinstance(module, nn.Module):
            layers.append(module)
            continue
        parameters = dict(module.named_parameters(prefix=name))
        if not parameters:
            continue
        for own, parameter in parameters.items():
            if (other := owners.setdefault(id(parameter), own)) != own:
                raise WiringError(f"{own} is the same parameter as {other}: an edge cannot stand for both")
        layers.append(_read(name, module, known, set(parameters)))
    return layers


def _read(name: str, module: nn.Module, readers: Mapping[type[nn.Module], Reader], parameters: set[str]) -> Layer:
    described = f"{name} ({type(module).__name__})"
    reader = readers.get(type(module))
    if reader is None:
        raise WiringError(f"{described} has parameters, but there is no declaration of how to draw it")
    try:
        layer = reader(name, module)
    except WiringError as error:
        raise WiringError(f"{described}: {error}") from error
    if set(layer.parameters) != parameters:
        raise WiringError(
            f"{described} has the parameters {sorted(parameters)}, its declaration {type(layer).__name__} has "
            f"{sorted(layer.parameters)}"
        )
    return layer


def _flat(
    modules: nn.Module | Iterable[nn.Module | Layer], prefix: str = ""
) -> Iterator[tuple[str, nn.Module | Layer]]:
    children: Iterable[tuple[str, nn.Module | Layer]]
    if isinstance(modules, nn.Sequential | nn.ModuleList):
        children = modules._modules.items()  # named_children() leaves out repetitions
    elif isinstance(modules, nn.Module):
        raise WiringError(
            f"expected a sequence of modules, got {type(modules).__name__}: give its layers in their order"
        )
    else:
        children = ((str(place), module) for place, module in enumerate(modules))
    for name, module in children:
        if isinstance(module, nn.Sequential | nn.ModuleList):
            yield from _flat(module, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", module


def _linear(name: str, module: nn.Module) -> Layer:
    assert isinstance(module, nn.Linear)
    return Linear(name, module.in_features, module.out_features, module.bias is not None)


def _conv(name: str, module: nn.Module) -> Layer:
    assert isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    if module.groups != 1:
        raise WiringError(f"convolutions of {module.groups} groups cannot be drawn")
    kernel = tuple(module.kernel_size)
    return Conv(name, module.in_channels, module.out_channels, kernel, module.bias is not None)


def _batch_norm(name: str, module: nn.Module) -> Layer:
    assert isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)
    return Norm(name, "bn", module.num_features)


def _instance_norm(name: str, module: nn.Module) -> Layer:
    assert isinstance(module, nn.InstanceNorm1d | nn.InstanceNorm2d | nn.InstanceNorm3d)
    return Norm(name, "in", module.num_features)


def _group_norm(name: str, module: nn.Module) -> Layer:
    assert isinstance(module, nn.GroupNorm)
    return Norm(name, "gn", module.num_channels)


def _layer_norm(name: str, module: nn.Module) -> Layer:
    assert isinstance(module, nn.LayerNorm)
    if len(module.normalized_shape) != 1:
        raise WiringError(f"a norm over several axes {list(module.normalized_shape)} cannot be drawn")
    return Norm(name, "ln", module.normalized_shape[0], bias=module.bias is not None)


_READERS: dict[type[nn.Module], Reader] = {
    nn.Linear: _linear,
    nn.Conv1d: _conv,
    nn.Conv2d: _conv,
    nn.Conv3d: _conv,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm3d: _batch_norm,
    nn.InstanceNorm1d: _instance_norm,
    nn.InstanceNorm2d: _instance_norm,
    nn.InstanceNorm3d: _instance_norm,
    nn.GroupNorm: _group_norm,
    nn.LayerNorm: _layer_norm,
}
