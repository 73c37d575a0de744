"""Networks as graphs: which neurons index which axis of which parameter, proved by permuting them.

>>> graph = WeightGraph.from_module(module, (example,))
>>> graph.structure.axes["layers.0.mlp.up_proj.weight"]
>>> verify(module, (example,)).passed
"""

from graphlab.weightgraph.align import Alignment, align
from graphlab.weightgraph.axes import Axis, Group, Product, Sum
from graphlab.weightgraph.graph import WeightGraph, equal_bytes
from graphlab.weightgraph.reading import trace
from graphlab.weightgraph.registry import rule
from graphlab.weightgraph.structure import Structure
from graphlab.weightgraph.symmetry import permute_tensor, random_permutations
from graphlab.weightgraph.tracer import Traced, Tracer
from graphlab.weightgraph.verify import Check, Verification, verify

__all__ = [
    "Alignment",
    "Axis",
    "Check",
    "Group",
    "Product",
    "Structure",
    "Sum",
    "Traced",
    "Tracer",
    "Verification",
    "WeightGraph",
    "align",
    "equal_bytes",
    "permute_tensor",
    "random_permutations",
    "rule",
    "trace",
    "verify",
]
