"""The generic graph: layers one after the other, without skips."""

from graphlab.weightgraph.layouts.nino.parameters import Entry
from graphlab.weightgraph.layouts.nino.sketch import Sketch, Span
from graphlab.weightgraph.layouts.nino.types import EdgeType
from graphlab.weightgraph.wiring import WiringError

_TYPE = {2: EdgeType.LINEAR, 4: EdgeType.CONV}


def chain(sketch: Sketch) -> None:
    """Multilayer perceptrons and convolutional networks: ``inputs | units, outputs of layer 0 | ...``.

    A group is the outputs of a weight and the inputs of the next; the vectors that follow a weight act on its outputs.
    Parameters without axes are left out and stay what they are.

    Raises:
        WiringError: if the inputs of a weight are not the outputs of the one before.
    """
    layers = _layers(sketch.parameters.entries())
    inputs = sketch.nodes("inputs", layers[0][0].shape[1])
    for weight, vectors in layers:
        sketch.units(vectors)
        outputs = sketch.nodes(f"outputs of {weight.name}", weight.shape[0])
        _check(weight, inputs)
        sketch.matrix(weight, inputs, outputs, _TYPE.get(len(weight.shape), EdgeType.BIAS))
        sketch.vectors(vectors, outputs)
        inputs = outputs


def _layers(entries: list[Entry]) -> list[tuple[Entry, list[Entry]]]:
    """Each weight with the vectors that follow it."""
    layers: list[tuple[Entry, list[Entry]]] = []
    for entry in entries:
        if len(entry.shape) > 1:
            layers.append((entry, []))
        elif entry.shape and layers:
            layers[-1][1].append(entry)
        elif entry.shape:
            raise WiringError(f"{entry.name}: a vector before the first weight has no neurons to act on")
    if not layers:
        raise WiringError("a chain needs at least one weight of two or more axes")
    return layers


def _check(weight: Entry, inputs: Span) -> None:
    if weight.shape[1] != inputs.size:
        raise WiringError(
            f"{weight.name} has {weight.shape[1]} inputs, but the layer before it has {inputs.size} outputs: not a "
            "chain (flattened positions, groups, skips and branches cannot be drawn as one)"
        )
