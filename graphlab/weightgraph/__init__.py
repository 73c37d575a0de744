"""Networks as graphs: which neurons index which axis of which parameter, proved by permuting them.

>>> graph = WeightGraph.from_module(module, (example,))
>>> graph.structure.axes["layers.0.mlp.up_proj.weight"]
>>> verify(module, (example,)).passed
"""

from graphlab.weightgraph.activation_matching import align_activations
from graphlab.weightgraph.align import Alignment, align
from graphlab.weightgraph.axes import Axis, Group, Product, Sum
from graphlab.weightgraph.batch import WeightGraphBatch
from graphlab.weightgraph.graph import WeightGraph, equal_bytes
from graphlab.weightgraph.guess import guess
from graphlab.weightgraph.reading import trace
from graphlab.weightgraph.registry import rule
from graphlab.weightgraph.rescaling import Rescaling, random_factors, rescale, rescalings
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
    "Rescaling",
    "Structure",
    "Sum",
    "Traced",
    "Tracer",
    "Verification",
    "WeightGraph",
    "WeightGraphBatch",
    "align",
    "align_activations",
    "equal_bytes",
    "guess",
    "permute_tensor",
    "random_factors",
    "random_permutations",
    "rescale",
    "rescalings",
    "rule",
    "trace",
    "verify",
]
