"""Data sets by name, their published splits, and random ones.

>>> data = load("cora")
>>> train, val, test = planetoid_split(data.y, torch.Generator().manual_seed(0))
"""

from graphlab.datasets.errors import DatasetError
from graphlab.datasets.node_graphs import NAMES, load
from graphlab.datasets.splits import Split, coauthor_split, largest_component, planetoid_split

__all__ = ["NAMES", "DatasetError", "Split", "coauthor_split", "largest_component", "load", "planetoid_split"]
