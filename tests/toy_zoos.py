"""Zoos small enough to be made in the tests, once a session: fixtures that a conftest imports."""

from __future__ import annotations

import pytest

from graphlab.datasets.zoos import CNNRecipe, DigitsRecipe, SinesRecipe, make_zoo

INR = DigitsRecipe(layout=(2, 5, 4, 1), steps=3, shard_units=8)
CNN = CNNRecipe(
    depth=(2, 3), channels=(2, 3), kernels=(3, 5), networks=2, checkpoints=(0, 2), batch_size=4, shard_units=4
)


@pytest.fixture(scope="session")
def inr_zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoos") / "inr"
    make_zoo(INR, folder, 20)
    return folder


@pytest.fixture(scope="session")
def cnn_zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoos") / "cnn"
    make_zoo(CNN, folder, 40)
    return folder


@pytest.fixture(scope="session")
def sine_zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoos") / "sine"
    make_zoo(SinesRecipe(layout=(1, 4, 4, 1), points=8, steps=2), folder, 20)
    return folder
