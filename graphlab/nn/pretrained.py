"""Models that are kept as a folder of safetensors and a config, and shared on the Hugging Face hub that way."""

from __future__ import annotations

import inspect
import json
import re
import tempfile
from pathlib import Path
from typing import Any, Self

from torch import nn

import graphlab
from graphlab import checkpoint
from graphlab.checkpoint import CheckpointError
from graphlab.checkpoint.atomic import atomic_file
from graphlab.checkpoint.strict_json import read_object

WEIGHTS, CONFIG = "model.safetensors", "config.json"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_NO_HUB = "the Hugging Face hub needs huggingface_hub: pip install 'graphlab-torch[hf]'"


class Pretrained(nn.Module):
    """A module that remembers the arguments it was made with: a folder then holds all that it takes to make it again.

    Subclass it in the place of :class:`torch.nn.Module`. Arguments are numbers, strings, booleans, None, and lists of
    these::

        class Net(Pretrained):
            def __init__(self, channels: int) -> None: ...

        Net(8).save_pretrained("net")
        net = Net.from_pretrained("net")            # or "owner/name" on the hub
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        signature = inspect.signature(cls.__init__)
        arguments = signature.bind_partial(self, *args, **kwargs)  # copies are made without arguments
        arguments.apply_defaults()
        self.__dict__["_arguments"] = dict(list(arguments.arguments.items())[1:])
        return self

    def config(self) -> dict[str, Any]:
        """The content of ``config.json``: the class's name, the arguments, and the version of graphlab."""
        return {"model": type(self).__name__, "arguments": self._arguments, "graphlab": graphlab.__version__}

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``config.json``; the folder is made if absent.

        Raises:
            CheckpointError: they cannot be written, or an argument is not one that JSON holds.
        """
        folder = Path(folder)
        save_config(self, folder)
        checkpoint.save(self.state_dict(), folder / WEIGHTS, {"format": "pt"})

    @classmethod
    def from_pretrained(cls, source: str | Path, revision: str | None = None) -> Self:
        """The model in a folder, or on the hub, in evaluation mode.

        Args:
            source: a folder that :meth:`save_pretrained` wrote, or ``owner/name``.
            revision: on the hub: a branch, tag or commit.

        Raises:
            CheckpointError: a file is missing, damaged or of another model.
            ImportError: it is on the hub, and huggingface_hub is not installed.
        """
        folder = Path(source)
        if not folder.is_dir() and _HUB_ID.fullmatch(str(source)):
            folder = _downloaded(str(source), revision)
        config = read_object(folder / CONFIG, "model's configuration")
        if config.get("model") != cls.__name__ or not isinstance(config.get("arguments"), dict):
            raise CheckpointError(folder / CONFIG, f"expected the configuration of {cls.__name__}, got {config}")
        try:
            model = cls(**config["arguments"])
        except (TypeError, ValueError) as error:
            raise CheckpointError(folder / CONFIG, f"{cls.__name__} cannot be made from it: {error}") from error
        opened = checkpoint.open(folder / WEIGHTS)
        names = checkpoint.check_module(opened, model).names
        model.load_state_dict({name: opened[names[name]] for name in model.state_dict()})
        return model.eval()

    def push_to_hub(self, repository: str, private: bool = False) -> str:
        """Upload the model as ``owner/name``, which is made if absent, with the token that huggingface_hub finds.

        Returns:
            The address of the commit.

        Raises:
            ImportError: huggingface_hub is not installed.
        """
        hub = _hub()
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            hub.create_repo(repository, private=private, exist_ok=True)
            return str(hub.upload_folder(repo_id=repository, folder_path=folder).commit_url)


def save_config(model: Pretrained, folder: Path) -> None:
    """Write ``config.json`` alone, for weights that were written otherwise.

    Raises:
        CheckpointError: it cannot be written, or an argument is not one that JSON holds.
    """
    try:
        text = json.dumps(model.config(), indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckpointError(folder / CONFIG, f"an argument of {type(model).__name__}: {error}") from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(folder / CONFIG) as file:
            file.write(text.encode() + b"\n")
    except OSError as error:
        raise CheckpointError(folder / CONFIG, f"cannot be written: {error}") from error


def _downloaded(repository: str, revision: str | None) -> Path:
    path = _hub().snapshot_download(repository, revision=revision, allow_patterns=[WEIGHTS, CONFIG])
    return Path(path)


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(_NO_HUB) from error
    return huggingface_hub
