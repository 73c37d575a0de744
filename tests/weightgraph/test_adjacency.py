"""Adjacency matrices: exact ones say what every edge says, pooled ones the same in sum; and their pictures."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from torch import Tensor, nn

from graphlab.weightgraph import WeightGraph
from graphlab.weightgraph import draw_adjacency as drawing
from graphlab.weightgraph.adjacency import adjacency
from graphlab.weightgraph.draw_adjacency import draw_adjacency
from graphlab.weightgraph.wiring import Block, Drawing, View, Wiring, WiringError
from tests.architectures import ARCHITECTURES


def graph_of(name: str) -> WeightGraph:
    example = ARCHITECTURES[name]()
    return WeightGraph.from_module(example.module, example.args, example.kwargs)


def by_edges(wiring: Wiring, tensors: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """float64 ``[N, N]``: the sum of squares and the sum of what the edges between two nodes carry, one by one."""
    values = wiring.edge_values(tensors, torch.float64)
    sums = torch.zeros(2, wiring.num_nodes, wiring.num_nodes, dtype=torch.float64)
    for matrix, carried in zip(sums, (values.square(), values), strict=True):
        matrix.index_put_(tuple(wiring.edge_index()), carried.sum(1), accumulate=True)
    return sums[0], sums[1]


def order(wiring: Wiring) -> Tensor:
    """The nodes in the order of the rows: those alone in their range last."""
    own = wiring.nodes.values()
    places = [torch.arange(o.start, o.start + o.size) for o in sorted(own, key=lambda o: o.size == 1)]
    return torch.cat(places)


@pytest.mark.parametrize("name", ["mlp", "resnet", "gpt2", "mixtral", "lstm", "swin"])
def test_exact_and_pooled_matrices_hold_what_the_edges_carry(name: str) -> None:
    graph = graph_of(name)
    wiring = graph.wiring()
    rows = order(wiring)
    squares, sums = (matrix[rows][:, rows] for matrix in by_edges(wiring, graph.tensors))
    exact = adjacency(wiring, graph.tensors, wiring.num_nodes)
    assert exact.exact
    torch.testing.assert_close(exact.rms.square() * exact.entries, squares)
    torch.testing.assert_close(exact.mean * exact.entries, sums)
    pooled = adjacency(wiring, graph.tensors, 40)
    assert not pooled.exact
    assert len(pooled.rms) <= max(40, len(pooled.bands))
    assert pooled.entries.sum() == exact.entries.sum() == sum(b.num_edges * b.slots for b in wiring.blocks)
    torch.testing.assert_close((pooled.rms.square() * pooled.entries).sum(), squares.sum())
    bands = [(band.start, band.pixels) for band in pooled.bands]
    assert [start for start, _ in bands] == [0, *np.cumsum([pixels for _, pixels in bands])[:-1]]
    for one, full in zip(pooled.bands, exact.bands, strict=True):
        assert (one.label, one.size) == (full.label, full.size)
        part = (m[b.start : b.start + b.pixels] for m, b in ((pooled.entries, one), (exact.entries, full)))
        assert next(part).sum() == next(part).sum(), "a band keeps its edges"


def test_large_blocks_are_summed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of("resnet")
    whole = adjacency(graph.wiring(), graph.tensors, 30)
    monkeypatch.setattr("graphlab.weightgraph.adjacency.CHUNK", 7)
    parts = adjacency(graph.wiring(), graph.tensors, 30)
    assert torch.equal(whole.entries, parts.entries)
    torch.testing.assert_close(whole.rms, parts.rms)


def test_constants_loops_parallel_edges_and_places() -> None:
    pen = Drawing()
    pen.nodes("a", 2)
    pen.nodes("b", 3)
    pen.edges(Block("a", "b", (3, 2), (1,), (0,), View("w", (0, 1))))
    pen.edges(Block("a", "a", (2,), (0,), (0,), 2.0))
    pen.edges(Block("b", "b", (2, 2), (0,), (0,), View("v", (0, 1)), source_offset=1, target_offset=1))
    pen.edges(Block("a", "a", (), (), (), View("s", ()), slots=3, places=(1,)))
    w, v = torch.arange(1.0, 7.0).view(3, 2), torch.tensor([[3.0, 4.0], [-6.0, -8.0]])
    found = adjacency(pen.wiring(), {"w": w, "v": v, "s": torch.tensor(4.0)}, 5)
    assert torch.equal(found.mean[:2, 2:], w.t().double())
    assert found.mean[:2, :2].tolist() == [[3.0, 0.0], [0.0, 2.0]]
    assert found.entries[:2, :2].tolist() == [[2, 0], [0, 1]]
    assert found.entries[3:, 3:].tolist() == [[2, 0], [0, 2]]
    assert found.rms[3, 3].item() == pytest.approx(12.5**0.5)
    assert found.rms[4, 4].item() == pytest.approx(50**0.5)


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    graph = graph_of("mlp")
    with pytest.raises(WiringError, match="60 nodes, 0 pixels"):
        adjacency(graph.wiring(), graph.tensors, 0)
    with pytest.raises(WiringError, match="got 0 nodes"):
        draw_adjacency(Wiring([], []), {}, tmp_path / "none.png")
    several = {name: torch.stack([tensor, tensor]) for name, tensor in graph.tensors.items()}
    with pytest.raises(
        WiringError, match=r"0\.weight: expected 1 entries for each of 264 edges of one network, got 528"
    ):
        draw_adjacency(graph.wiring(), several, tmp_path / "none.png")
    assert not list(tmp_path.iterdir())


def pixels(file: Path) -> np.ndarray:  # type: ignore[type-arg]
    return (matplotlib.image.imread(file)[..., :3] * 255).round().astype(int)


def has(picture: np.ndarray, colour: str) -> bool:  # type: ignore[type-arg]
    return bool((picture == (np.array(to_rgb(colour)) * 255).round()).all(-1).any())


def test_the_picture_of_a_small_network_shows_its_weights(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    nn.init.ones_(module[0].weight)
    nn.init.constant_(module[1].weight, -1.0)
    graph = WeightGraph.from_module(module, (torch.randn(1, 2),))
    drawn = draw_adjacency(graph.wiring(), graph.tensors, tmp_path / "net.png")
    assert drawn.exact
    assert [(band.label, band.size) for band in drawn.bands] == [
        ("input:0", 2), ("0", 3), ("output:0", 2), ("single nodes", 2),
    ]  # fmt: skip
    picture = pixels(tmp_path / "net.png")
    assert has(picture, "#67001f"), "the strongest red"
    assert has(picture, "#053061"), "the strongest blue"
    assert not has(picture, drawing.NOT_FINITE)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("nodes", [2_000, 10], ids=["exact", "pooled"])
def test_what_is_not_finite_stands_out(
    tmp_path: Path, wrong: float, nodes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "EXACT", nodes)
    monkeypatch.setattr(drawing, "POOLED", 20)
    graph = graph_of("mlp")
    tensors = {name: tensor.clone() for name, tensor in graph.tensors.items()}
    tensors["0.weight"][0, 0] = wrong
    assert draw_adjacency(graph.wiring(), tensors, tmp_path / "net.png").exact == (nodes > 10)
    assert has(pixels(tmp_path / "net.png"), drawing.NOT_FINITE)


def test_weights_that_are_all_zero_are_drawn(tmp_path: Path) -> None:
    graph = graph_of("mlp")
    zero = {name: torch.zeros_like(tensor, dtype=torch.bfloat16) for name, tensor in graph.tensors.items()}
    draw_adjacency(graph.wiring(), zero, tmp_path / "zero.png")
    assert pixels(tmp_path / "zero.png").std() > 0


@pytest.mark.parametrize("name", ["mlp", "mixtral", "swin", "clip", "unet"])
def test_labels_neither_overlap_nor_leave_the_picture(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "SIDE", 667)
    graph = graph_of(name)
    picture = drawing._Picture(adjacency(graph.wiring(), graph.tensors, 667), "title")
    picture.save(Path("/dev/null"))
    picture.figure.canvas.draw()
    renderer = picture.figure.canvas.get_renderer()
    labels = [text for text in picture.figure.findobj(Text) if text.get_text() and text.get_visible()]
    boxes = [text.get_window_extent(renderer) for text in labels]
    overlapping = [
        (labels[i].get_text(), labels[j].get_text())
        for i in range(len(boxes))
        for j in range(i)
        if boxes[i].shrunk(0.98, 0.9).overlaps(boxes[j].shrunk(0.98, 0.9))
    ]
    assert overlapping == []
    inside = picture.figure.bbox
    for box in boxes:
        assert inside.x0 <= box.x0 < box.x1 <= inside.x1
        assert inside.y0 <= box.y0 < box.y1 <= inside.y1
