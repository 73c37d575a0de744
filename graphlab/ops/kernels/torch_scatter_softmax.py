"""Softmax over segments by torch-scatter, where it is installed."""

from __future__ import annotations

import math

import torch
import torch_scatter
from torch import Tensor

from graphlab.ops.adjacency import Adjacency
from graphlab.ops.dispatch import implement
from graphlab.ops.library import accumulated


@implement("softmax", "torch_scatter")
def softmax(adj: Adjacency, scores: Tensor) -> Tensor:
    rowptr, score = adj.rowptr.long(), accumulated(scores).contiguous()
    top = torch_scatter.segment_csr(score, rowptr, reduce="max")
    weight = (score - torch_scatter.gather_csr(torch.where(top == -math.inf, 0, top), rowptr)).exp()
    total = torch_scatter.segment_csr(weight, rowptr, reduce="sum")
    probability: Tensor = weight / torch_scatter.gather_csr(torch.where(total == 0, 1, total), rowptr)
    return probability.to(scores.dtype)


@implement("softmax_gradient", "torch_scatter")
def softmax_gradient(adj: Adjacency, p: Tensor, dp: Tensor) -> Tensor:
    rowptr, weight, gradient = adj.rowptr.long(), accumulated(p), accumulated(dp)
    mean = torch_scatter.segment_csr((weight * gradient).contiguous(), rowptr, reduce="sum")
    dscore: Tensor = weight * (gradient - torch_scatter.gather_csr(mean, rowptr))
    return dscore.to(p.dtype)
