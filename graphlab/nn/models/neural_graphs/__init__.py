"""Models on neural graphs: networks in, what is to be known of them or better parameters out.

Kofinas, Knyazev, Zhang, Chen, Burghouts, Gavves, Snoek, Zhang: Graph Neural Networks for Learning Equivariant
Representations of Neural Networks, ICLR 2024 (arXiv 2403.12143).

>>> batch = WeightGraphBatch([(graph.wiring("neural_graph"), graph.tensors) for graph in graphs])
>>> model = NGGNN(2, 2, 1, out_channels=10, degrees=degree_histogram(wirings).tolist())
>>> scores = model(batch)
"""

from graphlab.nn.models.neural_graphs.encoder import GraphConstructor
from graphlab.nn.models.neural_graphs.graphs import graph_data
from graphlab.nn.models.neural_graphs.labels import ACTIVATIONS, Labels
from graphlab.nn.models.neural_graphs.ng_gnn import NGGNN, NGGNNEditor
from graphlab.nn.models.neural_graphs.ng_t import NGT, NGTEditor
from graphlab.nn.models.neural_graphs.pna import ModulatedPNAConv
from graphlab.nn.models.neural_graphs.probes import ProbeFeatures
from graphlab.nn.models.neural_graphs.program_probes import program_answers
from graphlab.nn.models.neural_graphs.statistics import Statistics, check_finite
from graphlab.nn.models.neural_graphs.statnn import StatNN, WeightMLP

__all__ = [
    "ACTIVATIONS",
    "NGGNN",
    "NGT",
    "GraphConstructor",
    "Labels",
    "ModulatedPNAConv",
    "NGGNNEditor",
    "NGTEditor",
    "ProbeFeatures",
    "StatNN",
    "Statistics",
    "WeightMLP",
    "check_finite",
    "graph_data",
    "program_answers",
]
