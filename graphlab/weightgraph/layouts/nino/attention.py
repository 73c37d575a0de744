"""Queries, keys and values of a transformer block, and how their neurons belong to heads."""

from __future__ import annotations

from dataclasses import dataclass

from graphlab.weightgraph.layouts.nino.parameters import Entry, Parameters
from graphlab.weightgraph.layouts.nino.sketch import Sketch, Span
from graphlab.weightgraph.layouts.nino.types import EdgeType, NodeType
from graphlab.weightgraph.wiring import WiringError


@dataclass(frozen=True)
class Fused:
    """Query, key and value as one weight and one bias, one after the other along the output axis."""

    weight: str
    bias: str
    in_first: bool = False

    def read(self, parameters: Parameters, block: str) -> tuple[list[Entry], list[list[Entry]]]:
        weights = parameters.get(block + self.weight).thirds(axis=1 if self.in_first else 0)
        bias = parameters.find(block + self.bias)
        return weights, [[part] for part in bias.thirds(axis=0)] if bias else [[], [], []]


@dataclass(frozen=True)
class Separate:
    """Query, key and value as modules."""

    query: str
    key: str
    value: str
    in_first: bool = False

    def read(self, parameters: Parameters, block: str) -> tuple[list[Entry], list[list[Entry]]]:
        modules = [block + name for name in (self.query, self.key, self.value)]
        return [parameters.get(f"{name}.weight") for name in modules], [parameters.bias(name) for name in modules]


class Attention:
    """One block's queries, keys and values, drawn between its residual input and its output projection.

    Query weights go from the residual to the query neurons, key weights back from the same neurons, value weights to
    the value neurons. A head node is tied to its slice of the query neurons and of the value neurons. With fewer key
    and value heads than query heads, keys use the first query neurons and value head j belongs to head node j.

    Args:
        projections: Names of the weights.
        num_heads: Of queries. Their width and the number of value heads follow from the shapes.
        num_kv_heads: Checked against the shapes, if given.
    """

    def __init__(
        self,
        projections: Fused | Separate,
        parameters: Parameters,
        block: str,
        num_heads: int,
        num_kv_heads: int | None,
    ) -> None:
        (self.query, self.key, self.value), biases = projections.read(parameters, block)
        self.query_bias, self.key_bias, self.value_bias = biases
        self.block, self.num_heads, self._in_first = block, num_heads, projections.in_first
        self.width, rows, key_rows = (self._outputs(weight) for weight in (self.query, self.value, self.key))
        if self.width % num_heads:
            raise WiringError(f"{self.query.label}: {self.width} query neurons cannot be split into {num_heads} heads")
        self.head_dim = self.width // num_heads
        self.num_kv_heads, rest = divmod(rows, self.head_dim)
        if rest or key_rows != rows or not self.num_kv_heads or num_heads % self.num_kv_heads:
            raise WiringError(
                f"{self.key.label}, {self.value.label}: {key_rows} key and {rows} value neurons are not those of "
                f"{self.head_dim}-wide heads, each shared by as many of the {num_heads} query heads"
            )
        if num_kv_heads not in (None, self.num_kv_heads):
            raise WiringError(f"{self.value.label}: expected {num_kv_heads} heads, the shape has {self.num_kv_heads}")

    def draw(self, sketch: Sketch, residual: Span) -> tuple[Span, Span]:
        """Add the heads, queries and values.

        Returns:
            The query neurons, and the inputs of the output projection: as published, the last neurons of queries and
            values together, which are the values alone unless heads are shared.
        """
        heads = sketch.nodes(f"{self.block}heads", self.num_heads, NodeType.HEAD)
        sketch.units([*self.query_bias, *self.value_bias])
        shared = self.num_kv_heads * self.head_dim
        both = sketch.nodes(f"{self.block}queries, values", self.width + shared)
        query, value = both.first(self.width), both.last(shared)
        for weight, bias, neurons, type, owners in (
            (self.query, self.query_bias, query, EdgeType.QUERY, heads),
            (self.value, self.value_bias, value, EdgeType.VALUE, heads.first(self.num_kv_heads)),
        ):
            sketch.matrix(weight, residual, neurons, type, self._in_first)
            sketch.heads(weight, owners, neurons)
            sketch.vectors(bias, neurons)
        sketch.matrix(self.key, residual, query.first(shared), EdgeType.KEY, self._in_first)
        # A shared key bias is shorter than the residual. The published drawing then collides with other nodes; here it
        # acts on the first neurons, as the key weight does on the first queries.
        sketch.vectors(self.key_bias, residual.first(min(shared, residual.size)))
        return query, both.last(self.width)

    def _outputs(self, weight: Entry) -> int:
        return weight.shape[1 if self._in_first else 0]
