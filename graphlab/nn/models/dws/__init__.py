"""DWSNets: networks that are equivariant to permutations of the hidden neurons of multilayer perceptrons.

Navon, Shamsian, Achituve, Fetaya, Chechik, Maron: Equivariant Architectures for Learning in Deep Weight Spaces, ICML 2023
(arXiv 2301.12780).
"""

from graphlab.nn.models.dws.downsample import DownSampledDWSLayer
from graphlab.nn.models.dws.heads import InvariantHead, NaiveInvariantHead
from graphlab.nn.models.dws.layer import DWSLayer
from graphlab.nn.models.dws.networks import DWSClassifier, DWSNet

__all__ = ["DWSClassifier", "DWSLayer", "DWSNet", "DownSampledDWSLayer", "InvariantHead", "NaiveInvariantHead"]
