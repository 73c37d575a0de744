"""Classifying the nodes of one graph, some of its labels known.

Settings and rules as DAGNN's experiments have them (Liu, Gao, Ji, KDD 2020, section 5), which are those of most papers
on the citation graphs: an epoch is one step of Adam, with L2 weight decay on every parameter, and one evaluation.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn
from torch.nn import functional
from torch_geometric.data import Data
from torch_geometric.loader import RandomNodeLoader
from torch_geometric.utils import is_undirected, to_undirected

from graphlab.datasets.checks import check_node_graph, check_split
from graphlab.datasets.node_graphs import load
from graphlab.datasets.splits import Split, coauthor_split, largest_component, planetoid_split
from graphlab.datasets.transforms import rows_to_one
from graphlab.engine import MaxEpochs, Patience, Protocol, Selection, StoppingRule, WindowMean, protocol
from graphlab.engine.memory import free_memory, kept_for_backward

PROBE = 2_000
"""So many nodes the memory of a training step is estimated on; graphs of less than ten times as many always fit."""


@dataclass(frozen=True)
class NodeClassificationConfig:
    """Settings of :class:`NodeClassification`.

    Attributes:
        dataset: A name that :func:`graphlab.datasets.load` knows.
        split: ``public``: the published masks (of ten, those whose number is the run's seed modulo ten). Drawn anew in
            each run: ``planetoid`` (20 a class, 500, 1000) or ``coauthor`` (20 a class, 30 a class, all others).
        component: With ``coauthor``: ``all`` nodes are split; or those of the largest component (``split``), the model
            still seeing the whole graph, as published for Amazon; or the graph is cut to it (``cut``).
        compat_component: Draw from the largest component with the published code's error: see
            :func:`graphlab.datasets.coauthor_split`.
        normalize_features: Whether rows of features are made to sum to one.
        undirected: Whether each edge is added turned round.
        lr, weight_decay: Of Adam; weight decay is added to the gradients.
        epochs: At most so many.
        stopping: ``window``: in the second half of the epochs, when the validation loss exceeds the mean of so many
            before it; ``patience``: when it has had no minimum for so many epochs; or ``never``.
        stop_after: How many epochs ``window`` and ``patience`` look back.
        parts: Train on so many random parts of the nodes and the edges within each, a step a part
            (``torch_geometric.loader.RandomNodeLoader``): for a graph of which a training step does not fit into
            memory. Evaluation takes the whole graph, without gradients.
    """

    dataset: str
    split: Literal["public", "planetoid", "coauthor"] = "public"
    component: Literal["all", "split", "cut"] = "all"
    compat_component: bool = False
    normalize_features: bool = True
    undirected: bool = False
    lr: float = 0.01
    weight_decay: float = 0.005
    epochs: int = 1000
    stopping: Literal["window", "patience", "never"] = "window"
    stop_after: int = 100
    parts: int = 1

    def __post_init__(self) -> None:
        if self.lr <= 0 or self.weight_decay < 0 or self.epochs < 1 or self.stop_after < 1:
            raise ValueError(
                "expected lr > 0, weight_decay >= 0, epochs >= 1 and stop_after >= 1, got "
                f"{self.lr}, {self.weight_decay}, {self.epochs}, {self.stop_after}"
            )
        if self.parts < 1:
            raise ValueError(f"expected parts >= 1, got {self.parts}")
        if self.component != "all" and self.split != "coauthor":
            raise ValueError(f"component={self.component!r} goes with split='coauthor', not with {self.split!r}")
        if self.compat_component and self.component != "split":
            raise ValueError("compat_component goes with component='split'")

    def stopping_rules(self, metric: str) -> list[StoppingRule]:
        """New rules for a run that goes by ``metric``, a loss."""
        rules: list[StoppingRule] = [MaxEpochs(self.epochs)]
        if self.stopping == "window":
            rules.append(WindowMean(metric, self.stop_after, self.epochs // 2))
        elif self.stopping == "patience":
            rules.append(Patience(metric, self.stop_after))
        return rules


@protocol("node-classification", config=NodeClassificationConfig)
class NodeClassification(Protocol[NodeClassificationConfig]):
    """Reports the test accuracy at the epoch of the lowest validation loss.

    A model takes ``(x, edge_index)`` and gives scores ``[num_nodes, out_channels]``. For a graph of your own override
    :meth:`load_graph`.

    Raises:
        ValueError: for features, edges, labels and masks of no use; see :mod:`graphlab.datasets.checks`. For a graph
            of which a training step would not fit into memory.
        DatasetError: if the graph cannot be had.

    Warns:
        UserWarning: if edges go one way only, or a class has no training node.
    """

    selection: ClassVar[Selection] = Selection("val_loss", "min", report=("test_acc", "val_acc", "val_loss"))

    def load_graph(self) -> Data:
        """With ``x``, ``y``, ``edge_index`` and, for the split ``public``, masks."""
        return load(self.config.dataset, self.data_dir)

    def prepare(self) -> None:
        graph = self.load_graph()
        check_node_graph(graph)
        if self.config.undirected:
            graph.edge_index = to_undirected(graph.edge_index, num_nodes=len(graph.x))
        elif not is_undirected(graph.edge_index, num_nodes=len(graph.x)):
            warnings.warn(
                f"{self.config.dataset}: some edges go one way only, and messages too; undirected=True adds the others",
                stacklevel=2,
            )
        if self.config.component != "all":
            self.component = largest_component(graph.edge_index, len(graph.x))
        if self.config.component == "cut":
            graph = graph.subgraph(self.component)
        self.graph = graph
        self.num_classes = int(graph.y.max()) + 1
        device = self.fabric.device
        self.x = (rows_to_one(graph.x) if self.config.normalize_features else graph.x).to(device)
        self.edge_index, self.y = graph.edge_index.to(device), graph.y.to(device)

    def split(self, seed: int) -> Split:
        """The masks of the run with this seed."""
        generator = torch.Generator().manual_seed(seed)
        match self.config.split:
            case "planetoid":
                return planetoid_split(self.graph.y, generator)
            case "coauthor" if self.config.component == "split":
                compat = self.config.compat_component
                return coauthor_split(self.graph.y, generator, nodes=self.component, compat=compat)
            case "coauthor":
                return coauthor_split(self.graph.y, generator)
        if "train_mask" not in self.graph:
            raise ValueError(f"{self.config.dataset} has no published split; expected split 'planetoid' or 'coauthor'")
        masks = (self.graph.train_mask, self.graph.val_mask, self.graph.test_mask)
        return Split(*(mask if mask.dim() == 1 else mask[:, seed % mask.shape[1]] for mask in masks))

    def setup(self, seed: int) -> None:
        masks = check_split(self.split(seed), self.graph.y, self.num_classes)
        self.nodes = {
            name: mask.nonzero().squeeze(1).to(self.fabric.device)
            for name, mask in zip(Split._fields, masks, strict=True)
        }
        model = self.build_model(in_channels=self.x.shape[1], out_channels=self.num_classes)
        self.check_memory(model)
        adam = torch.optim.Adam(model.parameters(), lr=self.config.lr, weight_decay=self.config.weight_decay)
        self.model, self.optimizer = self.fabric.setup(model, adam)
        self.stopping = self.config.stopping_rules("val_loss")
        if self.config.parts > 1:
            whole = Data(self.x, self.edge_index, y=self.y, train_mask=masks.train.to(self.fabric.device))
            loader = RandomNodeLoader(whole, self.config.parts, shuffle=True)
            self.loader = self.fabric.setup_dataloaders(loader, use_distributed_sampler=False)

    def check_memory(self, model: nn.Module) -> None:
        """Refuse a graph of which a training step of the model needs more memory than there is.

        What the backward pass needs is measured on a random graph of :data:`PROBE` nodes, as many edges a node and the
        first features, and scaled up.
        """
        nodes, free = len(self.x) // self.config.parts, free_memory(self.fabric.device)
        if nodes < 10 * PROBE or free is None:
            return
        edges = round(self.edge_index.shape[1] / len(self.x) / self.config.parts * PROBE)
        generator = torch.Generator().manual_seed(0)
        edge_index, x = torch.randint(PROBE, (2, edges), generator=generator), self.x[:PROBE].cpu().clone()
        kept = kept_for_backward(model, lambda net: net(x, edge_index), given=[x, edge_index])
        needed = kept * nodes // PROBE
        if needed > free:
            raise ValueError(
                f"{self.config.dataset} does not fit: a training step on {nodes:,} nodes keeps about {needed / 1e9:.1f} "
                f"GB for the gradients, and {free / 1e9:.1f} GB are free on {self.fabric.device}; parts="
                f"{self.config.parts * -(-2 * needed // max(free, 1))} would train on parts of the graph"
            )

    def train_epoch(self) -> Mapping[str, float]:
        if self.config.parts > 1:
            return self._train_on_parts()
        nodes = self.nodes["train"]
        loss = functional.cross_entropy(self.model(self.x, self.edge_index)[nodes], self.y[nodes])
        self.step(loss)
        return {"step_loss": loss.item()}

    def _train_on_parts(self) -> dict[str, float]:
        """A step a part, each process its share of them; the mean of the losses is that of all training nodes."""
        total, steps = 0.0, -(-self.config.parts // self.fabric.world_size)
        for part in itertools.islice(self.loader, steps):
            scores = self.model(part.x, part.edge_index)[part.train_mask]
            loss = functional.cross_entropy(scores, part.y[part.train_mask], reduction="sum")
            loss = loss * (self.config.parts / len(self.nodes["train"]))
            self.step(loss)
            total += loss.item()
        return {"step_loss": total / steps}

    def evaluate(self) -> Mapping[str, float]:
        scores = self.model(self.x, self.edge_index)
        metrics = {}
        for name, nodes in self.nodes.items():
            found, labels = scores[nodes], self.y[nodes]
            metrics[f"{name}_loss"] = functional.cross_entropy(found, labels).item()
            metrics[f"{name}_acc"] = int((found.argmax(dim=1) == labels).sum()) / len(nodes)
        return metrics


@protocol("node-classification-by-accuracy", config=NodeClassificationConfig)
class NodeClassificationByAccuracy(NodeClassification):
    """Reports the test accuracy at the first epoch of the highest validation accuracy, as for ogbn-arxiv."""

    selection: ClassVar[Selection] = Selection("val_acc", "max", report=("test_acc", "val_acc"))
