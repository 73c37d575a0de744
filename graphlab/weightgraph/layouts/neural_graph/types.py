"""The numbers by which neural graphs tell kinds of nodes and edges apart (specification of neural_graphs, 2.9)."""

from enum import IntEnum


class NodeType(IntEnum):
    """The two published types: everything up to the last convolution, and the units after it."""

    CHANNEL = 0
    UNIT = 1


class EdgeType(IntEnum):
    """What an edge carries."""

    KERNEL = 0
    """A kernel; a linear weight as a kernel of one position."""
    LINEAR = 1
    """A linear weight in the first slot; models may encode such edges on their own."""
    FIXED = 2
    """The identity kernel."""
