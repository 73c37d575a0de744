"""graphlab's own layouts under their names: what each reads of a weight-graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from graphlab.weightgraph.layouts.exact import exact
from graphlab.weightgraph.layouts.layers import Layer
from graphlab.weightgraph.layouts.neural_graph import neural_graph
from graphlab.weightgraph.layouts.nino import FAMILIES, head_counts, nino
from graphlab.weightgraph.layouts.nino.exact import nino_exact
from graphlab.weightgraph.layouts.parameter_graph import Reader, parameter_graph
from graphlab.weightgraph.layouts.registry import layout
from graphlab.weightgraph.wiring import Wiring, WiringError

if TYPE_CHECKING:
    from graphlab.weightgraph.graph import WeightGraph

_STATISTICS = ("running_mean", "running_var")


@layout("exact")
def exact_layout(graph: WeightGraph) -> Wiring:
    """Every entry of every tensor, between the neurons that index it."""
    return exact(graph.structure, graph.tensors)


@layout("nino")
def nino_layout(
    graph: WeightGraph,
    wiring: Literal["exact", "published"] = "exact",
    family: str | None = None,
    num_heads: int | None = None,
    max_slots: int | None = None,
) -> Wiring:
    """NiNo's neural graph: with the neurons of the structure, or as published for a family.

    The family and the number of heads default to what the configuration of a Hugging Face module says; any other
    network is published as a ``chain``.
    """
    tensors = {
        name: tensor
        for name, tensor in graph.tensors.items()
        if tensor.is_floating_point() and not name.endswith(_STATISTICS)
    }
    if wiring == "exact":
        return nino_exact(graph.structure, tensors, max_slots)
    settings: Any = getattr(graph.module, "config", None)
    config: dict[str, Any] = settings.to_dict() if hasattr(settings, "to_dict") else {}
    family = family or config.get("model_type", "chain")
    counts = head_counts(config) | ({} if num_heads is None else {"num_heads": num_heads})
    if family != "chain" and family not in FAMILIES:
        raise WiringError(
            f"NiNo has no published drawing of {family}; there are chain, {', '.join(FAMILIES)}, and wiring='exact'"
        )
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return nino(shapes, family, counts.get("num_heads"), counts.get("num_kv_heads"), max_slots)


Layers = nn.Module | Iterable[nn.Module | Layer]


@layout("neural_graph")
def neural_graph_layout(
    graph: WeightGraph,
    layers: Layers | None = None,
    max_kernel: Sequence[int] | None = None,
    linear_as_conv: bool = True,
    residuals: Sequence[int] = (),
    flatten: Literal["channel_last", "channel_first"] | None = None,
) -> Wiring:
    """The neural graph of the modules that the network is a sequence of, or of ``layers``."""
    modules = _sequence(graph, "neural_graph", layers)
    return neural_graph(
        modules, max_kernel=max_kernel, linear_as_conv=linear_as_conv, residuals=residuals, flatten=flatten
    )


@layout("parameter_graph")
def parameter_graph_layout(
    graph: WeightGraph,
    layers: Layers | None = None,
    selfloop: bool = False,
    distinct_types: bool = False,
    mark_outputs: bool = False,
    correct_grid: bool = False,
    readers: Mapping[type[nn.Module], Reader] | None = None,
) -> Wiring:
    """The parameter graph of the modules that the network is a sequence of, or of ``layers``."""
    options = {"distinct_types": distinct_types, "mark_outputs": mark_outputs, "correct_grid": correct_grid}
    return parameter_graph(_sequence(graph, "parameter_graph", layers), selfloop, **options, readers=readers)


def _sequence(graph: WeightGraph, name: str, layers: Layers | None) -> Layers:
    if layers is not None:
        return layers
    if graph.module is None:
        raise WiringError(f"{name} reads modules, and this weight-graph was made of tensors alone: give layers=...")
    return graph.module
