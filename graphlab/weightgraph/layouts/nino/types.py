"""The kinds of edges and nodes of NiNo's neural graphs."""

from enum import IntEnum


class EdgeType(IntEnum):
    """What an edge carries, a row of the meta-network's embedding table of 15. From 10 on, no parameter."""

    LINEAR = 1
    BIAS = 2
    """Biases, norm shifts, and all that has no number of its own."""
    CONV = 3
    NORM = 4
    """A norm's scale."""
    WORD = 5
    """Word embedding, or class token."""
    POSITION = 6
    QUERY = 7
    KEY = 8
    VALUE = 9
    RESIDUAL = 10
    HEAD = 11
    SELF_LOOP = 13


class NodeType(IntEnum):
    """What a range of nodes stands for."""

    NEURON = 0
    WORD = 1
    """Rows of the word embedding, and the class token."""
    UNIT = 2
    """The one node of a bias, norm scale or norm shift."""
    HEAD = 3
