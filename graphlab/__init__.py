"""Graph learning on PyTorch Geometric, in which a trained network is itself a graph."""

__version__ = "0.1.0"
