"""What a path or a factory on the command line stands for: a network, its inputs, its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from graphlab.cli.errors import CommandError
from graphlab.cli.factory import Network, is_factory, load_network

if TYPE_CHECKING:
    from graphlab.checkpoint import Checkpoint
    from graphlab.weightgraph import Structure, WeightGraph

GUESSED = (
    "guessed from names and shapes: no neurons may be permuted; give --module or the config for the real structure"
)
"""What the commands say of a structure that is a guess."""

GIVE_MODULE = "give its code (--module package.module:function)"


def network_with_weights(
    target: str,
    weights: Path | None = None,
    advice: str = "give its code: graphlab verify package.module:function --checkpoint FILE",
) -> Network:
    """A network in main memory: of a Hugging Face folder, or of a factory (with ``weights``, if given).

    Raises:
        CommandError: if there is none; it ends with ``advice`` where a file holds tensors alone.
    """
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
    _check_has_config(opened, advice)
    module = load_module(opened)
    return Network(module, (), example_inputs(module))


def network_of(opened: Checkpoint) -> Network:
    """The network of a Hugging Face folder on the meta device, without its weights."""
    from graphlab.interop import example_inputs, module_from_config

    _check_has_config(opened, GIVE_MODULE)
    module = module_from_config(opened.path)
    return Network(module, (), example_inputs(module))


def structure_of(opened: Checkpoint) -> Structure:
    """The structure that a saved weight-graph holds, that of a Hugging Face folder, or a guess for tensors alone."""
    from graphlab.capture import capture
    from graphlab.weightgraph import WeightGraph, trace
    from graphlab.weightgraph.graph import STRUCTURE_KEY

    if STRUCTURE_KEY in opened.metadata:
        return WeightGraph.load(opened.path).structure
    if _is_tensors_alone(opened):
        return _guessed(opened)
    network = network_of(opened)
    return trace(capture(network.module, network.args, network.kwargs))


def graph_of(opened: Checkpoint, module: str | None) -> WeightGraph:
    """A saved weight-graph, or a checkpoint attached to its network: that of its folder, or of a factory.

    Raises:
        CommandError: if there is no network, or only a saved guess of one.
    """
    from graphlab.interop import present_names
    from graphlab.weightgraph import WeightGraph
    from graphlab.weightgraph.graph import STRUCTURE_KEY
    from graphlab.weightgraph.guess import is_guess

    if STRUCTURE_KEY in opened.metadata:
        saved = WeightGraph.load(opened.path)
        if not is_guess(saved.structure):
            return saved
        if module is None:
            raise CommandError(f"{opened.path}: its structure was {GUESSED}")
    network = network_of(opened) if module is None else load_network(module)
    named = present_names(opened, network.module)
    return WeightGraph.from_checkpoint(named, network.module, network.args, network.kwargs)


def graph_or_guess(opened: Checkpoint, module: str | None) -> WeightGraph:
    """:func:`graph_of`, or a guess, saved or made now, where there are tensors alone and no factory."""
    from graphlab.weightgraph import WeightGraph
    from graphlab.weightgraph.graph import STRUCTURE_KEY

    if module is None and STRUCTURE_KEY in opened.metadata:
        return WeightGraph.load(opened.path)
    if module is None and _is_tensors_alone(opened):
        return WeightGraph(_guessed(opened), opened)
    return graph_of(opened, module)


def _is_tensors_alone(opened: Checkpoint) -> bool:
    return opened.config is None and opened.adapter is None and not _config_beside(opened)


def _guessed(opened: Checkpoint) -> Structure:
    from graphlab.weightgraph.guess import guess

    shapes = {name: spec.shape for name, spec in opened.specs.items() if spec.dtype.is_floating_point}
    return guess(shapes, {name: names[0] for names in opened.tied for name in names[1:]})


def _config_beside(opened: Checkpoint) -> bool:
    return opened.path.is_file() and (opened.path.parent / "config.json").is_file()


def _check_has_config(opened: Checkpoint, advice: str) -> None:
    if opened.config is not None:
        return
    if _config_beside(opened):
        advice = f"there is a config.json beside it: give the folder, {opened.path.parent}"
    kind = "an adapter, whose network is that of its base model" if opened.adapter else "tensors alone"
    raise CommandError(f"{opened.path}: {kind}, not what computes with them; {advice}")
