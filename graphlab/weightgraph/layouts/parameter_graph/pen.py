"""The strokes that parameter graphs are drawn with: weights between activations, and parameters that have one axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphlab.weightgraph.layouts.parameter_graph.types import EdgeType, NodeType
from graphlab.weightgraph.wiring import Block, Drawing, Nodes, View, Wiring, WiringError


class Pen:
    """A drawing in progress.

    Attributes:
        selfloop: Whether parameters with one axis are loops at the nodes that they act on, not edges from a unit.
        layer: The layer counter.
        current: The ranges that hold the current activations, in their order; none before the first layer.
    """

    def __init__(self, selfloop: bool) -> None:
        self.selfloop = selfloop
        self.layer = 0
        self.current: tuple[Nodes, ...] = ()
        self._drawing = Drawing()

    def enter(self, name: str, width: int, type: NodeType) -> None:
        """Before layer ``name``: make the inputs of the network if there are none, and see that the widths agree."""
        if not self.current:
            self.current = (self.nodes(f"inputs of {name}", width, type, 0, ordered=True),)
        activations = sum(own.size for own in self.current)
        if activations == width:
            return
        reason = f"{name}: reads {width} activations, but the layers before it make {activations}"
        if activations and width % activations == 0 and all(own.type == NodeType.CHANNEL for own in self.current):
            reason += "; a map is pooled to one position before it is flattened, more positions cannot be drawn"
        raise WiringError(reason)

    def nodes(self, name: str, size: int, type: NodeType, layer: int, ordered: bool = False) -> Nodes:
        return self._drawing.nodes(name, size, type, layer, ordered)

    def edges(self, block: Block) -> None:
        self._drawing.edges(block)

    def weight(
        self,
        parameter: str,
        sources: Sequence[Nodes],
        target: Nodes,
        type: EdgeType,
        layer: int,
        kernel: tuple[int, ...] = (),
        axes: int | None = None,
        third: int | None = None,
    ) -> None:
        """A weight ``[target, sources, *kernel]``, an edge for each entry in the order of the tensor.

        Where the sources are several ranges that order goes from one to the other in every row, so each row is drawn
        on its own.

        Args:
            axes: Of the tensor, if it has more (of size 1) than that.
            third: Which third of the tensor's rows is meant, if it packs three weights.
        """
        order = tuple(range(axes or 2 + len(kernel)))
        first = 0 if third is None else third * target.size
        whole = len(sources) == 1
        for row, rows in [(0, target.size)] if whole else [(row, 1) for row in range(target.size)]:
            for column, source in _placed(sources):
                rows_of_tensor = () if whole and third is None else ((0, first + row, rows),)
                columns_of_tensor = () if whole else ((1, column, source.size),)
                self.edges(
                    Block(
                        source.name,
                        target.name,
                        shape=(rows, source.size, *kernel),
                        source_axes=(1,),
                        target_axes=(0,),
                        values=View(parameter, order, (*rows_of_tensor, *columns_of_tensor)),
                        type=type,
                        layer=layer,
                        target_offset=row,
                    )
                )

    def unit(
        self,
        parameter: str,
        targets: Sequence[Nodes],
        types: tuple[NodeType, EdgeType],
        layers: tuple[int, int],
        ordered: bool = False,
        third: int | None = None,
    ) -> None:
        """A parameter ``[targets]``: edges from a new node of its own, or loops, in the order of the targets.

        Args:
            types: Of the node and of the edges.
            layers: Of the node and of the edges.
            ordered: Whether the node counts as an output.
            third: Which third of the tensor is meant, if it packs three parameters.
        """
        own = None
        if not self.selfloop:
            name = parameter if third is None else f"{parameter} {third}"
            own = self.nodes(name, 1, types[0], layers[0], ordered)
        width = sum(target.size for target in targets)
        for start, target in _placed(targets):
            first = start if third is None else third * width + start
            part = () if len(targets) == 1 and third is None else ((0, first, target.size),)
            self.edges(
                Block(
                    own.name if own else target.name,
                    target.name,
                    shape=(target.size,),
                    source_axes=() if own else (0,),
                    target_axes=(0,),
                    values=View(parameter, (0,), part),
                    type=types[1],
                    layer=layers[1],
                )
            )

    def residual(self, sources: Sequence[Nodes], target: Nodes, layer: int) -> None:
        """Edges of value 1 from every source to the target of the same number."""
        for start, source in _placed(sources):
            self.edges(
                Block(
                    source.name,
                    target.name,
                    shape=(source.size,),
                    source_axes=(0,),
                    target_axes=(0,),
                    values=1.0,
                    type=EdgeType.RESIDUAL,
                    layer=layer,
                    target_offset=start,
                )
            )

    def wiring(self) -> Wiring:
        return self._drawing.wiring("parameter_graph")


def _placed(ranges: Sequence[Nodes]) -> Iterator[tuple[int, Nodes]]:
    """Ranges with the number of activations before each."""
    start = 0
    for own in ranges:
        yield start, own
        start += own.size
