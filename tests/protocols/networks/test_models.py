"""Every model by name learns every task that it is registered for; baselines and equivariant models are told apart."""

from __future__ import annotations

import pytest
import torch

from graphlab.datasets.zoos import DigitsRecipe, make_zoo, read_zoo
from graphlab.engine import EngineError, Experiment, Means, models, train
from graphlab.protocols.networks.base import NetworkTask
from graphlab.protocols.networks.models import ALL

OWN = ("neural-graph", "neural-graph-transformer", "gmn", "dws", "statnn", "weight-mlp")
SMALL = {
    "neural-graph": {"channels": 6, "num_layers": 2, "num_frequencies": 4, "num_probes": 0},
    "neural-graph-transformer": {
        "d_node": 8,
        "d_edge": 4,
        "d_attn_hid": 8,
        "d_node_hid": 8,
        "d_edge_hid": 4,
        "n_layers": 2,
        "n_heads": 2,
        "num_frequencies": 0,
    },
    "gmn": {"hidden": 8, "num_layers": 2},
    "dws": {"hidden": 4, "n_hidden": 1, "num_heads": 1},
    "statnn": {"hidden": 8},
    "weight-mlp": {"hidden": 8},
}


@pytest.fixture(scope="session")
def zoos(tmp_path_factory, cnn_zoo, sine_zoo):
    folder = tmp_path_factory.mktemp("zoos") / "digits"
    make_zoo(DigitsRecipe(layout=(2, 5, 4, 1), steps=5, shard_units=40), folder, 40)
    return {"inr-classification": folder, "inr-editing": folder, "cnn-generalisation": cnn_zoo, "sine-ssl": sine_zoo}


def experiment(name, task, zoos, **values):
    settings = {"dataset": str(zoos[task]), "epochs": 1, "batch_size": 8, "warmup": 0, **SMALL[name], **values}
    return Experiment.from_values(name, settings, task=task)


@pytest.mark.parametrize(("name", "task"), [(name, task) for name in OWN for task in ALL])
def test_a_model_is_trained_for_its_tasks_and_no_other(name, task, zoos, tmp_path):
    if task not in models()[name].protocols:
        with pytest.raises(EngineError, match="is not trained for"):
            experiment(name, task, zoos)
        return
    summary = train(experiment(name, task, zoos), [0], tmp_path / "run", device="cpu", means=Means(save_every=0))
    assert all(torch.tensor(list(summary.runs[0].selected.values())).isfinite())


def prepared(name, task, zoos, **values) -> NetworkTask:
    from lightning_fabric import Fabric

    protocol = experiment(name, task, zoos, **values).protocol(Fabric(accelerator="cpu"))
    torch.manual_seed(0)
    protocol.setup(0)
    protocol.model.eval()
    return protocol


@pytest.mark.parametrize("name", OWN)
def test_only_the_baseline_sees_the_order_of_hidden_neurons(name, zoos):
    protocol = prepared(name, "inr-classification", zoos)
    index = torch.arange(4)
    with torch.no_grad():
        plain, permuted = (protocol.answers(protocol.parts["train"], index, own) for own in ((), ("permute",)))
    assert torch.allclose(plain, permuted, atol=1e-4) == (name != "weight-mlp")


@pytest.mark.parametrize("name", ["neural-graph", "neural-graph-transformer"])
def test_probes_are_for_sirens(name, zoos):
    assert prepared(name, "inr-classification", zoos, num_probes=3).model is not None
    with pytest.raises(ValueError, match="not probed"):
        prepared(name, "cnn-generalisation", zoos, num_probes=3)


def test_activations_reach_the_models_that_embed_them(zoos):
    protocol = prepared("neural-graph", "cnn-generalisation", zoos)
    assert protocol.reads_activations
    networks = read_zoo(zoos["cnn-generalisation"])[:1]
    other = {name: own.clone() for name, own in protocol.model.state_dict().items()}
    key = next(name for name in other if "act_emb" in name)
    with torch.no_grad():
        before = protocol.answers(networks, torch.tensor([0]))
        other[key] += 1
        protocol.model.load_state_dict(other)
        after = protocol.answers(networks, torch.tensor([0]))
    assert not torch.allclose(before, after)
