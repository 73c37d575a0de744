"""Folders, shards, configurations, and paths with nothing to open."""

from __future__ import annotations

import json
import os

import pytest
import torch

import graphlab.checkpoint as checkpoints


def write_json(path, value):
    path.write_text(json.dumps(value))
    return path


@pytest.fixture
def sharded(tmp_path, state):
    """Writes `state` in two shards of a format and returns the index's path."""

    def write(suffix, weight_map=None):
        base = {"safetensors": "model.safetensors", "bin": "pytorch_model.bin"}[suffix]
        names = list(state)
        shards = {f"{base.split('.')[0]}-0000{i + 1}-of-00002.{suffix}": names[i::2] for i in range(2)}
        for shard, part in shards.items():
            tensors = {name: state[name] for name in part}
            (checkpoints.save if suffix == "safetensors" else torch.save)(tensors, tmp_path / shard)
        placed = {name: shard for shard, part in shards.items() for name in part}
        placed = placed if weight_map is None else weight_map(placed)
        return write_json(tmp_path / f"{base}.index.json", {"metadata": {"total_size": 1}, "weight_map": placed})

    return write


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
@pytest.mark.parametrize("by_folder", [False, True])
def test_reads_shards(sharded, state, suffix, by_folder):
    index = sharded(suffix)
    checkpoint = checkpoints.open(index.parent if by_folder else index)
    assert set(checkpoint) == set(state)
    assert all(torch.equal(checkpoint[name], tensor) for name, tensor in state.items())
    assert len({spec.file for spec in checkpoint.specs.values()}) == 2
    assert "2 files" in repr(checkpoint)


def test_a_missing_shard_is_named(sharded, refusal):
    index = sharded("safetensors")
    (index.parent / "model-00002-of-00002.safetensors").unlink()
    assert "1 of 2 shards are missing: 'model-00002-of-00002.safetensors'" in refusal(index)


def test_a_tensor_in_two_shards_is_refused(sharded, refusal):
    index = sharded("safetensors")
    checkpoints.save(
        {"0.weight": torch.ones(1), "2.weight": torch.ones(1)}, index.parent / "model-00002-of-00002.safetensors"
    )
    message = refusal(index)
    assert (
        "tensor '0.weight': both model-00001-of-00002.safetensors and model-00002-of-00002.safetensors hold it"
        in message
    )


def test_a_tensor_that_its_shard_lacks_is_refused(sharded, refusal):
    index = sharded("bin", lambda placed: placed | {"ghost": "pytorch_model-00001-of-00002.bin"})
    assert "tensor 'ghost': the index places it in pytorch_model-00001-of-00002.bin, which lacks it" in refusal(index)


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", "a/b", "..", "", "a\\b", "C:x", "x\0y"])
def test_an_index_leading_out_of_its_folder_is_refused(sharded, refusal, name):
    index = sharded("safetensors", lambda placed: placed | {"0.weight": name})
    assert "must lie beside the index" in refusal(index)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, "weight_map must name"),
        ({"weight_map": []}, "weight_map must name"),
        ({"weight_map": {"a": 1}}, "tensor 'a': its file must be a name; it is 1"),
        ({"weight_map": {"a": "model.safetensors.index.json"}}, "is an index"),
        ({"weight_map": {"a": "n" * 5000}}, "shards are missing"),
        ([], "must be a JSON object"),
    ],
)
def test_a_malformed_index_is_refused(tmp_path, refusal, value, expected):
    assert expected in refusal(write_json(tmp_path / "model.safetensors.index.json", value))


