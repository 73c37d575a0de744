"""``graphlab doctor``."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Annotated, Any

import typer

from graphlab.cli.console import cells, print_json, stdout, table

_PACKAGES = {
    "graphlab-torch": "this library",
    "torch": "everything",
    "torch-geometric": "everything",
    "numpy": "everything",
    "safetensors": "weight files",
    "matplotlib": "pictures",
    "transformers": "Hugging Face configs: pip install 'graphlab-torch[hf]'",
    "triton": "fast kernels on CUDA: pip install 'graphlab-torch[triton]'",
    "torch-scatter": "an alternative CPU and CUDA route: pip install 'graphlab-torch[sparse]'",
    "torch-sparse": "an alternative CPU and CUDA route: pip install 'graphlab-torch[sparse]'",
    "ogb": "the OGB data sets and evaluators: pip install 'graphlab-torch[ogb]'",
}
_DATA = "GRAPHLAB_DATA"


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False) -> None:
    """Say what graphlab finds on this machine: versions, devices, threads, memory and data.

    Example: [cyan]graphlab doctor --json > doctor.json[/]
    """
    found = _examine()
    if as_json:
        print_json(found)
        return
    console = stdout()
    packages = table("package", "version", "needed for")
    for name, version in found["packages"].items():
        packages.add_row(*cells(name, version or "not installed", _PACKAGES[name]), style=None if version else "yellow")
    console.print(packages)
    memory = found["memory"]
    lines = {
        "python": f"{found['python']} on {found['platform']}",
        "devices": "; ".join(
            f"{d['device']}: {d['name']}" + (f", {_gigabytes(d['memory'])}" if "memory" in d else "")
            for d in found["devices"]
        ),
        "threads": f"torch uses {found['threads']['torch']} of {found['threads']['available']} processors",
        "memory": f"{_gigabytes(memory['available'])} free of {_gigabytes(memory['total'])}" if memory else "unknown",
        "data": _describe_data(found["data"]),
    }
    for label, text in lines.items():
        console.print(f"{label:<8}", *cells(text))


def _examine() -> dict[str, Any]:
    import torch

    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    folder = os.environ.get(_DATA)
    is_folder = folder is not None and Path(folder).is_dir()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "devices": _devices(),
        "threads": {"torch": torch.get_num_threads(), "available": processors},
        "memory": _memory(),
        "data": {
            "folder": folder,
            "found": is_folder,
            "holds": sorted(p.name for p in Path(folder or "").iterdir()) if is_folder else [],
        },
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> list[dict[str, Any]]:
    import torch

    devices: list[dict[str, Any]] = [{"device": "cpu", "name": torch.backends.cpu.get_cpu_capability()}]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        devices.append({"device": f"cuda:{index}", "name": properties.name, "memory": properties.total_memory})
    if torch.backends.mps.is_available():
        devices.append({"device": "mps", "name": platform.processor()})
    return devices


def _memory() -> dict[str, int]:
    """Bytes of main memory; empty where the system does not tell."""
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        return {"total": page * os.sysconf("SC_PHYS_PAGES"), "available": page * os.sysconf("SC_AVPHYS_PAGES")}
    except (AttributeError, ValueError, OSError):
        return {}


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


def _describe_data(data: dict[str, Any]) -> str:
    if data["folder"] is None:
        return f"{_DATA} is not set: data sets are looked for where each is told"
    if not data["found"]:
        return f"{_DATA} is {data['folder']}, which is no folder"
    return f"{data['folder']}: {', '.join(data['holds']) or 'empty'}"
