"""Ways to draw a network as a graph: each a function that returns a :class:`~graphlab.weightgraph.wiring.Wiring`."""
