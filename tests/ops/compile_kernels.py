"""Compile Triton's kernels for a Hopper GPU, on a machine without one: ``python -m tests.ops.compile_kernels``.

The interpreter accepts more than the compiler. Here each launch is replaced by a compilation for what is launched;
prints the name of each kernel, and how many bytes of registers it spills.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.int32: "i32", torch.int64: "i64", torch.bool: "i1"}
CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
NODES, EDGES = 300, 3000


def launch(kernel: Any, pieces: int, parts: int, *arguments: Any, **constants: Any) -> None:
    """Compile a tuned kernel in its first configuration."""
    config, heuristics, function = kernel.configs[0], kernel.fn.values, kernel.fn.fn
    given = dict(zip(function.arg_names, arguments, strict=False)) | constants | config.kwargs
    given |= {name: choose(given) for name, choose in heuristics.items()}
    signature, constexprs, attributes = {}, {}, {}
    for place, parameter in enumerate(function.params):
        value = given[parameter.name]
        if parameter.is_constexpr or value is None or value == 1 if not isinstance(value, Tensor) else False:
            signature[parameter.name], constexprs[(place,)] = "constexpr", value
        elif isinstance(value, Tensor):
            signature[parameter.name], attributes[(place,)] = f"*{NAMES[value.dtype]}", [["tt.divisibility", 16]]
        else:
            signature[parameter.name] = "i32"
    source = ASTSource(function, signature, constexprs, attributes)
    options = {"num_warps": config.num_warps, "enable_fp_fusion": True}
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        usage = subprocess.run([CUOBJDUMP, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    print(function.__name__, *re.findall(r"STACK:(\d+)", usage), flush=True)


def main() -> None:
    torch.cuda.is_available = lambda: True  # kernels are not even registered otherwise
    from graphlab.ops import adjacency
    from graphlab.ops.kernels import triton_attention as attention
    from graphlab.ops.kernels import triton_extremum as extremum
    from graphlab.ops.kernels import triton_overlap as overlap
    from graphlab.ops.kernels import triton_segment as segment
    from graphlab.ops.kernels import triton_spmm as spmm
    from graphlab.ops.kernels import triton_stats as stats

    for module in (attention, extremum, overlap, segment, spmm, stats):
        module.launch = launch  # type: ignore[attr-defined]
    edge_index = torch.randint(NODES, (2, EDGES))
    edge_index[1, :1000], edge_index[0, 500:1500] = 0, 1  # a hub of either kind: rows are cut
    adj, place = adjacency(edge_index, NODES), torch.zeros(NODES, 4, 16, dtype=torch.int32)
    x, weight = torch.randn(NODES, 4, 16).bfloat16(), torch.randn(EDGES, 4).bfloat16()
    flat, norm = x.flatten(1), torch.randn(NODES, 4)
    spmm.spmm(adj, weight, x, torch.ones(NODES), True)
    spmm.sddmm(adj, x, x)
    spmm.extremum_gradient(adj, weight, x, place, x)
    extremum.extremum(adj, weight, x, True)
    segment.softmax(adj, weight)
    segment.softmax_gradient(adj, weight, weight)
    for att, bias in ((None, weight), (x[0], None)):
        attention.attention(adj, x, x, x, att, bias, weight, 0.2)
        attention.attention_gradient(adj, x, x, x, att, bias, weight, 0.2, x, norm, x)
    wanted, y, places = [1, 2, 3, 5], flat.unsqueeze(1).expand(-1, 4, -1), place.flatten(1)
    stats.stats(adj, flat, wanted)
    stats.stats_gradient(adj, flat, y, flat.float(), places, places, y, wanted)
    overlap.pool(adj, torch.zeros(2, 9, dtype=torch.int64), flat, 0)


if __name__ == "__main__":
    main()
