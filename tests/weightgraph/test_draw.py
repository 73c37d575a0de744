"""Pictures of structures: written, of a sensible size, with every group in them."""

from __future__ import annotations

import matplotlib.image
import pytest
from matplotlib.text import Text

from graphlab.capture import capture
from graphlab.weightgraph import WeightGraph, trace
from graphlab.weightgraph import draw as drawing
from graphlab.weightgraph.clusters import clusters_of
from graphlab.weightgraph.draw import draw
from tests.architectures import ARCHITECTURES


def structure_of(name):
    example = ARCHITECTURES[name]()
    return trace(capture(example.module, example.args, example.kwargs))


def texts(structure):
    picture = drawing._Picture(structure, clusters_of(structure))
    picture.save("/dev/null")
    return picture, [text for text in picture.figure.findobj(Text) if text.get_text()]


@pytest.mark.parametrize("name", ["mlp", "resnet", "unet", "lstm", "mha_cross", "llama", "mixtral", "clip"])
def test_every_group_is_drawn_and_no_labels_overlap(name):
    structure = structure_of(name)
    picture, labels = texts(structure)
    said = " ".join(text.get_text().replace("\n", "") for text in labels)
    for group in structure.groups.values():
        assert group.name.rpartition(".")[2] in said
    picture.figure.canvas.draw()
    renderer = picture.figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in labels]
    overlapping = [
        (labels[i].get_text(), labels[j].get_text())
        for i in range(len(boxes))
        for j in range(i)
        if boxes[i].shrunk(0.98, 0.9).overlaps(boxes[j].shrunk(0.98, 0.9))
    ]
    assert overlapping == []
    inside = picture.figure.bbox
    assert all(inside.x0 <= box.x0 and box.x1 <= inside.x1 for box in boxes)


def test_the_file_is_a_png_of_the_size_of_the_network(tmp_path):
    graph = WeightGraph.from_module(ARCHITECTURES["mlp"]().module, ARCHITECTURES["mlp"]().args)
    draw(graph, tmp_path / "mlp.png")
    draw(structure_of("clip"), tmp_path / "clip.png")
    small, large = (matplotlib.image.imread(tmp_path / f"{name}.png") for name in ("mlp", "clip"))
    assert small.shape[1] < large.shape[1]
    assert small.std() > 0


def test_layers_that_repeat_are_drawn_once_where_there_are_many(tmp_path, monkeypatch):
    structure = structure_of("llama")
    draw(structure, tmp_path / "all.png")
    monkeypatch.setattr(drawing, "MANY_GROUPS", 5)
    draw(structure, tmp_path / "summary.png")
    full, summary = (matplotlib.image.imread(tmp_path / f"{name}.png") for name in ("all", "summary"))
    assert summary.shape[1] < full.shape[1]


def test_the_parameters_on_the_lines_are_those_of_the_network():
    structure = structure_of("mlp")
    clusters = clusters_of(structure)
    assert [cluster.members[0].size for cluster in clusters] == [11, 24, 17, 5]
    assert [sorted(cluster.couplings.values()) for cluster in clusters] == [[264], [264, 408], [85, 408], [85]]
    assert all(not cluster.own for cluster in clusters)


def test_a_recurrent_network_couples_a_group_to_itself():
    recurrent = [cluster for cluster in clusters_of(structure_of("lstm")) if cluster.own]
    assert [cluster.own for cluster in recurrent] == [4 * 12 * 12, 4 * 12 * 12]
