"""Learning on trained networks: what all tasks share, and the tasks.

A model is built by ``build_model(networks=..., out_channels=...)``: the networks are the training part of the zoo,
from which a builder takes what it needs (sizes, drawings, statistics); ``out_channels`` numbers are wanted of each
network, or None if the networks are to be edited. The module built takes a
:class:`~graphlab.weightgraph.WeightGraphBatch` and gives ``[networks, out_channels]``; or, edited, a batch of the same
wirings whose values are the new parameters. These attributes say what it reads; all have defaults:

``layout``
    The layout that draws the networks, ``neural_graph``.
``layout_options``
    Options of the layout, none.
``reads_activations``
    Whether it is called with ``(batch, activations)``, the names of the hidden layers' activations of each network.

::

    @model("mean-weight", protocol=("inr-classification", "cnn-generalisation"), options=Options)
    def mean_weight(options, networks, out_channels):
        return MeanWeight(out_channels)
"""
