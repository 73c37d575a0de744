"""The numbers by which parameter graphs tell kinds of nodes and edges apart (specification of metanetworks, 2.1)."""

from enum import IntEnum


class NodeType(IntEnum):
    """The 17 published types. ``ATTENTION_BIAS`` and ``DEEPSETS_BIAS`` have numbers, but no node has them."""

    NEURON = 0
    BIAS = 1
    CHANNEL = 2
    CHANNEL_BIAS = 3
    BN_GAMMA = 4
    BN_BETA = 5
    LN_GAMMA = 6
    LN_BETA = 7
    GN_GAMMA = 8
    GN_BETA = 9
    IN_GAMMA = 10
    IN_BETA = 11
    ATTENTION_NEURON = 12
    ATTENTION_BIAS = 13
    DEEPSETS_NEURON = 14
    DEEPSETS_BIAS = 15
    TRIPLANAR = 16


class EdgeType(IntEnum):
    """The 14 published types, and from ``QUERY_WEIGHT`` on those that ``distinct_types`` adds."""

    LIN_WEIGHT = 0
    LIN_BIAS = 1
    CONV_WEIGHT = 2
    CONV_BIAS = 3
    RESIDUAL = 4
    BN_GAMMA = 5
    BN_BETA = 6
    LN_GAMMA = 7
    LN_BETA = 8
    GN_GAMMA = 9
    GN_BETA = 10
    IN_GAMMA = 11
    IN_BETA = 12
    TRIPLANAR = 13
    QUERY_WEIGHT = 14
    KEY_WEIGHT = 15
    VALUE_WEIGHT = 16
    QUERY_BIAS = 17
    KEY_BIAS = 18
    VALUE_BIAS = 19
    SET_MEAN_WEIGHT = 20
