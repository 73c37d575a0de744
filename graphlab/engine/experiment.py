"""What is trained: a model and a protocol by name, with their settings."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphlab.engine.errors import EngineError
from graphlab.engine.protocol import Protocol
from graphlab.engine.registry import find_model, find_protocol
from graphlab.engine.settings import settings

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Experiment:
    """A model, the protocol that trains it, and all settings of both.

    Attributes:
        model: the model's registered name.
        options: its options, an instance of the dataclass that it is registered with.
        config: the settings of its protocol.
        task: the protocol, by name; None: the model's usual one.
    """

    model: str
    options: Any
    config: Any
    task: str | None = None

    @classmethod
    def from_values(
        cls, model: str, values: Mapping[str, Any], where: str = "settings", task: str | None = None
    ) -> Experiment:
        """An experiment from settings by name, each an option of the model or a setting of its protocol.

        A name that both have is written ``model.NAME`` or ``protocol.NAME``.

        Raises:
            EngineError: an unknown model, a task that it is not for, an unknown or ambiguous name, a value of the wrong
                type.
        """
        entry = find_model(model)
        protocol = find_protocol(entry.protocol(task))
        known = {
            "model": {f.name for f in fields(entry.options)},
            "protocol": {f.name for f in fields(protocol.config)},
        }
        sorted_out: dict[str, dict[str, Any]] = {"model": {}, "protocol": {}}
        for name, value in values.items():
            owner, short = _owner(name, known, where)
            sorted_out[owner][short] = value
        options = settings(entry.options, sorted_out["model"], f"{where}: model {model}")
        config = settings(protocol.config, sorted_out["protocol"], f"{where}: {protocol.name}")
        return cls(model, options, config, task)

    def protocol(self, fabric: Fabric, data_dir: Path | None = None) -> Protocol[Any]:
        """The protocol, its data loaded, ready for :meth:`Protocol.setup`."""
        entry = find_model(self.model)
        build = functools.partial(entry.build, self.options)
        return find_protocol(entry.protocol(self.task)).protocol(self.config, build, fabric, data_dir)

    def document(self) -> dict[str, Any]:
        """The experiment as a JSON object."""
        protocol = find_model(self.model).protocol(self.task)
        known = {
            "model": self.model,
            "options": asdict(self.options),
            "protocol": protocol,
            "config": asdict(self.config),
        }
        return json.loads(json.dumps(known))  # type: ignore[no-any-return]

    @property
    def title(self) -> str:
        """Model, task if one was chosen, and data set if the protocol has one: ``dagnn-cora``.

        Of a data set that is a folder, the name of the folder.
        """
        dataset = Path(getattr(self.config, "dataset", "")).name
        return "-".join(part for part in (self.model, self.task, dataset) if part)


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Where two JSON objects differ, as lines ``config.lr: 0.01, now 0.02``."""
    found = []
    for key in [*old, *(key for key in new if key not in old)]:
        a, b, name = old.get(key, "absent"), new.get(key, "absent"), f"{prefix}{key}"
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, f"{name}.")
        elif a != b:
            found.append(f"{name}: {a}, now {b}")
    return found


def _owner(name: str, known: Mapping[str, set[str]], where: str) -> tuple[str, str]:
    head, dot, tail = name.partition(".")
    if dot and head in known:
        if tail not in known[head]:
            raise EngineError(f"{where}: no setting {name}; the {head} has {', '.join(sorted(known[head])) or 'none'}")
        return head, tail
    owners = [owner for owner, names in known.items() if name in names]
    if len(owners) == 1:
        return owners[0], name
    if owners:
        raise EngineError(f"{where}: {name} is a setting of both; write model.{name} or protocol.{name}")
    listed = "; ".join(f"the {owner} has {', '.join(sorted(names)) or 'none'}" for owner, names in known.items())
    raise EngineError(f"{where}: no setting {name}; {listed}")
