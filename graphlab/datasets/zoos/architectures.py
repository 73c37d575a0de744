"""What networks of a zoo have in common: their kind and sizes, from which modules and drawings follow."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from graphlab.nn.models.siren import Siren
from graphlab.nn.models.wild_park import WildParkCNN
from graphlab.weightgraph import WeightGraph
from graphlab.weightgraph.layouts import wire
from graphlab.weightgraph.layouts.layers import Conv, Layer, Linear
from graphlab.weightgraph.layouts.neural_graph import mlp_layers, neural_graph
from graphlab.weightgraph.layouts.parameter_graph import parameter_graph
from graphlab.weightgraph.wiring import Wiring

if TYPE_CHECKING:
    from graphlab.datasets.zoos.zoo import Zoo


@dataclass(frozen=True)
class SirenArchitecture:
    """:class:`~graphlab.nn.models.siren.Siren` of these sizes."""

    kind: ClassVar[str] = "siren"
    layout: tuple[int, ...]
    w0: float = 30.0
    offset: float = 0.5

    def module(self) -> Siren:
        return Siren(self.layout, self.w0, self.offset)

    def layers(self) -> list[Layer]:
        return list(mlp_layers(self.layout))

    @property
    def num_inputs(self) -> int:
        return self.layout[0]

    @property
    def num_outputs(self) -> int:
        return self.layout[-1]

    @property
    def activations(self) -> tuple[str, ...]:
        return ("sine",) * (len(self.layout) - 2)

    @property
    def residuals(self) -> tuple[int, ...]:
        return ()


@dataclass(frozen=True)
class CNNArchitecture:
    """:class:`~graphlab.nn.models.wild_park.WildParkCNN` of these sizes, the mean of its last map classified."""

    kind: ClassVar[str] = "cnn"
    channels: tuple[int, ...]
    kernel_size: tuple[int, ...]
    num_classes: int
    residual: tuple[int, ...]
    activation: tuple[str, ...]

    def module(self) -> WildParkCNN:
        return WildParkCNN(self.channels, self.kernel_size, self.num_classes, self.residual, self.activation)

    def layers(self) -> list[Layer]:
        return self.module().declare()

    @property
    def num_inputs(self) -> int:
        return self.channels[0]

    @property
    def num_outputs(self) -> int:
        return self.num_classes

    @property
    def activations(self) -> tuple[str, ...]:
        return self.activation

    @property
    def residuals(self) -> tuple[int, ...]:
        return self.residual if max(self.residual) >= 0 else ()


@dataclass(frozen=True)
class ChainArchitecture:
    """Linear and convolutional layers one after the other, known by their names and shapes alone.

    Attributes:
        names: Of the layers, in the order in which they run.
        sizes: The shape of each layer's weight; every layer has a bias.
        activation: Of all hidden layers.

    Raises:
        ValueError: if there are not as many sizes as names, or a shape is of neither kind of layer.
    """

    kind: ClassVar[str] = "chain"
    names: tuple[str, ...]
    sizes: tuple[tuple[int, ...], ...]
    activation: str = "none"

    def __post_init__(self) -> None:
        if not self.names or len(self.names) != len(self.sizes):
            raise ValueError(f"expected as many shapes as layers, one or more; got {self.names}, {self.sizes}")
        for name, shape in zip(self.names, self.sizes, strict=True):
            if not 2 <= len(shape) <= 5:
                raise ValueError(f"{name}: neither a linear layer nor a convolution: its weight is {list(shape)}")

    def module(self) -> nn.Module:
        """
        Raises:
            ValueError: always; shapes do not say what the network computes.
        """
        raise ValueError("the code of these networks is not known, only the shapes of their layers")

    def layers(self) -> list[Layer]:
        return [
            Linear(name, shape[1], shape[0]) if len(shape) == 2 else Conv(name, shape[1], shape[0], tuple(shape[2:]))
            for name, shape in zip(self.names, self.sizes, strict=True)
        ]

    @property
    def num_inputs(self) -> int:
        return self.sizes[0][1]

    @property
    def num_outputs(self) -> int:
        return self.sizes[-1][0]

    @property
    def activations(self) -> tuple[str, ...]:
        return (self.activation,) * (len(self.names) - 1)

    @property
    def residuals(self) -> tuple[int, ...]:
        return ()


Architecture = SirenArchitecture | CNNArchitecture | ChainArchitecture
"""A network without its parameters. All have ``module()``, ``layers()``, ``num_inputs``, ``num_outputs`` and, of hidden
layers, ``activations``; ``residuals`` are those that the layout ``neural_graph`` takes."""

_KINDS: dict[str, type[Any]] = {own.kind: own for own in (SirenArchitecture, CNNArchitecture, ChainArchitecture)}


@functools.cache
def shapes(architecture: Architecture) -> Mapping[str, tuple[int, ...]]:
    """Shape of each parameter, by its name."""
    if isinstance(architecture, ChainArchitecture):
        own = zip(architecture.names, architecture.sizes, strict=True)
        return {key: s for name, shape in own for key, s in ((f"{name}.weight", shape), (f"{name}.bias", shape[:1]))}
    with torch.device("meta"):
        return {name: tuple(own.shape) for name, own in architecture.module().named_parameters()}


def wiring(architecture: Architecture, layout: str = "neural_graph", **options: Any) -> Wiring:
    """How a layout draws every network of the architecture; drawn once, the same object each time.

    Published layouts are drawn from the declared layers; any other from the structure, which is traced.

    Raises:
        WiringError: for an unknown layout or option, and if the layout cannot hold the network.
    """
    return _drawn(architecture, layout, tuple((name, _frozen(value)) for name, value in sorted(options.items())))


def graph(architecture: Architecture, tensors: Mapping[str, torch.Tensor]) -> WeightGraph:
    """A network of the architecture with its structure."""
    traced = _traced(architecture)
    return WeightGraph(traced.structure, tensors, traced.module)


def siren_architecture(networks: Zoo) -> SirenArchitecture:
    """That of SIRENs that all have the same.

    Raises:
        ValueError: if networks are of several architectures, or no SIRENs.
    """
    first, *others = networks.architectures
    if others or not isinstance(first, SirenArchitecture):
        found = f"{1 + len(others)} architectures" if others else f"a {first.kind}"
        raise ValueError(f"{networks.name}: expected SIRENs of one layout, got {found}")
    return first


def to_json(architecture: Architecture) -> dict[str, Any]:
    """The architecture as a JSON object."""
    return {"kind": architecture.kind, **asdict(architecture)}


def from_json(document: Any) -> Architecture:
    """The inverse of :func:`to_json`.

    Raises:
        ValueError: for a kind that is unknown, sizes that are none, and whatever its module refuses.
    """
    if not isinstance(document, dict) or document.get("kind") not in _KINDS:
        raise ValueError(f"expected an architecture of kind {' or '.join(_KINDS)}, got {document}")
    values = {name: _frozen(value) for name, value in document.items() if name != "kind"}
    try:
        architecture: Architecture = _KINDS[document["kind"]](**values)
        shapes(architecture)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ValueError(f"not a {document['kind']} architecture: {error}") from error
    return architecture


@functools.cache
def _drawn(architecture: Architecture, layout: str, options: tuple[tuple[str, Any], ...]) -> Wiring:
    given = dict(options)
    if layout == "neural_graph":
        if isinstance(architecture, ChainArchitecture):
            given.setdefault("flatten", "channel_first")
        return neural_graph(architecture.layers(), residuals=architecture.residuals, **given)
    if layout == "parameter_graph":
        return parameter_graph(architecture.layers(), **given)
    return wire(layout, _traced(architecture), **given)


@functools.cache
def _traced(architecture: Architecture) -> WeightGraph:
    image = (8, 8) if isinstance(architecture, CNNArchitecture) else ()
    return WeightGraph.from_module(architecture.module().eval(), (torch.zeros(2, architecture.num_inputs, *image),))


def _frozen(value: Any) -> Any:
    """Lists as tuples, at every depth."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value
