"""Message passing on a GPU against PyG: ``python -m benchmarks.ops_cuda`` writes benchmarks/results/ops_cuda.md.

Outputs are compared first. *copy* is what a pass forward reads and writes at least (rows that several edges send are
counted each time: the gathers of a random graph find little in the cache), by its time, as a share of the bandwidth
that copying a gigabyte has.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import torch
from rich.console import Console
from torch import Tensor

from benchmarks.graphs import graph
from benchmarks.process import ROOT

SIZE = "power 1M/10M"
Calls = dict[str, Callable[[Tensor], Tensor]]


def milliseconds(run: Callable[[], object], repeats: int = 20) -> float:
    """The median, by the GPU's clock."""
    for _ in range(3):
        run()
    times = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return sorted(times)[repeats // 2]


def copy_bandwidth() -> float:
    """GB/s read and written by copying a gigabyte."""
    source = torch.empty(250_000_000, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.nbytes / 1e9 / milliseconds(lambda: target.copy_(source)) * 1e3


def rows(channels: int, dtype: torch.dtype) -> Iterator[tuple[str, Calls, Tensor]]:
    """Name, callables from the features, and the features."""
    from torch_geometric.nn import GATv2Conv, SimpleConv

    from graphlab.ops import adjacency, gatv2_attention, spmm

    edge_index, nodes = graph(SIZE)
    edge_index = edge_index.cuda()
    adj = adjacency(edge_index, nodes)
    x = torch.randn(nodes, channels, device="cuda", dtype=dtype, requires_grad=True)
    for reduce in ("sum", "mean", "max"):
        conv = SimpleConv(aggr=reduce)
        calls: Calls = {
            "ours": lambda x, by=reduce: spmm(adj, x, reduce=by),  # type: ignore[misc,arg-type]
            "PyG": lambda x, conv=conv: conv(x, edge_index),  # type: ignore[misc]
        }
        if reduce == "sum":
            matrix = torch.sparse_csr_tensor(adj.rowptr, adj.col, torch.ones_like(adj.col, dtype=dtype), (nodes, nodes))
            calls["cuSPARSE, forward alone"] = lambda x, m=matrix: m @ x.detach()  # type: ignore[misc]
        yield f"spmm {reduce}", calls, x
    layer = GATv2Conv(channels, channels // 4, heads=4, add_self_loops=False, bias=False).cuda().to(dtype)

    def ours(x: Tensor) -> Tensor:
        target, source = (linear(x).view(nodes, 4, -1) for linear in (layer.lin_r, layer.lin_l))
        return gatv2_attention(adj, target, source, layer.att[0]).flatten(1)

    yield "GATv2Conv", {"ours": ours, "PyG": lambda x: layer(x, edge_index)}, x


def measure(name: str, calls: Calls, x: Tensor, copy: float) -> list[list[str]]:
    (expected, *others), found = calls.values(), []
    y = expected(x).detach()
    for other in others:
        apart = (other(x).detach() - y).abs().max() / y.abs().max()
        assert apart < (2e-2 if x.element_size() == 2 else 1e-4), f"{name}: outputs differ by {float(apart):.1e}"
    gradient = torch.randn_like(y)
    edges = graph(SIZE)[0].shape[1]
    gigabytes = x.element_size() * (edges + x.shape[0]) * x.shape[1] / 1e9 + 4e-9 * (edges + x.shape[0])
    for label, call in calls.items():
        with torch.no_grad():
            forward = milliseconds(lambda: call(x))  # noqa: B023
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        both = ""
        if "forward alone" not in label:
            both = f"{milliseconds(lambda: torch.autograd.grad(call(x), x, gradient)):.2f}"  # noqa: B023
        extra = (torch.cuda.max_memory_allocated() - before) / 1e6
        share = f"{gigabytes / forward * 1e3 / copy:.0%}" if name.startswith("spmm") else ""
        found.append([name, str(x.dtype)[6:], str(x.shape[1]), label, f"{forward:.2f}", both, f"{extra:.0f}", share])
    return found


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("there is no GPU")
    copy = copy_bandwidth()
    lines = [["", "dtype", "channels", "", "forward ms", "forward+backward ms", "extra MB", "copy"], ["---"] * 8]
    for dtype in (torch.float32, torch.bfloat16):
        for channels in (64, 256):
            for name, calls, x in rows(channels, dtype):
                try:
                    lines += measure(name, calls, x, copy)
                except torch.OutOfMemoryError:
                    lines.append([name, str(dtype)[6:], str(channels), "out of memory", "", "", "", ""])
    title = f"# Message passing on {torch.cuda.get_device_name()}\n\n{SIZE}; copying: {copy:.0f} GB/s. {__doc__}"
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    (ROOT / "benchmarks" / "results" / "ops_cuda.md").write_text(f"{title}\n{table}\n")
    Console().print(table, markup=False)


if __name__ == "__main__":
    main()
