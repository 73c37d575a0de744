r"""PNA with edges that modulate messages: the convolution of NG-GNN (specification of neural_graphs, 2.5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphlab.nn.models.neural_graphs.edges import Edges, FlatEdges, collected
from graphlab.ops.block import Message
from graphlab.ops.block_received import Aggregator

Scaler = Literal["identity", "amplification", "attenuation", "linear", "inverse_linear"]
Modulation = Literal["film", "gate", "none"]
Act = Literal["relu", "silu"]


class Degrees(nn.Module):
    """Means over the nodes of a training set, of the logarithm of one more than the in-degree and of the in-degree.

    Args:
        histogram: Nodes of each in-degree, from 0.

    Raises:
        ValueError: for an empty histogram.
    """

    avg_deg_log: Tensor
    avg_deg_lin: Tensor

    def __init__(self, histogram: Sequence[int]) -> None:
        super().__init__()
        counts = torch.tensor(histogram, dtype=torch.float64)
        if counts.dim() != 1 or counts.sum() <= 0 or (counts < 0).any():
            raise ValueError(f"degrees: expected how many nodes have in-degree 0, 1, ..., got {list(histogram)}")
        degrees = torch.arange(len(counts), dtype=torch.float64)
        for name, values in (("avg_deg_lin", degrees), ("avg_deg_log", (degrees + 1).log())):
            mean = (values * counts).sum() / counts.sum()
            self.register_buffer(name, mean.to(torch.get_default_dtype()).unsqueeze(0))

    def scaled(self, y: Tensor, degree: Tensor, scalers: Sequence[Scaler]) -> Tensor:
        """``[..., len(scalers) * channels]``: ``y`` ``[..., channels]`` times functions of the degree ``[..., 1]``."""
        some = degree.clamp(min=1)
        factors: dict[Scaler, Tensor] = {
            "amplification": (degree + 1).log() / self.avg_deg_log,
            "attenuation": self.avg_deg_log / (some + 1).log(),
            "linear": degree / self.avg_deg_lin,
            "inverse_linear": self.avg_deg_lin / some,
        }
        return torch.cat([y if scaler == "identity" else y * factors[scaler] for scaler in scalers], dim=-1)


class ModulatedPNAConv(nn.Module):
    r"""Principal neighbourhood aggregation of messages that edges modulate.

    .. math:: m_{ij} = \gamma_{ij} \odot M([x_i, x_j]) + \beta_{ij}, \quad [\gamma_{ij} \mid \beta_{ij}] = W e_{ij} + b,
        \qquad x_i' = U\big([x_i, \bigoplus_s s(n_i) [\mathrm{agg}_1, \mathrm{agg}_2, \dots]_j\, m_{ij}]\big)

    or :math:`\sigma(\gamma_{ij}) \odot M([x_i, x_j])`, or :math:`M([x_i, x_j, W e_{ij} + b])`. With ``towers``, several
    :math:`M` and :math:`U` side by side. :math:`M` of a pair is never formed from a concatenation: it is a sum of a
    term of each end and, unmodulated, of one of the edge.

    Args:
        in_channels, out_channels, edge_channels: Of nodes before and after, and of edges.
        degrees: Nodes of a training set by their in-degree, for the scalers.
        aggregators: Any of ``sum``, ``mean``, ``min``, ``max``, ``var`` and ``std``.
        scalers: Of each, functions of the in-degree.
        modulation: ``film``, ``gate`` or ``none``, in the order above.
        towers: How many; ``out_channels`` is divided among them.
        divide_input: Give each tower its part of the channels; otherwise all.
        pre_layers, post_layers: Linear maps in :math:`M` and :math:`U`, with ``act`` between.
        act: ``relu`` or ``silu``.

    Raises:
        ValueError: for unknown names, and for channels that cannot be divided among the towers.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        edge_channels: int,
        degrees: Sequence[int],
        aggregators: Sequence[Aggregator] = ("mean", "min", "max", "std"),
        scalers: Sequence[Scaler] = ("identity", "amplification"),
        modulation: Modulation = "film",
        towers: int = 1,
        divide_input: bool = False,
        pre_layers: int = 1,
        post_layers: int = 1,
        act: Act = "relu",
    ) -> None:
        super().__init__()
        known("aggregators", aggregators, Aggregator)
        known("scalers", scalers, Scaler)
        known("modulation", [modulation], Modulation)
        known("act", [act], Act)
        if out_channels % towers or (divide_input and in_channels % towers):
            raise ValueError(f"{in_channels} and {out_channels} channels cannot be divided among {towers} towers")
        self.aggregators, self.scalers = tuple(aggregators), tuple(scalers)
        self.modulation, self.towers, self.divide_input, self.act = modulation, towers, divide_input, act
        width = in_channels // towers if divide_input else in_channels
        modulated = modulation != "none"
        self.width, self.pre_layers = width, pre_layers
        self.aggr_module = Degrees(degrees)
        self.edge_encoder = nn.Linear(edge_channels, (2 if modulated else 1) * width)
        self.pre_nns = nn.ModuleList(
            _layers((2 if modulated else 3) * width, width, pre_layers, act) for _ in range(towers)
        )
        inputs = (len(aggregators) * len(scalers) + 1) * width
        self.post_nns = nn.ModuleList(_layers(inputs, out_channels // towers, post_layers, act) for _ in range(towers))
        self.lin = nn.Linear(out_channels, out_channels)

    def forward(
        self, x: Tensor, edges: Sequence[Edges], states: Sequence[Tensor], nodes: Tensor | None = None
    ) -> Tensor:
        """``[num_nodes, out_channels]``, or ``[len(nodes), out_channels]``.

        Args:
            x: ``[num_nodes, in_channels]``.
            edges: All edges, some at a time.
            states: What these carry.
            nodes: int64, those asked for; default all.
        """
        own, sent = self._terms(x)
        weight, bias, message = self._edge_map()
        deep = self.pre_layers > 1
        parts = [
            each.messages(state, weight, bias, sent, own, message, self.aggregators, self._after if deep else None)
            for each, state in zip(edges, states, strict=True)
        ]
        if not parts:
            none = torch.empty(0, dtype=torch.int32, device=x.device)
            nothing = FlatEdges(none, none, len(x))
            edges, empty = [nothing], x.new_empty(0, weight.shape[1])
            parts = [nothing.messages(empty, weight, bias, sent, own, message, self.aggregators)]
        degree, y = collected(edges, parts, len(x), self.aggregators)
        if nodes is not None:
            x, degree, y = x[nodes], degree[nodes], y[nodes]
        towers = y.view(len(y), len(self.aggregators), self.towers, self.width).transpose(1, 2).flatten(2).unbind(1)
        made = [
            post(torch.cat([own, self.aggr_module.scaled(tower, degree, self.scalers)], dim=1))
            for own, tower, post in zip(self._inputs(x), towers, self.post_nns, strict=True)
        ]
        result: Tensor = self.lin(torch.cat(made, dim=1))
        return result

    @property
    def _networks(self) -> list[nn.Sequential]:
        return cast("list[nn.Sequential]", list(self.pre_nns))

    def _inputs(self, x: Tensor) -> Sequence[Tensor]:
        """What each tower reads of the nodes."""
        return x.chunk(self.towers, dim=1) if self.divide_input else [x] * self.towers

    def _terms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``[num_nodes, towers * width]`` each: of the receiver and of the sender."""
        own, sent = [], []
        for part, pre in zip(self._inputs(x), self._networks, strict=True):
            receiver, sender = first(pre).weight[:, : 2 * self.width].chunk(2, dim=1)
            own.append(functional.linear(part, receiver, first(pre).bias))
            sent.append(functional.linear(part, sender))
        return torch.cat(own, dim=1), torch.cat(sent, dim=1)

    def _edge_map(self) -> tuple[Tensor, Tensor, Message]:
        """The affine map of edges that messages are made with, the same for all towers but side by side."""
        weight, bias = self.edge_encoder.weight, self.edge_encoder.bias
        if self.modulation == "none":
            of_edge = torch.cat([first(pre).weight[:, 2 * self.width :] for pre in self._networks])
            return of_edge @ weight, of_edge @ bias, "linear"
        scale, shift = ([part] * self.towers for part in weight.chunk(2))
        scale_bias, shift_bias = ([part] * self.towers for part in bias.chunk(2))
        if self.modulation == "gate":
            return torch.cat(scale), torch.cat(scale_bias), "gate"
        return torch.cat([*scale, *shift]), torch.cat([*scale_bias, *shift_bias]), "film"

    def _after(self, messages: Tensor) -> Tensor:
        """The further layers before the aggregation, of each tower."""
        towers = messages.chunk(self.towers, dim=-1)
        return torch.cat([pre[1:](tower) for tower, pre in zip(towers, self._networks, strict=True)], dim=-1)


def first(network: nn.Sequential) -> Any:
    return network[0]


def known(what: str, values: Sequence[str], names: object) -> None:
    """Raises ``ValueError`` if there is none, or for one that is not among the names."""
    if not values or any(value not in get_args(names) for value in values):
        raise ValueError(f"{what}: expected some of {', '.join(get_args(names))}, got {list(values)}")


def activation(act: Act) -> Callable[[Tensor], Tensor]:
    return functional.relu if act == "relu" else functional.silu


def _layers(in_channels: int, out_channels: int, count: int, act: Act) -> nn.Sequential:
    """Linear maps with an activation between."""
    modules: list[nn.Module] = [nn.Linear(in_channels, out_channels)]
    for _ in range(count - 1):
        modules += [nn.ReLU() if act == "relu" else nn.SiLU(), nn.Linear(out_channels, out_channels)]
    return nn.Sequential(*modules)
