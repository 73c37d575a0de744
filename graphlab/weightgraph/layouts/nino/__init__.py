"""NiNo's neural graphs, as published, from the names and shapes of the parameters.

Knyazev et al., "Accelerating Training with Neuron Interaction and Nowcasting Networks", ICLR 2025 (arXiv 2409.04434).
Neurons are nodes and parameters edges; a convolution's kernel is one edge with a slot for each position; a bias, norm
scale or norm shift is a node with edges to the neurons that it acts on. Heads, residuals and self-loops are drawn with
edges of fixed value. The pretrained meta-networks were trained on these drawings, some of which contradict the function
they draw; the exact wiring of any traced network is another layout.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from graphlab.weightgraph.layouts.nino.bert import BERT
from graphlab.weightgraph.layouts.nino.chain import chain
from graphlab.weightgraph.layouts.nino.features import (
    edge_features,
    edge_parameters,
    lay_transposed,
    split_vector,
    undo_transposed,
    word_positions,
)
from graphlab.weightgraph.layouts.nino.gpt2 import GPT2
from graphlab.weightgraph.layouts.nino.llama import LLAMA, QWEN3
from graphlab.weightgraph.layouts.nino.sketch import Sketch
from graphlab.weightgraph.layouts.nino.transformer import Transformer
from graphlab.weightgraph.layouts.nino.types import EdgeType, NodeType
from graphlab.weightgraph.layouts.nino.vit import VIT
from graphlab.weightgraph.wiring import Wiring, WiringError

__all__ = [
    "FAMILIES",
    "EdgeType",
    "NodeType",
    "edge_features",
    "edge_parameters",
    "head_counts",
    "lay_transposed",
    "nino",
    "split_vector",
    "transposed_embeddings",
    "undo_transposed",
    "word_positions",
]

FAMILIES = {"gpt2": GPT2, "bert": BERT, "llama": LLAMA, "qwen3": QWEN3, "vit": VIT}
"""Tables of the transformer families; to draw another, add its table here."""


def nino(
    shapes: Mapping[str, Sequence[int]],
    family: str = "chain",
    num_heads: int | None = None,
    num_kv_heads: int | None = None,
    max_slots: int | None = None,
    shifted_residuals: bool = False,
) -> Wiring:
    """Draw a network.

    Args:
        shapes: Of the parameters, by name, in the order of the flat parameter vector; tied ones once. A single block of
            a transformer may be given without the embeddings and the end.
        family: ``chain`` (each layer's inputs are the outputs of the one before) or one of :data:`FAMILIES`.
        num_heads: Of a transformer's queries; everything else follows from the shapes.
        num_kv_heads: Checked against the shapes, if given.
        max_slots: Kernel positions that an edge holds; default the most that a parameter needs.
        shifted_residuals: Repeat a slip of the published code: in Llama with a bias in attention's output projection,
            the residuals of the hidden layer begin one node early.

    Raises:
        WiringError: if the family is unknown, a parameter is missing, left over or of a shape that does not fit, or a
            kernel is too large.
    """
    sketch = Sketch(shapes)
    if family == "chain":
        chain(sketch)
    elif family not in FAMILIES:
        raise WiringError(f"no drawing of family {family!r}; there are chain, {', '.join(FAMILIES)}")
    elif num_heads is None or num_heads < 1:
        raise WiringError(f"{family} needs the number of heads, got num_heads={num_heads}")
    else:
        Transformer(FAMILIES[family], sketch, num_heads, num_kv_heads, shifted_residuals).draw()
    return sketch.wiring(max_slots)


def transposed_embeddings(shapes: Mapping[str, Sequence[int]], family: str) -> list[str]:
    """Parameters that the published code lays over their edges transposed: see :func:`lay_transposed`.

    These are the embeddings, stored (in, out), of families whose weights are stored (out, in): all but GPT-2.
    """
    table = FAMILIES.get(family)
    inputs = table.inputs if table is not None and not table.in_first else ()
    ends = tuple(each.parameter for each in inputs if each.in_first)
    return [name for name in shapes if name.endswith(ends)]


def head_counts(config: Mapping[str, Any]) -> dict[str, int]:
    """``num_heads`` and ``num_kv_heads`` for :func:`nino`, as far as a Hugging Face configuration names them."""
    keys = {
        "num_heads": ("num_heads", "n_head", "num_attention_heads"),
        "num_kv_heads": ("num_key_value_heads",),
    }
    return {ours: config[theirs] for ours, names in keys.items() for theirs in names if config.get(theirs)}
