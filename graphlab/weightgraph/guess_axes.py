"""Which neurons index which axis of a layer's parameters, as far as sizes and names tell.

:mod:`graphlab.weightgraph.guess` says by which heuristics; their numbers are given here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from graphlab.weightgraph.axes import Axis, Group, Product, Sum, positions
from graphlab.weightgraph.guess_layers import Layer, Shape

GUESS = "a guess from names and shapes"
"""Why the groups of a guessed structure are fixed."""

_RECURRENT = re.compile(r"^(.*)_(ih|hh)_l(\d+)(_reverse)?$", re.S)
_GATES = (1, 3, 4)


class Links:
    """Follows layers in their order.

    Attributes:
        groups: Name -> group.
        axes: Parameter -> an expression for each of its axes.
        reads: Parameter -> the axes that it reads, as in a structure.
    """

    def __init__(self, found: Sequence[Layer]) -> None:
        self.groups: dict[str, Group] = {}
        self.axes: dict[str, tuple[Axis, ...]] = {}
        self.reads: dict[str, tuple[tuple[int, ...], ...]] = {}
        self._names: Counter[str] = Counter()
        self._last: Axis = positions(0)  # what the layer before gave
        self._last_is_image = False
        self._recent: dict[int, Axis] = {}  # the latest neurons of each number
        self._block: str | None = None
        self._stream: Axis | None = None
        self._stream_is_closed = False  # a block has read it: what is embedded now goes elsewhere
        self._encoded: Axis | None = None  # the stream before this one
        self._attended: Axis | None = None  # what queries and values are made of, until a layer reads the values
        self._values: Axis | None = None
        self._siblings: dict[tuple[str, Shape, Axis, int], Group] = {}
        self._experts: dict[tuple[str | None, int], Axis] = {}
        self._recurrent: dict[str, Group] = {}
        self._recurrent_inputs: dict[str, Axis] = {}
        matrices = [layer for layer in found if layer.is_matrix]
        self._following = dict(zip((layer.key for layer in matrices), matrices[1:], strict=False))
        self._exit = _exits(matrices)
        self._hidden = _hidden(matrices)
        for layer in found:
            self._follow(layer)

    def _new(self, name: str, size: int) -> Group:
        """New neurons. One or none are nothing to tell apart."""
        if size <= 1:
            return positions(size)
        name = re.sub(r"\s+", "_", name) or "parameter"
        unique = name
        while unique in self.groups:
            self._names[name] += 1
            unique = f"{name}.{self._names[name] + 1}"
        self.groups[unique] = Group(unique, size, GUESS)
        return self.groups[unique]

    def _follow(self, layer: Layer) -> None:
        recurrent = _RECURRENT.match(layer.key)
        if layer.is_table:
            self._table(layer)
        elif not layer.is_matrix:
            self._vectors(layer)
        elif recurrent:
            self._matrix(layer, *self._recurrent_ends(layer, *recurrent.groups()))
        else:
            source = self._source(layer)
            self._matrix(layer, source, self._target(layer, source))

    def _put(self, name: str, axes: Sequence[Axis], reads: tuple[int, ...] = ()) -> None:
        self.axes[name] = tuple(axes)
        self.reads[name] = (reads,)

    def _gives(self, axis: Axis, image: bool = False) -> None:
        self._last = self._recent[axis.size] = axis
        self._last_is_image = image

    def _vectors(self, layer: Layer) -> None:
        for name, shape in layer.parameters.items():
            for size in shape:
                if size > 1 and size not in (self._last.size, *self._recent):
                    self._recent[size] = self._new(layer.key, size)
            self._put(name, [self._first_of(size, self._last, self._stream) or positions(size) for size in shape])

    def _first_of(self, size: int, *axes: Axis | None) -> Axis | None:
        """The first of these axes, or of the latest neurons, that has this size."""
        candidates = (*axes, self._recent.get(size))
        return next((axis for axis in candidates if axis is not None and axis.size == size), None)

    def _table(self, layer: Layer) -> None:
        ((name, shape),) = layer.parameters.items()
        axis: Axis = self._last
        if not self._joins_last(shape[-1]):
            axis = self._new(layer.key, shape[-1])
            if layer.block is None and self._stream_is_closed:
                self._encoded, self._stream_is_closed = self._stream, False
        is_matrix = len(shape) == 2
        rows = [self._new(f"{layer.key}.rows", size) if is_matrix else positions(size) for size in shape[:-1]]
        self._put(name, [*rows, axis], (0,) if is_matrix else ())
        if layer.block is None:
            self._gives(axis)

    def _joins_last(self, width: int) -> bool:
        """Whether what is embedded is added to the outputs before."""
        return self._last.size == width and not self._stream_is_closed

    def _matrix(self, layer: Layer, source: Axis, target: Axis) -> None:
        assert layer.into is not None
        assert layer.out is not None
        (name, shape), *others = layer.parameters.items()
        axes: list[Axis] = [positions(size) for size in shape]
        axes[layer.into], axes[layer.out] = source, target
        kernel = () if layer.has_experts else range(2, len(shape))
        if layer.has_experts:
            axes[0] = self._experts_of(layer, shape[0])
        self._put(name, axes, (layer.into, *kernel))
        own = {axis.size: axis for axis in (source, target)}
        for name, shape in others:
            for size in shape:
                if size not in own:
                    own[size] = self._new(layer.key, size)
            self._put(name, [own[size] for size in shape])
        if isinstance(source, Group) and source.name and not source.name.endswith(".input"):
            self._recent[source.size] = source

    def _experts_of(self, layer: Layer, size: int) -> Axis:
        key = layer.block, size
        if key not in self._experts:
            self._experts[key] = self._new(f"{layer.parent}.experts", size)
        return self._experts[key]

    # ---- what a layer reads (4 to 6, 8) ----------------------------------------------------------------------------

    def _source(self, layer: Layer) -> Axis:
        size = layer.inputs
        if size <= 1:
            return positions(size)
        entering = layer.block is not None and layer.block != self._block
        self._block = layer.block
        self._stream_is_closed = self._stream_is_closed or layer.block is not None
        known: list[Axis | None] = [self._last, self._stream]
        if layer.reads_attention:
            known = [self._attended, *(known if entering else reversed(known))]
        source: Axis
        if self._attended is not None and not layer.reads_attention:
            values = self._values
            source = values if values is not None and values.size == size else self._new(f"{layer.key}.input", size)
        else:
            source = self._first_of(size, *known) or self._made_of_last(layer, size)
        if layer.reads_attention:
            self._attended = source
        if entering and size == self._exit.get(layer.block):
            self._stream = source
        if layer.reads_encoder and self._encoded is not None and self._encoded.size == size:
            return self._encoded
        return source

    def _made_of_last(self, layer: Layer, size: int) -> Axis:
        """Several of the outputs before, or them and others; else inputs of the layer's own."""
        last = self._last
        times, rest = divmod(size, last.size) if last.size > 1 else (0, 0)
        if times and not rest and self._last_is_image and len(layer.shape) == 2:
            return _product(last, times)
        if times and isinstance(last, Group):
            skipped = self._recent.get(size - last.size)
            if isinstance(skipped, Group) and len(layer.shape) > 2 and not layer.has_experts:
                return Sum((skipped, last))
            if layer.block is not None and not rest and times in (2, 4):
                return Sum((last,) * times)
        return self._new(f"{layer.key}.input", size)

    # ---- what a layer writes (2, 5 to 7) ---------------------------------------------------------------------------

    def _target(self, layer: Layer, source: Axis) -> Axis:
        if layer.is_fused_attention:
            query, value = (self._new(f"{layer.key}.{part}", layer.inputs) for part in ("query", "value"))
            self._values = value
            self._gives(value)
            return Sum((query, query, value))
        if layer.is_value:
            target: Axis = self._new(layer.key, layer.outputs)
            self._values = target
        elif layer.reads_attention:
            target = self._with_siblings(layer, source, layer.outputs)
        else:
            ends_attention = self._attended is not None
            self._attended = self._values = None
            target = self._plain_target(layer, source, ends_attention)
        if target.size > 1:
            is_image = len(layer.shape) > 2 and not layer.has_experts
            self._gives(target.terms[0] if isinstance(target, Sum) else target, is_image)
        return target

    def _plain_target(self, layer: Layer, source: Axis, ends_attention: bool) -> Axis:
        size, last = layer.outputs, self._last
        follower = self._following.get(layer.key)
        if layer.is_router:
            return self._experts_of(layer, size)
        if len(layer.shape) > 2 and layer.inputs == 1 and last.size > 1 and size and size % last.size == 0:
            return _product(last, size // last.size)
        chained = follower is not None and not ends_attention and _chained(layer, follower)
        if layer.block is not None and size == self._exit.get(layer.block) and not chained:
            if self._stream is None or self._stream.size != size:
                self._stream = self._new(layer.key, size)
            return self._stream
        if layer.block is None and "embed" in layer.key.lower() and self._joins_last(size):
            return last
        halved = follower is not None and not follower.reads_attention and size == 2 * follower.inputs
        if halved and size > 2:
            return Sum((self._with_siblings(layer, source, size // 2),) * 2)
        return self._with_siblings(layer, source, size)

    def _with_siblings(self, layer: Layer, source: Axis, size: int) -> Group:
        """What a module of the same parent with an equal matrix writes, if it reads the same; else new neurons."""
        key = layer.parent, layer.shape, source, size
        if key not in self._siblings:
            self._siblings[key] = self._new(layer.key, size)
        return self._siblings[key]

    # ---- recurrent layers (9) --------------------------------------------------------------------------------------

    def _recurrent_ends(self, layer: Layer, module: str, kind: str, number: str, reverse: str) -> tuple[Axis, Axis]:
        """The inputs and the outputs of one matrix of a recurrent layer."""
        forward = f"{module}_l{number}"
        name = forward + (reverse or "")
        size = self._hidden.get(name, layer.inputs)
        if name not in self._recurrent:
            self._recurrent[name] = self._new(name, size)
        own = self._recurrent[name]
        gates, rest = divmod(layer.outputs, size) if size else (0, 0)
        target: Axis = Sum((own,) * gates) if not rest and gates in _GATES else self._new(name, layer.outputs)
        if kind == "hh":
            return own if size == layer.inputs else self._new(f"{name}.input", layer.inputs), target
        source = self._recurrent_inputs.get(forward)
        if source is None or source.size != layer.inputs:
            source = self._first_of(layer.inputs, self._last) or self._new(f"{name}.input", layer.inputs)
            self._recurrent_inputs[forward] = source
        both = reverse and forward in self._recurrent
        self._gives(Sum((self._recurrent[forward], own)) if both else own)
        return source, target


def _product(axis: Axis, times: int) -> Axis:
    """Each of the neurons ``times`` times."""
    if times == 1:
        return axis
    return Product((*(axis.factors if isinstance(axis, Product) else (axis,)), positions(times)))


def _chained(layer: Layer, follower: Layer) -> bool:
    """Whether the next layer, of the same block and module, can read what this one writes."""
    same = layer.block == follower.block and layer.parent == follower.parent
    return same and layer.outputs == follower.inputs and not follower.reads_attention


def _exits(matrices: Sequence[Layer]) -> dict[str | None, int]:
    """Block -> the size of its last outputs, not counting a router or what has the shape of a sibling before it."""
    exits: dict[str | None, int] = {}
    seen: set[tuple[str, Shape]] = set()
    for layer in matrices:
        repeated = (layer.parent, layer.shape) in seen and layer.inputs != layer.outputs
        seen.add((layer.parent, layer.shape))
        if layer.block is not None and not layer.is_router and not (repeated and layer.block in exits):
            exits[layer.block] = layer.outputs
    return exits


def _hidden(matrices: Sequence[Layer]) -> dict[str, int]:
    """Recurrent layer and direction -> its hidden neurons, which its matrix from hidden to hidden reads."""
    hidden = {}
    for layer in matrices:
        matched = _RECURRENT.match(layer.key)
        if matched and matched[2] == "hh":
            hidden[f"{matched[1]}_l{matched[3]}{matched[4] or ''}"] = layer.inputs
    return hidden
