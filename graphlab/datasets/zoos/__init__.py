"""Zoos: many trained networks as one data set, made here or published by others.

>>> zoo = load_zoo("digits-inr")
>>> batch = zoo.split("train").batch(range(64), "neural_graph")
>>> make_zoo(DigitsRecipe(steps=500), Path("mine"), count=1797)
"""

from graphlab.datasets.zoos.architectures import Architecture, ChainArchitecture, CNNArchitecture, SirenArchitecture
from graphlab.datasets.zoos.classifiers import CNNRecipe
from graphlab.datasets.zoos.files import read_zoo
from graphlab.datasets.zoos.inr_folders import read_inrs
from graphlab.datasets.zoos.loading import OWN, PUBLISHED, load_zoo
from graphlab.datasets.zoos.making import make_zoo
from graphlab.datasets.zoos.signals import DigitsRecipe, SinesRecipe
from graphlab.datasets.zoos.small_cnn_zoo import read_small_cnn_zoo
from graphlab.datasets.zoos.trials import read_trials
from graphlab.datasets.zoos.zoo import SPLITS, Network, Skipped, Zoo

__all__ = [
    "OWN",
    "PUBLISHED",
    "SPLITS",
    "Architecture",
    "CNNArchitecture",
    "CNNRecipe",
    "ChainArchitecture",
    "DigitsRecipe",
    "Network",
    "SinesRecipe",
    "SirenArchitecture",
    "Skipped",
    "Zoo",
    "load_zoo",
    "make_zoo",
    "read_inrs",
    "read_small_cnn_zoo",
    "read_trials",
    "read_zoo",
]
