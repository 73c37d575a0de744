"""Node classification: what a run reports, which splits it draws, and what it refuses before it begins."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from graphlab.engine import EngineError, Experiment, models, train
from graphlab.engine.memory import free_memory, kept_for_backward
from graphlab.nn.models.dagnn import DAGNN
from graphlab.protocols.node_classification import NodeClassification, NodeClassificationConfig


def two_groups(**changes: Any) -> Data:
    """600 nodes in two rings whose features tell the class of the ring."""
    generator = torch.Generator().manual_seed(0)
    nodes = torch.arange(600)
    after = torch.where(nodes % 300 == 299, nodes - 299, nodes + 1)
    y = (nodes >= 300).long()
    x = torch.rand(600, 8, generator=generator)
    x[:, :2] += torch.nn.functional.one_hot(y)
    part = nodes % 3
    graph = Data(
        x,
        torch.stack([torch.cat([nodes, after]), torch.cat([after, nodes])]),
        y=y,
        **{f"{name}_mask": part == number for number, name in enumerate(("train", "val", "test"))},
    )
    return graph.update(changes)


def protocol(graph: Data, **settings: Any) -> NodeClassification:
    class Given(NodeClassification):
        def load_graph(self) -> Data:
            return graph

    build = functools.partial(DAGNN, hidden_channels=8, K=2)
    return Given(NodeClassificationConfig("rings", **settings), build, Fabric(accelerator="cpu", devices=1))


def run(task: NodeClassification, epochs: int, seed: int = 0) -> dict[str, float]:
    task.setup(seed)
    for _ in range(epochs):
        task.model.train()
        task.train_epoch()
    task.model.eval()
    with torch.no_grad():
        return dict(task.evaluate())


def test_it_learns() -> None:
    metrics = run(protocol(two_groups(), weight_decay=0.0), 60)
    assert metrics["test_acc"] > 0.95
    assert metrics["val_loss"] < 0.5
    assert metrics.keys() == {f"{part}_{what}" for part in ("train", "val", "test") for what in ("loss", "acc")}


def test_masks_as_lists_of_nodes() -> None:
    graph = two_groups()
    lists = {name: graph[name].nonzero().squeeze(1) for name in ("train_mask", "val_mask", "test_mask")}
    assert run(protocol(two_groups(**lists)), 2).keys()
    task, other = protocol(graph), protocol(two_groups(**lists))
    task.setup(0)
    other.setup(0)
    assert torch.equal(task.nodes["val"], other.nodes["val"])


def test_ten_masks_and_random_splits_follow_the_seed() -> None:
    shifted = {
        f"{name}_mask": torch.stack([(torch.arange(600) + split) % 3 == number for split in range(10)], dim=1)
        for number, name in enumerate(("train", "val", "test"))
    }
    task = protocol(two_groups(**shifted))
    for seed in (0, 1, 12):
        assert torch.equal(task.split(seed).train, shifted["train_mask"][:, seed % 10])
    task = protocol(two_groups(), split="coauthor")
    assert [int(mask.sum()) for mask in task.split(0)] == [40, 60, 500]
    assert not torch.equal(task.split(0).train, task.split(1).train)
    assert torch.equal(task.split(1).train, task.split(1).train)


def test_the_largest_component_alone() -> None:
    graph = two_groups()
    edge_index = graph.edge_index[:, (graph.edge_index >= 100).all(dim=0)]  # the second ring is the largest now
    graph = two_groups(edge_index=edge_index, y=torch.arange(600) % 2)
    task = protocol(graph, split="coauthor", component="split")
    assert not task.split(0).test[:300].any()
    assert len(task.x) == 600
    wrong = protocol(graph, split="coauthor", component="split", compat_component=True)
    assert not wrong.split(0).test[300:].any()
    cut = protocol(graph, split="coauthor", component="cut")
    assert len(cut.x) == 300
    assert run(cut, 1)["test_loss"] > 0


def test_edges_that_go_one_way() -> None:
    graph = two_groups()
    one_way = two_groups(edge_index=graph.edge_index[:, :600])
    with pytest.warns(UserWarning, match="rings: some edges go one way only"):
        protocol(one_way)
    assert protocol(one_way, undirected=True).edge_index.shape == graph.edge_index.shape


def test_isolated_nodes_self_loops_and_no_edges_are_fine() -> None:
    for edge_index in (torch.empty(2, 0, dtype=torch.int64), torch.tensor([[0, 1, 2], [0, 2, 1]])):
        assert run(protocol(two_groups(edge_index=edge_index)), 2)["val_loss"] > 0


def test_a_class_without_training_nodes_is_named() -> None:
    graph = two_groups()
    with pytest.warns(UserWarning, match="no training node of class 1, 3: it cannot be learned"):
        protocol(two_groups(y=graph.y * 2 + graph.val_mask)).setup(0)


def test_training_on_parts_learns_and_sees_every_training_node() -> None:
    task = protocol(two_groups(), parts=4, weight_decay=0.0)
    assert run(task, 30)["test_acc"] > 0.95
    sizes = [len(part.x) for part in task.loader]
    assert sizes == [150] * 4
    assert sum(int(part.train_mask.sum()) for part in task.loader) == 200


def test_a_graph_that_does_not_fit_is_refused_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = 30_000
    edge_index = torch.randint(nodes, (2, 5 * nodes), generator=torch.Generator().manual_seed(0))
    part = torch.arange(nodes) % 3
    masks = {f"{name}_mask": part == number for number, name in enumerate(("train", "val", "test"))}
    y = torch.arange(nodes) // 3 % 2
    graph = Data(torch.rand(nodes, 8), to_undirected(edge_index), y=y, **masks)
    module = "graphlab.protocols.node_classification"
    monkeypatch.setattr(f"{module}.free_memory", lambda device: 2_000_000)
    with pytest.raises(ValueError, match=r"rings does not fit: .* 30,000 nodes .* 0\.0 GB are free on cpu; parts="):
        protocol(graph).setup(0)
    monkeypatch.setattr(f"{module}.free_memory", lambda device: 2_000_000_000)
    task, model, state = protocol(graph), DAGNN(8, 8, 2, 2, 0.5), torch.get_rng_state()
    task.check_memory(model)
    assert torch.equal(torch.get_rng_state(), state)
    protocol(graph, parts=8).setup(0)


def test_the_estimate_is_near_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = 24_000
    edge_index = to_undirected(torch.randint(nodes, (2, 4 * nodes), generator=torch.Generator().manual_seed(0)))
    x, model, said = torch.rand(nodes, 8), DAGNN(8, 16, 4, 6, 0.5), []
    kept = kept_for_backward(model, lambda net: net(x, edge_index), [x, edge_index])
    module = "graphlab.protocols.node_classification"
    monkeypatch.setattr(f"{module}.free_memory", lambda device: said.append(device) or 10**12)
    task = protocol(two_groups())
    task.x, task.edge_index = x, edge_index
    task.check_memory(model)
    assert said
    monkeypatch.setattr(f"{module}.free_memory", lambda device: int(kept / 1.2))
    with pytest.raises(ValueError, match="does not fit"):
        task.check_memory(model)
    monkeypatch.setattr(f"{module}.free_memory", lambda device: int(kept * 1.2))
    task.check_memory(model)


def test_free_memory() -> None:
    free = free_memory(torch.device("cpu"))
    assert free is None or 0 < free < 2**50
    assert free_memory(torch.device("meta")) is None


def holed(rows: int) -> torch.Tensor:
    x = two_groups().x.clone()
    x[5 : 5 + rows, 0] = torch.nan
    return x


NOBODY = torch.zeros(600, dtype=torch.bool)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": holed(3)}, "x: 3 of 600 rows hold NaN or infinity, first row 5"),
        ({"x": None}, "the graph lacks x"),
        ({"x": torch.ones(600, 3, dtype=torch.int64)}, "x: expected floating"),
        ({"y": torch.zeros(599, dtype=torch.int64)}, r"y: expected integers \[600\]"),
        ({"edge_index": torch.tensor([[0], [600]])}, r"must lie in 0 \.\. 599, found 600"),
        ({"edge_index": torch.tensor([[0], [-1]])}, "found -1"),
        ({"edge_index": torch.tensor([[0, 1]])}, r"edge_index: expected integers \[2, num_edges\]"),
        ({"train_mask": NOBODY}, "the train mask is empty"),
        ({"val_mask": NOBODY}, "the val mask is empty"),
        ({"test_mask": two_groups().train_mask}, "the train and test masks have 200 nodes in common"),
        ({"val_mask": torch.ones(5, dtype=torch.bool)}, r"val mask: expected a boolean mask \[600\]"),
        ({"val_mask": torch.tensor([700])}, r"val mask must lie in 0 \.\. 599, found 700"),
        ({"y": torch.where(torch.arange(600) == 4, -1, two_groups().y)}, "1 nodes without a class.*node 4 of class -1"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        protocol(two_groups(**changes)).setup(0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs >= 1"),
        ({"parts": 0}, "parts >= 1, got 0"),
        ({"component": "cut"}, "goes with split='coauthor'"),
        ({"compat_component": True}, "goes with component='split'"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NodeClassificationConfig("rings", **settings)


def test_no_published_split() -> None:
    graph = two_groups()
    del graph.train_mask
    with pytest.raises(ValueError, match="rings has no published split"):
        protocol(graph).setup(0)


def test_stopping_rules() -> None:
    def last(settings: dict[str, Any], losses: list[float]) -> int:
        rules = NodeClassificationConfig("rings", **settings).stopping_rules("val_loss")
        for epoch, loss in enumerate(losses, start=1):
            if any([rule.stops(epoch, {"val_loss": loss}) for rule in rules]):  # noqa: C419
                return epoch
        return 0

    rising = [float(number) for number in range(20)]
    assert last({"epochs": 20, "stop_after": 5}, rising) == 11
    assert last({"epochs": 20, "stop_after": 5, "stopping": "patience"}, rising) == 6
    assert last({"epochs": 20, "stopping": "never"}, rising) == 20


def test_by_name_through_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"dagnn", "dagnn-arxiv", "mlp", "gcn", "gat", "appnp"} <= models().keys()
    monkeypatch.setattr("graphlab.protocols.node_classification.load", lambda *_: two_groups())
    for name in ("dagnn", "dagnn-arxiv", "mlp", "gcn", "gat", "appnp"):
        experiment = Experiment.from_values(name, {"dataset": "rings", "epochs": 4, "hidden": 8})
        summary = train(experiment, [0, 1], tmp_path / name)
        assert len(summary.runs) == 2
    with pytest.raises(EngineError, match="epochs >= 1"):
        Experiment.from_values("dagnn", {"dataset": "rings", "epochs": 0})
