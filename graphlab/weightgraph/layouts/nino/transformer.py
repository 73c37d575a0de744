"""What the transformer families have in common; what each calls its parts is a table in a file of its own.

Nodes: ``inputs | R_0 | heads, Q, V | A | F | R_1 | ...``, with the units of a group directly before it. ``R`` is the
input of a block, ``A`` its residual after attention, ``F`` its hidden neurons; outputs may follow the last ``R``.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphlab.weightgraph.layouts.nino.attention import Attention, Fused, Separate
from graphlab.weightgraph.layouts.nino.parameters import Entry, Parameters
from graphlab.weightgraph.layouts.nino.sketch import Sketch, Span
from graphlab.weightgraph.layouts.nino.types import EdgeType, NodeType
from graphlab.weightgraph.wiring import WiringError


@dataclass(frozen=True)
class Input:
    """A parameter that leads from nodes of its own to the first residual."""

    parameter: str
    type: EdgeType
    dim: int = 2
    in_first: bool = True


@dataclass(frozen=True)
class Family:
    """The names of a family. A norm stands for its scale and shift; biases may be absent.

    Attributes:
        trunk, blocks: ``{trunk}{blocks}0.`` is the usual prefix of block 0; whatever stands before ``blocks`` is found.
        inputs, input_norms, final_norms: In the trunk. A part of the network may come without inputs and end.
        before, between, after: Norms of a block, drawn on its input, on the residual after attention, on its output.
        qk_norms: Norms of queries and keys, drawn as published: neuron j to neuron j + head width.
        projections, output: Of attention.
        expand, gate, contract: Of the hidden layer; ``gate`` reads the residual, and ``expand`` then nodes of its own.
        in_first: Whether the blocks' weights are stored (in, out).
        head, head_norms: The output layer, outside the trunk, and norms of the outputs.
        vocabulary_bias: Bias of the tied output layer, outside the trunk.
    """

    trunk: str
    blocks: str
    inputs: tuple[Input, ...]
    projections: Fused | Separate
    output: str
    expand: str
    contract: str
    gate: str | None = None
    in_first: bool = False
    input_norms: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    between: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    qk_norms: tuple[str, ...] = ()
    final_norms: tuple[str, ...] = ()
    head: str | None = None
    head_norms: tuple[str, ...] = ()
    vocabulary_bias: str | None = None


class Transformer:
    """Draws a transformer by the table of its family.

    Args:
        shifted: Repeat a slip of the published code; see :func:`graphlab.weightgraph.layouts.nino.nino`.
    """

    def __init__(self, family: Family, sketch: Sketch, num_heads: int, num_kv_heads: int | None, shifted: bool) -> None:
        self.family, self.sketch, self.shifted = family, sketch, shifted
        self.parameters: Parameters = sketch.parameters
        self.root, self.blocks = self.parameters.blocks(family.blocks)
        self.outside = self.root.removesuffix(family.trunk)
        self.attentions = [
            Attention(family.projections, self.parameters, block, num_heads, num_kv_heads) for block in self.blocks
        ]

    def draw(self) -> None:
        """Add everything to the sketch."""
        residual = self._inputs()
        for index in range(len(self.blocks)):
            residual = self._block(index, residual)
        if self.family.head is not None and self.parameters.find(f"{self.outside}{self.family.head}.weight"):
            self._head(f"{self.outside}{self.family.head}", residual)

    def _inputs(self) -> Span:
        """The inputs' nodes, then ``R_0``."""
        names = [self.root + each.parameter for each in self.family.inputs]
        given = any(self.parameters.find(name) for name in names)
        drawn: list[tuple[Entry, Input, Span]] = []
        biases: list[Entry] = []
        for name, each in zip(names, self.family.inputs, strict=True) if given else ():
            entry = self.parameters.get(name, each.dim)
            rows = entry.shape[-2] if each.in_first else entry.shape[1]
            type = NodeType.WORD if each.type is EdgeType.WORD else NodeType.NEURON
            drawn.append((entry, each, self.sketch.nodes(f"inputs of {name}", rows, type)))
            own = self.parameters.bias(entry.module) if entry.name.endswith(".weight") else []
            self.sketch.units(own)
            biases += own
        norms = [*(self._norms(self.root, self.family.input_norms) if given else []), *self._opening_norms(0)]
        self.sketch.units([*norms, *self._key_bias(0)])
        self._vocabulary_bias(drawn)
        residual = self.sketch.nodes(f"{self.blocks[0]}input", self._width())
        self.sketch.vectors([*biases, *norms], residual)
        for entry, each, span in drawn:
            self.sketch.matrix(entry, span, residual, each.type, each.in_first)
        return residual

    def _vocabulary_bias(self, drawn: list[tuple[Entry, Input, Span]]) -> None:
        """Edges from the words to one node just before ``R_0``."""
        name = self.family.vocabulary_bias
        bias = self.parameters.find(self.outside + name) if name else None
        for _, each, words in drawn:
            if bias and each.type is EdgeType.WORD:
                self.sketch.column(bias, words, self.sketch.nodes(bias.label, 1, NodeType.UNIT))

    def _opening_norms(self, index: int) -> list[Entry]:
        """The norms drawn on the input of a block because it begins with them, or at the end of the network."""
        if index < len(self.blocks):
            return self._norms(self.blocks[index], self.family.before)
        given = [norm for norm in self.family.final_norms if self.parameters.find(f"{self.root}{norm}.weight")]
        return self._norms(self.root, given)

    def _key_bias(self, index: int) -> list[Entry]:
        """The key bias of a block, which is drawn on its input; after the last there is none."""
        return self.attentions[index].key_bias if index < len(self.blocks) else []

    def _block(self, index: int, residual: Span) -> Span:
        """Heads, ``Q``, ``V``, ``A``, ``F`` of a block, then the residual that it leads to."""
        family, sketch, block = self.family, self.sketch, self.blocks[index]
        attention = self.attentions[index]
        query, mixed = attention.draw(sketch, residual)
        output = self.parameters.get(f"{block}{family.output}.weight")
        output_bias = self.parameters.bias(output.module)
        vectors = [*output_bias, *self._norms(block, family.between)]
        sketch.units(vectors)
        attended = sketch.nodes(f"{block}attended", residual.size)
        sketch.vectors(vectors, attended)
        sketch.matrix(output, mixed, attended, EdgeType.LINEAR, family.in_first)
        sketch.residual(attention.value, [residual], attended)
        for norm, neurons in zip(family.qk_norms, (query, residual), strict=False):
            self._qk_norm(f"{block}{norm}", neurons, attention.head_dim)
        return self._hidden(index, attended, [Span(bias.label, 1) for bias in output_bias])

    def _hidden(self, index: int, attended: Span, output_bias: list[Span]) -> Span:
        """``F`` and the next residual.

        A gate reads the residual; the other half of a gated layer is drawn from nodes of its own, which are tied to the
        block's output like a second residual.
        """
        family, sketch, block = self.family, self.sketch, self.blocks[index]
        sources = {family.gate or family.expand: attended}
        if family.gate:
            sources[family.expand] = sketch.nodes(f"{block}ungated", attended.size)
        weights = {name: self.parameters.get(f"{block}{name}.weight") for name in (*sources, family.contract)}
        biases = {name: self.parameters.bias(weight.module) for name, weight in weights.items()}
        for name in sources:
            sketch.units(biases[name])
        hidden = sketch.nodes(f"{block}hidden", weights[family.expand].shape[1 if family.in_first else 0])
        vectors = [*biases[family.contract], *self._norms(block, family.after), *self._opening_norms(index + 1)]
        sketch.units([*vectors, *self._key_bias(index + 1)])
        residual = sketch.nodes(f"{block}output", attended.size)
        sketch.vectors(vectors, residual)
        early = output_bias if family.gate and self.shifted else []
        for name, source in sources.items():
            sketch.matrix(weights[name], source, hidden, EdgeType.LINEAR, family.in_first)
            sketch.vectors(biases[name], hidden)
            sketch.residual(weights[name], [*early, source.first(source.size - len(early))], residual)
            early = [source.last(1)] if early else []
        sketch.matrix(weights[family.contract], hidden, residual, EdgeType.LINEAR, family.in_first)
        return residual

    def _qk_norm(self, module: str, neurons: Span, head_dim: int) -> None:
        if neurons.size < 2 * head_dim:
            raise WiringError(f"{module}.weight: drawn from one head to the next, but there is one of {neurons.size}")
        source = neurons.first(head_dim)
        target = neurons.first(2 * head_dim).last(head_dim)
        self.sketch.scale(self.parameters.get(f"{module}.weight", dim=1), source, target)

    def _head(self, module: str, residual: Span) -> None:
        weight = self.parameters.get(f"{module}.weight")
        vectors = [*self.parameters.bias(module), *self._norms(self.outside, self.family.head_norms)]
        self.sketch.units(vectors)
        outputs = self.sketch.nodes("outputs", weight.shape[0])
        self.sketch.matrix(weight, residual, outputs, EdgeType.LINEAR)
        self.sketch.vectors(vectors, outputs)

    def _norms(self, prefix: str, modules: tuple[str, ...] | list[str]) -> list[Entry]:
        return self.parameters.norms(prefix + module for module in modules)

    def _width(self) -> int:
        query = self.attentions[0].query
        return query.shape[0 if self.family.in_first else 1]
