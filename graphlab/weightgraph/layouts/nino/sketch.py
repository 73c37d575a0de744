"""A drawing in the making: ranges in the order of the calls, blocks in the order of the parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from graphlab.weightgraph.layouts.nino.parameters import Entry, Parameters
from graphlab.weightgraph.layouts.nino.slots import checked_slots
from graphlab.weightgraph.layouts.nino.types import EdgeType, NodeType
from graphlab.weightgraph.wiring import Block, Drawing, View, Wiring, WiringError

_WEIGHT, _HEADS, _BIAS, _RESIDUAL = range(4)  # the order inside a module


@dataclass(frozen=True)
class Span:
    """Some nodes of a range that follow one another."""

    nodes: str
    size: int
    offset: int = 0

    def first(self, size: int) -> Span:
        return Span(self.nodes, size, self.offset)

    def last(self, size: int) -> Span:
        return Span(self.nodes, size, self.offset + self.size - size)


class Sketch:
    """Nodes are numbered as they are declared. Edges may be declared in any order: the blocks are sorted as published,
    by module in order of first appearance, inside it (each of query, key, value in turn) weight, heads, bias, residual.
    """

    def __init__(self, shapes: Mapping[str, Sequence[int]]) -> None:
        self.parameters = Parameters(shapes)
        self._drawing = Drawing()
        self._spans: list[Span] = []
        self._blocks: list[tuple[tuple[int, int, int], Block]] = []

    def nodes(self, name: str, size: int, type: NodeType = NodeType.NEURON) -> Span:
        """A range of nodes after those there are."""
        self._drawing.nodes(name, size, type)
        self._spans.append(Span(name, size))
        return self._spans[-1]

    def units(self, vectors: Iterable[Entry]) -> None:
        """One node for each bias, norm scale or norm shift."""
        for vector in vectors:
            self.nodes(vector.label, 1, NodeType.UNIT)

    def vector(self, entry: Entry, target: Span) -> None:
        """Edges from the unit of a 1-D parameter to every neuron that it acts on."""
        _check_length(entry, target)
        rank, type = (_WEIGHT, EdgeType.NORM) if entry.name.endswith(".weight") else (_BIAS, EdgeType.BIAS)
        self._add(entry, rank, _block(Span(entry.label, 1), target, entry.shape, (), (0,), entry.view([0]), type))

    def vectors(self, entries: Iterable[Entry], target: Span) -> None:
        for entry in entries:
            self.vector(entry, target)

    def matrix(self, entry: Entry, inputs: Span, outputs: Span, type: EdgeType, in_first: bool = False) -> None:
        """Edges from every input to every output, inputs slow; a key's are reversed, from the outputs to the inputs.

        Args:
            entry: ``[out, in, *kernel]``, each position of the kernel a slot; or ``[..., in, out]`` if ``in_first``.
        """
        shape, size = entry.shape, (inputs.size, outputs.size)
        found = (prod(shape[:-1]), shape[-1]) if in_first else (shape[1], shape[0])
        if found != size:
            raise WiringError(
                f"{entry.label}: expected {size[0]} inputs and {size[1]} outputs, got the shape {list(shape)}, "
                f"read as {'(in, out)' if in_first else '(out, in)'}"
            )
        order = range(len(shape)) if in_first else (1, 0, *range(2, len(shape)))
        slots = 1 if in_first else prod(shape[2:])
        source, target, source_axes, target_axes = inputs, outputs, (0,), (1,)
        if type is EdgeType.KEY:
            source, target, source_axes, target_axes = outputs, inputs, (1,), (0,)
        block = _block(source, target, size, source_axes, target_axes, entry.view(order), type, slots)
        self._add(entry, _WEIGHT, block)

    def scale(self, entry: Entry, source: Span, target: Span) -> None:
        """An edge for each entry of a norm's scale, from neuron to neuron."""
        _check_length(entry, source)
        self._add(entry, _WEIGHT, _block(source, target, entry.shape, (0,), (0,), entry.view([0]), EdgeType.NORM))

    def column(self, entry: Entry, source: Span, target: Span) -> None:
        """Edges from every source to the one target: the bias of a tied output layer."""
        _check_length(entry, source)
        self._add(entry, _BIAS, _block(source, target, entry.shape, (0,), (), entry.view([0]), EdgeType.BIAS))

    def heads(self, after: Entry, heads: Span, neurons: Span) -> None:
        """Fixed edges from every head to its slice of the neurons, listed after a weight."""
        shape = (heads.size, neurons.size // heads.size)
        self._add(after, _HEADS, _block(heads, neurons, shape, (0,), (0, 1), 1.0, EdgeType.HEAD))

    def residual(self, after: Entry, sources: Sequence[Span], target: Span) -> None:
        """Fixed edges, neuron by neuron, from sources laid end to end, listed at the end of a weight's module."""
        start = 0
        for source in sources:
            part = Span(target.nodes, source.size, target.offset + start)
            self._add(after, _RESIDUAL, _block(source, part, (source.size,), (0,), (0,), 1.0, EdgeType.RESIDUAL))
            start += source.size

    def wiring(self, max_slots: int | None = None) -> Wiring:
        """The blocks in order, then the self-loops, which carry 2 and have as many slots as the widest edge may have.

        Raises:
            WiringError: if a kernel has more than ``max_slots`` positions, or a parameter was not drawn.
        """
        blocks = [block for _, block in sorted(self._blocks, key=lambda keyed: keyed[0])]
        drawn = {block.values.parameter for block in blocks if isinstance(block.values, View)}
        left = [entry.name for entry in self.parameters.entries() if entry.name not in drawn and entry.shape]
        if left:
            raise WiringError(f"no place in this drawing (tied parameters are listed once) for: {', '.join(left)}")
        slots = checked_slots(blocks, max_slots)
        for block in blocks:
            self._drawing.edges(block)
        for span in self._spans:
            self._drawing.edges(_block(span, span, (span.size,), (0,), (0,), 2.0, EdgeType.SELF_LOOP, slots))
        return self._drawing.wiring()

    def _add(self, entry: Entry, rank: int, block: Block) -> None:
        self._blocks.append(((self.parameters.place(entry.module), entry.part, rank), block))


def _check_length(entry: Entry, span: Span) -> None:
    if entry.shape != (span.size,):
        raise WiringError(f"{entry.label}: expected a vector of {span.size}, got the shape {list(entry.shape)}")


def _block(
    source: Span,
    target: Span,
    shape: tuple[int, ...],
    source_axes: tuple[int, ...],
    target_axes: tuple[int, ...],
    values: View | float,
    type: EdgeType,
    slots: int = 1,
) -> Block:
    return Block(
        source=source.nodes,
        target=target.nodes,
        shape=shape,
        source_axes=source_axes,
        target_axes=target_axes,
        values=values,
        type=type,
        slots=slots,
        source_offset=source.offset,
        target_offset=target.offset,
    )
