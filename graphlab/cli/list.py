"""``graphlab list``."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Annotated, Any

import typer

from graphlab.cli.console import cells, print_json, stdout, table
from graphlab.cli.errors import CommandError


def list_(
    model: Annotated[str | None, typer.Argument(help="A model: its presets in full.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """The models that can be trained, the data sets with published settings, and where each number comes from.

    Example: [cyan]graphlab list[/]

    Example: [cyan]graphlab list dagnn[/]
    """
    found = _found()
    if model is not None and model not in found:
        raise CommandError(f"no model {model}; there are {', '.join(found) or 'none'}")
    shown = found if model is None else {model: found[model]}
    if as_json:
        print_json(shown)
    elif model is None:
        _print_models(shown)
    else:
        _print_presets(shown[model])


def _found() -> dict[str, dict[str, Any]]:
    from graphlab.engine import find_protocol, models
    from graphlab.presets import presets

    found: dict[str, dict[str, Any]] = {}
    for name, entry in sorted(models().items()):
        found[name] = {
            "protocol": entry.protocol(),
            "tasks": list(entry.protocols),
            "options": _defaults(entry.options),
            "config": _defaults(find_protocol(entry.protocol()).config),
            "presets": {
                preset.name: {
                    "dataset": preset.dataset,
                    "settings": {
                        setting: {"value": value, "source": preset.sources[setting]}
                        for setting, value in preset.settings.items()
                    },
                }
                for preset in presets().values()
                if preset.model == name
            },
        }
    return found


def _defaults(settings: type[Any]) -> dict[str, Any]:
    return {f.name: None if f.default is MISSING else f.default for f in fields(settings)}


def _print_models(found: dict[str, dict[str, Any]]) -> None:
    shown = table("model", "tasks", "presets for", "options")
    for name, entry in found.items():
        datasets = ", ".join(preset["dataset"] for preset in entry["presets"].values())
        shown.add_row(*cells(name, ", ".join(entry["tasks"]), datasets, _listed(entry["options"])))
    stdout().print(shown)


def _print_presets(entry: dict[str, Any]) -> None:
    console = stdout()
    defaults = table("setting of", "name=default")
    defaults.add_row(*cells("the model", _listed(entry["options"])))
    defaults.add_row(*cells(f"the protocol, {entry['protocol']}", _listed(entry["config"])))
    console.print(defaults)
    for name, preset in entry["presets"].items():
        shown = table("setting", "value", "source", right=("value",))
        shown.title = name
        for setting, value in preset["settings"].items():
            shown.add_row(*cells(setting, value["value"], value["source"]))
        console.print(shown)


def _listed(defaults: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in defaults.items())
