"""Zoos that are made here: what they hold, that they go on where they stopped, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch
from torch.func import functional_call

from graphlab.datasets import DatasetError
from graphlab.datasets.zoos import SPLITS, CNNRecipe, DigitsRecipe, SinesRecipe, make_zoo, read_zoo
from graphlab.datasets.zoos.architectures import from_json, shapes, to_json
from graphlab.datasets.zoos.classifiers import judge, train_stacked
from graphlab.datasets.zoos.digits import digits
from graphlab.datasets.zoos.making import initial
from graphlab.datasets.zoos.signals import fit_sirens
from graphlab.nn.models.siren import Siren, pixel_grid, sirens
from graphlab.weightgraph import verify
from tests.toy_zoos import CNN, INR

# --- what is made -----------------------------------------------------------------------------------------------------


def test_a_zoo_of_digits_knows_image_label_part_and_quality(inr_zoo):
    zoo = read_zoo(inr_zoo)
    images, labels, split = digits()
    assert len(zoo) == 20
    assert not zoo.skipped
    assert zoo.fact("label").tolist() == labels[:20].tolist()
    assert zoo.fact("split").tolist() == split[:20].tolist()
    network = zoo[7]
    module = network.architecture.module()
    module.load_state_dict(dict(network.tensors))
    shown = module(pixel_grid(8, 8)).squeeze(1)
    psnr = -10 * (shown - images[7].flatten()).square().mean().log10()
    torch.testing.assert_close(psnr.item(), network.facts["psnr"], rtol=1e-4, atol=1e-3)


def test_fitting_many_sirens_is_fitting_each_alone():
    architecture = read_architecture(INR)
    start = initial(architecture, [1, 2, 3])
    x, targets = pixel_grid(8, 8), digits().images[:3].flatten(1).unsqueeze(-1)
    together = fit_sirens(architecture, start, x, targets, steps=20, lr=1e-2)
    alone = fit_sirens(architecture, {n: t[1:2] for n, t in start.items()}, x, targets[1:2], steps=20, lr=1e-2)
    for name, own in alone.items():
        torch.testing.assert_close(together[name][1:2], own, atol=1e-4, rtol=1e-3)
    before, after = ((sirens(own, x) - targets).square().mean() for own in (start, together))
    assert after < 0.7 * before


def read_architecture(recipe):
    return recipe.make(range(1)).stacks[0].architecture


def test_stacked_training_is_adam_with_a_rate_for_each_network():
    architecture = CNN.sample(0)
    start = initial(architecture, [5, 6])
    rates = torch.tensor([1e-3, 2e-2])
    (trained,) = train_stacked(architecture, start, rates, [7, 8], (3,), batch_size=4)
    module = architecture.module()
    module.load_state_dict({name: own[1] for name, own in start.items()})
    adam = torch.optim.Adam(module.parameters(), lr=2e-2)
    images, labels, _ = digits()
    images = ((images - images.mean()) / images.std()).unsqueeze(1)
    draws = torch.Generator().manual_seed(8)
    for _ in range(3):
        chosen = torch.randint(1200, (4,), generator=draws)
        adam.zero_grad()
        torch.nn.functional.cross_entropy(module(images[chosen]), labels[chosen]).backward()
        adam.step()
    for name, own in module.named_parameters():
        torch.testing.assert_close(trained[name][1], own.detach(), atol=1e-4, rtol=1e-3)


def test_a_zoo_of_classifiers_holds_the_accuracy_of_what_it_keeps(cnn_zoo):
    zoo = read_zoo(cnn_zoo)
    assert len(zoo) == 40
    network = zoo[3]
    judged = judge(network.architecture, {name: own.unsqueeze(0) for name, own in network.tensors.items()})
    assert judged["test_accuracy"].item() == pytest.approx(network.facts["test_accuracy"], abs=1e-5)
    images, labels, _ = digits()
    images = ((images - images.mean()) / images.std()).unsqueeze(1)[1200:]
    scores = functional_call(network.architecture.module(), dict(network.tensors), (images,))
    accuracy = float((scores.argmax(1) == labels[1200:]).float().mean())
    assert accuracy == pytest.approx(network.facts["test_accuracy"], abs=1e-5)


def test_no_architecture_is_on_two_sides(cnn_zoo):
    zoo = read_zoo(cnn_zoo)
    sides = [set(zoo.split(part).architectures) for part in SPLITS]
    assert all(sides)
    assert len(sides[0] | sides[1] | sides[2]) == sum(map(len, sides))


def test_a_unit_that_draws_the_architecture_of_another_goes_with_it():
    recipe = replace(CNN, depth=(2,), channels=(2,), kernels=(3,), activations=("relu",), checkpoints=(0,))
    made = recipe.make(range(6, 10))
    assert len(made.stacks) == 1
    assert made.facts["split"].tolist() == [0] * 8


def test_residuals_come_from_layers_before_the_one_before():
    for unit in range(60):
        architecture = CNNRecipe().sample(unit)
        assert all(-1 <= origin < max(layer - 1, 0) for layer, origin in enumerate(architecture.residual))
        assert architecture.channels[0] == 1
    assert any(max(CNNRecipe().sample(unit).residual) >= 0 for unit in range(60))


def test_sines_are_fitted():
    made = SinesRecipe(layout=(1, 16, 16, 1), steps=150, lr=1e-2, points=64).make(range(4))
    assert (made.facts["mse"] < 0.5 * (made.facts["amplitude"].square() / 2)).all()
    assert ((made.facts["frequency"] >= 0) & (made.facts["frequency"] <= 10)).all()


def test_initialisations_are_independent_and_repeatable():
    architecture = read_architecture(INR)
    first, second = (initial(architecture, seeds) for seeds in ([1, 2], [2, 1]))
    for name, own in first.items():
        assert torch.equal(own, second[name].flip(0))
    assert not torch.equal(first["0.weight"][0], first["0.weight"][1])
    bound = (6 / 5) ** 0.5 / 30
    assert first["1.weight"].abs().max() <= bound
    assert not first["0.bias"].any()


# --- going on ---------------------------------------------------------------------------------------------------------


def test_an_interrupted_zoo_becomes_the_same_as_one_made_at_once(inr_zoo, tmp_path):
    told = []
    assert make_zoo(INR, tmp_path / "zoo", 9, lambda done, total: told.append((done, total))) == 9
    assert told[-1] == (9, 9)
    (tmp_path / "zoo" / "shard-00000.safetensors").unlink()
    assert make_zoo(INR, tmp_path / "zoo", 20) == 20
    assert make_zoo(INR, tmp_path / "zoo", 20) == 0
    assert make_zoo(INR, tmp_path / "zoo", 5) == 0  # what there is stays
    for file in sorted(inr_zoo.iterdir()):
        assert file.read_bytes() == (tmp_path / "zoo" / file.name).read_bytes(), file.name


def test_a_zoo_of_another_recipe_is_refused(inr_zoo):
    with pytest.raises(DatasetError, match="another recipe; it differs in\n  steps: 3, now 4"):
        make_zoo(replace(INR, steps=4), inr_zoo, 20)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(DatasetError, match="exists and is no zoo"):
        make_zoo(INR, tmp_path, 1)


@pytest.mark.parametrize(
    ("recipe", "values", "message"),
    [
        (DigitsRecipe, {"layout": (3, 4, 1)}, "layout such as"),
        (DigitsRecipe, {"steps": 0}, "steps >= 1"),
        (DigitsRecipe, {"dtype": "int8"}, "dtype float16"),
        (SinesRecipe, {"points": 1}, "2 points"),
        (CNNRecipe, {"kernels": (2,)}, "odd kernels"),
        (CNNRecipe, {"checkpoints": (5, 2)}, "rising checkpoints"),
        (CNNRecipe, {"lr": (0.1, 0.01)}, "lr"),
        (CNNRecipe, {"activations": ("sine",)}, "unknown activations"),
        (CNNRecipe, {"depth": ()}, "depth"),
        (CNNRecipe, {"networks": 0}, "networks"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(recipe, values, message):
    with pytest.raises(ValueError, match=message):
        recipe(**values)


def test_a_count_below_one_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="1 or more"):
        make_zoo(INR, tmp_path / "zoo", 0)


# --- architectures ----------------------------------------------------------------------------------------------------


def test_architectures_survive_json(inr_zoo, cnn_zoo):
    for zoo in (read_zoo(inr_zoo), read_zoo(cnn_zoo)):
        for architecture in zoo.architectures:
            assert from_json(json.loads(json.dumps(to_json(architecture)))) == architecture


@pytest.mark.parametrize(
    "document",
    [
        None,
        {"kind": "nothing"},
        {"kind": "siren"},
        {"kind": "siren", "layout": [2]},
        {"kind": "cnn", "channels": [1, 2], "kernel_size": [3], "num_classes": 2, "residual": [4], "activation": []},
        {"kind": "chain", "names": ["a"], "sizes": [[3]]},
    ],
)
def test_documents_of_no_architecture_are_refused(document):
    with pytest.raises(ValueError, match="architecture"):
        from_json(document)


def test_the_structure_of_members_is_verified(inr_zoo, cnn_zoo):
    siren = read_zoo(inr_zoo)[0]
    module = Siren(siren.architecture.layout)
    module.load_state_dict(dict(siren.tensors))
    assert verify(module, (torch.rand(3, 2),)).passed
    assert [group.size for group in siren.graph().structure.free] == [5, 4]
    graph = read_zoo(cnn_zoo)[0].graph()
    assert set(graph.tensors) == set(shapes(read_zoo(cnn_zoo)[0].architecture))


def test_copies_of_a_zoo_can_be_read_anywhere(inr_zoo, tmp_path):
    shutil.copytree(inr_zoo, tmp_path / "elsewhere")
    assert len(read_zoo(tmp_path / "elsewhere", strict=True)) == 20