def test_a_model_folder_prefers_safetensors_and_has_its_config(tmp_path, state):
    write_json(tmp_path / "config.json", {"architectures": ["TinyModel"], "model_type": "tiny"})
    checkpoints.save(state, tmp_path / "model.safetensors")
    torch.save({"other": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    torch.save({"state": {}}, tmp_path / "optimizer.pt")
    checkpoint = checkpoints.open(tmp_path)
    assert checkpoint.config == {"architectures": ["TinyModel"], "model_type": "tiny"}
    assert checkpoint.adapter is None
    assert set(checkpoint) == set(state)
    assert "TinyModel" in repr(checkpoint)
    (tmp_path / "model.safetensors").unlink()
    assert list(checkpoints.open(str(tmp_path))) == ["other"]


def test_a_model_folder_keeps_the_name_model(tmp_path, state):
    """Without its tied head, a causal language model's names all start with ``model.``: not a wrapper's."""
    write_json(tmp_path / "config.json", {})
    torch.save({f"model.{name}": tensor for name, tensor in state.items()}, tmp_path / "pytorch_model.bin")
    assert checkpoints.open(tmp_path).prefix == ""
    assert checkpoints.open(tmp_path / "pytorch_model.bin").prefix == "model."


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_model.bin"])
def test_an_adapter_keeps_its_factors(tmp_path, name):
    factors = {f"base_model.model.q.lora_{part}.weight": torch.randn(2, 4) for part in "AB"}
    write_json(tmp_path / "adapter_config.json", {"peft_type": "LORA", "r": 2, "base_model_name_or_path": "tiny"})
    (checkpoints.save if name.endswith("safetensors") else torch.save)(factors, tmp_path / name)
    checkpoint = checkpoints.open(tmp_path)
    assert checkpoint.adapter == {"peft_type": "LORA", "r": 2, "base_model_name_or_path": "tiny"}
    assert checkpoint.config is None
    assert list(checkpoint) == list(factors)
    assert "LORA of tiny" in repr(checkpoint)


def test_an_adapter_without_weights_is_refused(tmp_path, refusal):
    write_json(tmp_path / "adapter_config.json", {})
    assert "an adapter folder without its weights" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("quantisation", "expected"),
    [
        ({"quant_method": "gptq", "bits": 4}, "quantised (gptq)"),
        ({"quant_method": "awq"}, "quantised (awq)"),
        ({"quant_method": "bitsandbytes"}, "quantised (bitsandbytes)"),
        ({"load_in_4bit": True}, "quantised (bitsandbytes)"),
        ({"bits": 4}, "quantised (an unnamed method)"),
    ],
)
def test_a_quantised_model_is_refused(tmp_path, state, quantisation, expected):
    write_json(tmp_path / "config.json", {"quantization_config": quantisation})
    checkpoints.save(state, tmp_path / "model.safetensors")
    with pytest.raises(checkpoints.CheckpointError) as caught:
        checkpoints.open(tmp_path)
    assert expected in str(caught.value)


def test_float8_models_are_read(tmp_path, state):
    write_json(tmp_path / "config.json", {"quantization_config": {"quant_method": "fp8"}})
    checkpoints.save(state, tmp_path / "model.safetensors")
    assert len(checkpoints.open(tmp_path)) == len(state)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.qweight", "a.qzeros", "a.scales"], "GPTQ or AWQ"),
        (["a.weight", "a.weight.absmax"], "bitsandbytes"),
        (["a.weight", "a.weight.quant_state.bitsandbytes__nf4"], "bitsandbytes"),
        (["a.weight", "a.SCB"], "bitsandbytes"),
    ],
)
def test_quantised_names_are_refused(tmp_path, refusal, names, expected):
    checkpoints.save({name: torch.ones(1) for name in names}, tmp_path / "m.safetensors")
    assert expected in refusal(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], "no weights in this folder"),
        (["training_args.bin", "notes.txt"], "no weights in this folder"),
        ([".metadata", "__0_0.distcp"], "torch.distributed checkpoint"),
        (["tf_model.h5", "config.txt"], "Keras or TensorFlow weights ('tf_model.h5')"),
        (["flax_model.msgpack"], "Flax weights"),
        (["model.gguf"], "GGUF weights"),
        (["saved_model.pb"], "TensorFlow checkpoint"),
        (["checkpoint", "model.ckpt.index"], "TensorFlow checkpoint"),
        (["a.pt", "b.pt"], "several files could be meant; give the path of one: 'a.pt', 'b.pt'"),
    ],
)
def test_a_folder_without_weights_says_what_it_has(tmp_path, refusal, names, expected):
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    assert expected in refusal(tmp_path)


def test_a_missing_file_an_empty_file_and_odd_paths(tmp_path, refusal):
    assert "no such file" in refusal(tmp_path / "absent.safetensors")
    (tmp_path / "empty.safetensors").touch()
    assert "empty (0 bytes)" in refusal(tmp_path / "empty.safetensors")
    os.mkfifo(tmp_path / "pipe")
    assert "expected a regular file" in refusal(tmp_path / "pipe")
    assert "cannot be read" in refusal(tmp_path / "nul\0byte")
    assert "cannot be read" in refusal(tmp_path / ("long" * 100))


def test_an_unreadable_file(tmp_path, state, refusal):
    checkpoints.save(state, tmp_path / "m.safetensors")
    (tmp_path / "m.safetensors").chmod(0)
    user = os.geteuid()
    if user == 0:  # the superuser may read everything
        os.seteuid(65534)
    try:
        assert "Permission denied" in refusal(tmp_path / "m.safetensors")
    finally:
        os.seteuid(user)
