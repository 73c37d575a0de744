"""Hugging Face models from their ``config.json``: nothing is downloaded, and no code but that of transformers is run.

>>> module = module_from_config("all-MiniLM-L6-v2")  # on the meta device
>>> capture(module, kwargs=example_inputs(module))
>>> module = load_module(graphlab.checkpoint.open("all-MiniLM-L6-v2"))  # with its weights
"""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from graphlab.capture import CaptureError
from graphlab.checkpoint import Checkpoint, CheckpointError
from graphlab.checkpoint.strict_json import read_object
from graphlab.interop.conversion import present_names
from graphlab.interop.loading import load_weights, parameters_on_meta

BATCH = 2
LENGTH = 8
IMAGE = 64
_DOWNLOADS = ("attn_implementation", "experts_implementation", "use_pretrained_backbone")
_MAX_POSITIONS = ("max_position_embeddings", "n_positions", "max_target_positions")


def module_from_config(config: str | PathLike[str] | Mapping[str, Any]) -> nn.Module:
    """The network that a ``config.json`` describes, on the meta device and in evaluation mode.

    Its class is the first of ``architectures``, else what ``AutoModel`` takes for the ``model_type``.

    Args:
        config: A folder with a ``config.json``, that file, or what it holds.

    Raises:
        ImportError: If transformers is not installed.
        CheckpointError: If transformers has no such model, or cannot build it from this configuration.
    """
    if isinstance(config, Mapping):
        source, settings = Path("config.json"), dict(config)
    else:
        source = Path(config) / "config.json" if Path(config).is_dir() else Path(config)
        settings = read_object(source, "model's configuration")
    with torch.device("meta"):
        return _build(settings, source)


def load_module(opened: Checkpoint) -> nn.Module:
    """The network of a Hugging Face folder in main memory, with its weights, in evaluation mode.

    Raises:
        ImportError: If transformers is not installed.
        CheckpointError: As :func:`module_from_config`, and if the weights do not fit the network.
    """
    if opened.config is None:
        raise CheckpointError(opened.path, "there is no config.json beside these weights to say what network they are")
    with parameters_on_meta():
        module = _build(opened.config, opened.path / "config.json")
    load_weights(module, present_names(opened, module))
    return module


def example_inputs(module: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """Small inputs for a Hugging Face model, by the names of its ``forward``, on its device and in its dtype.

    Which are needed and their sizes follow from the signature of ``forward`` and the configuration. Values are random
    (on the meta device there are none).

    Raises:
        CaptureError: For a model whose main input is neither text, images nor spectrograms.
    """
    config: Any = module.config
    names = inspect.signature(module.forward).parameters
    text = config.get_text_config()
    reads_image_tokens = any(hasattr(config, name) for name in ("image_token_id", "image_token_index"))
    makers = _Maker(module, seed)
    inputs: dict[str, Tensor] = {}
    if "input_ids" in names:
        inputs["input_ids"] = makers.tokens(text)
    if "pixel_values" in names and not ("input_ids" in names and reads_image_tokens):
        inputs["pixel_values"] = makers.image(getattr(config, "vision_config", config))
    if "input_features" in names and hasattr(config, "num_mel_bins"):
        inputs["input_features"] = makers.spectrogram(config)
    if "decoder_input_ids" in names and config.is_encoder_decoder:
        inputs["decoder_input_ids"] = makers.tokens(text)
    main = getattr(module, "main_input_name", "input_ids")
    if main not in inputs:
        raise CaptureError(f"no example for the input {main} of {type(module).__name__}: give inputs of your own")
    return inputs


class _Maker:
    def __init__(self, module: nn.Module, seed: int) -> None:
        self.module = module
        like = next(parameter for parameter in module.parameters() if parameter.is_floating_point())
        self.device, self.dtype = like.device, like.dtype
        self.generator = torch.Generator().manual_seed(seed)

    def tokens(self, config: Any) -> Tensor:
        positions = [getattr(config, name) for name in _MAX_POSITIONS if getattr(config, name, None)]
        shape = (BATCH, min([LENGTH, *positions]))
        if self.device.type == "meta":
            return torch.empty(shape, dtype=torch.int64, device="meta")
        return torch.randint(config.vocab_size, shape, generator=self.generator).to(self.device)

    def image(self, config: Any) -> Tensor:
        size = getattr(config, "image_size", IMAGE)
        height, width = size if isinstance(size, list | tuple) else (size, size)
        return self._values(BATCH, getattr(config, "num_channels", 3), height, width)

    def spectrogram(self, config: Any) -> Tensor:
        convolutions = [child for child in self.module.modules() if isinstance(child, nn.Conv1d)]
        stride = math.prod(convolution.stride[0] for convolution in convolutions)
        return self._values(BATCH, config.num_mel_bins, config.max_source_positions * stride)

    def _values(self, *shape: int) -> Tensor:
        if self.device.type == "meta":
            return torch.empty(shape, dtype=self.dtype, device="meta")
        return torch.randn(shape, generator=self.generator).to(self.device, self.dtype)


def _build(settings: Mapping[str, Any], source: Path) -> nn.Module:
    transformers = _transformers()
    model_type = settings.get("model_type")
    if not isinstance(model_type, str) or model_type not in transformers.CONFIG_MAPPING:
        raise CheckpointError(source, f"transformers {transformers.__version__} has no {_named(settings, model_type)}")
    names = settings.get("architectures")
    name = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None
    model = getattr(transformers, name, None) if name else None
    if name and not (isinstance(model, type) and issubclass(model, transformers.PreTrainedModel)):
        raise CheckpointError(source, f"transformers {transformers.__version__} has no {_named(settings, name)}")
    try:
        config = transformers.CONFIG_MAPPING[model_type].from_dict(_without_downloads(settings))
        module = model(config) if model else transformers.AutoModel.from_config(config, trust_remote_code=False)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise CheckpointError(source, f"transformers cannot build {name or model_type} from it: {reason}") from error
    assert isinstance(module, nn.Module)
    return module.eval()


def _named(settings: Mapping[str, Any], name: Any) -> str:
    known = f"model {name!r}" if isinstance(name, str) else "model for it: it names no model_type"
    remote = "; it comes with code of its own (auto_map), which graphlab does not run" if "auto_map" in settings else ""
    return known + remote


def _without_downloads(settings: Any) -> Any:
    """The settings without those that make transformers fetch kernels or weights (they do not change the network)."""
    if isinstance(settings, Mapping):
        kept = {name: value for name, value in settings.items() if not any(part in name for part in _DOWNLOADS)}
        return {name: _without_downloads(value) for name, value in kept.items()}
    return [_without_downloads(item) for item in settings] if isinstance(settings, list) else settings


def _transformers() -> Any:
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        message = "a Hugging Face config needs transformers: pip install 'graphlab-torch[hf]'"
        raise ImportError(message, name="transformers") from error
