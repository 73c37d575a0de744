"""Models on neural graphs: what a network's parameters are encoded by.

Kofinas, Knyazev, Zhang, Chen, Burghouts, Gavves, Snoek, Zhang: Graph Neural Networks for Learning Equivariant
Representations of Neural Networks, ICLR 2024 (arXiv 2403.12143).
"""

from graphlab.nn.models.neural_graphs.encoder import GraphConstructor
from graphlab.nn.models.neural_graphs.labels import ACTIVATIONS, Labels
from graphlab.nn.models.neural_graphs.probes import ProbeFeatures
from graphlab.nn.models.neural_graphs.statistics import Statistics, check_finite

__all__ = ["ACTIVATIONS", "GraphConstructor", "Labels", "ProbeFeatures", "Statistics", "check_finite"]
