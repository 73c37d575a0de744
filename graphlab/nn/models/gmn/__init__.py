"""Graph metanetworks: message passing on parameter graphs, for networks of any architecture.

Lim, Maron, Law, Lorraine, Lucas: Graph Metanetworks for Processing Diverse Neural Architectures, ICLR 2024
(arXiv 2312.04501).

>>> batch = WeightGraphBatch([(parameter_graph(net), dict(net.named_parameters())) for net in nets])
>>> GMN(64, 4, 1)(batch)                                                # [len(nets), 1]
>>> GMN(64, 4, 1)(Batch.from_data_list([explicit(*member) for member in members]))
>>> GMNEditor(64, 4).edit([WeightGraph.from_module(net, inputs) for net in nets])
"""

from graphlab.nn.models.gmn.editor import GMNEditor
from graphlab.nn.models.gmn.encoder import FeatureEncoder
from graphlab.nn.models.gmn.graph import Graph, explicit, read
from graphlab.nn.models.gmn.grit import GRIT
from graphlab.nn.models.gmn.model import GMN
from graphlab.nn.models.gmn.mpnn import ResidualMPNN
from graphlab.nn.models.gmn.plain import MPNN
from graphlab.nn.models.gmn.readout import Readout

__all__ = ["GMN", "GRIT", "MPNN", "FeatureEncoder", "GMNEditor", "Graph", "Readout", "ResidualMPNN", "explicit", "read"]
