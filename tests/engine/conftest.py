import pytest

from graphlab.engine import Experiment
from tests.engine import toy


@pytest.fixture
def experiment():
    return Experiment("toy-mlp", toy.Options(), toy.Config())
