"""Message passing: the operators under every model of graphlab.

>>> adj = adjacency(edge_index, num_nodes)        # sorted once
>>> y = spmm(adj, x, weight, reduce="mean")       # of what the neighbours send
>>> s = sddmm(adj, q, k)                          # a score for each edge
>>> y = graph_attention(adj, q, k, v)             # softmax of scores over the edges into each node
>>> y = spmm_stats(adj, x, ("mean", "max"))       # several reductions at once
>>> y = segment(x, rowptr, "max")                 # of consecutive rows
"""

from graphlab.ops.adjacency import Adjacency, adjacency
from graphlab.ops.attention import gat_attention, gatv2_attention, graph_attention
from graphlab.ops.block import block_edge_update, block_messages
from graphlab.ops.block_pool import block_pool
from graphlab.ops.block_received import Received, merge
from graphlab.ops.dispatch import available, backend, ran
from graphlab.ops.overlap import Overlap, neighbor_overlap, overlap_counts, overlap_pool
from graphlab.ops.propagate import hops, propagate
from graphlab.ops.sddmm import sddmm
from graphlab.ops.segment import segment, segment_adjacency, segment_softmax
from graphlab.ops.set_attention import set_attention
from graphlab.ops.spmm import spmm, spmm_arg
from graphlab.ops.stats import spmm_stats

__all__ = [
    "Adjacency",
    "Overlap",
    "Received",
    "adjacency",
    "available",
    "backend",
    "block_edge_update",
    "block_messages",
    "block_pool",
    "gat_attention",
    "gatv2_attention",
    "graph_attention",
    "hops",
    "merge",
    "neighbor_overlap",
    "overlap_counts",
    "overlap_pool",
    "propagate",
    "ran",
    "sddmm",
    "segment",
    "segment_adjacency",
    "segment_softmax",
    "set_attention",
    "spmm",
    "spmm_arg",
    "spmm_stats",
]
