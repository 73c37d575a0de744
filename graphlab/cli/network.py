"""What a path or a factory on the command line stands for: a network, its inputs, its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from graphlab.cli.errors import CommandError
from graphlab.cli.factory import Network, is_factory, load_network

if TYPE_CHECKING:
    from graphlab.checkpoint import Checkpoint
    from graphlab.weightgraph import Structure, WeightGraph


def network_with_weights(target: str, weights: Path | None) -> Network:
    """A network in main memory: of a Hugging Face folder, or of a factory (with ``weights``, if given)."""
    from graphlab import checkpoint
    from graphlab.interop import example_inputs, load_module, load_weights

    if is_factory(target) and not Path(target).exists():
        network = load_network(target)
        if weights is not None:
            load_weights(network.module, checkpoint.open(weights))
        return network
    if weights is not None:
        raise CommandError(f"{target}: a checkpoint can be given to package.module:function only")
    opened = checkpoint.open(target)
    _check_has_config(opened, "give its code: graphlab verify package.module:function --checkpoint FILE")
    module = load_module(opened)
    return Network(module, (), example_inputs(module))


def network_of(opened: Checkpoint) -> Network:
    """The network of a Hugging Face folder on the meta device, without its weights."""
    from graphlab.interop import example_inputs, module_from_config

    _check_has_config(
        opened,
        "give its code (--module package.module:function). Guessing a network from the names and shapes of its "
        "tensors will come with the layouts",
    )
    module = module_from_config(opened.path)
    return Network(module, (), example_inputs(module))


def structure_of(opened: Checkpoint) -> Structure:
    """The structure that a saved weight-graph holds, or that of the network of a Hugging Face folder."""
    from graphlab.capture import capture
    from graphlab.weightgraph import WeightGraph, trace
    from graphlab.weightgraph.graph import STRUCTURE_KEY

    if STRUCTURE_KEY in opened.metadata:
        return WeightGraph.load(opened.path).structure
    network = network_of(opened)
    return trace(capture(network.module, network.args, network.kwargs))


def graph_of(opened: Checkpoint, module: str | None) -> WeightGraph:
    """A saved weight-graph, or a checkpoint attached to its network: that of its folder, or of a factory."""
    from graphlab.interop import present_names
    from graphlab.weightgraph import WeightGraph
    from graphlab.weightgraph.graph import STRUCTURE_KEY

    if STRUCTURE_KEY in opened.metadata:
        return WeightGraph.load(opened.path)
    network = network_of(opened) if module is None else load_network(module)
    named = present_names(opened, network.module)
    return WeightGraph.from_checkpoint(named, network.module, network.args, network.kwargs)


def _check_has_config(opened: Checkpoint, advice: str) -> None:
    if opened.config is not None:
        return
    folder = opened.path.parent
    if opened.path.is_file() and (folder / "config.json").is_file():
        advice = f"there is a config.json beside it: give the folder, {folder}"
    kind = "an adapter, whose network is that of its base model" if opened.adapter else "tensors alone"
    raise CommandError(f"{opened.path}: {kind}, not what computes with them; {advice}")
