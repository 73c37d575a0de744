"""Recurrent networks: LSTM, GRU and plain RNN as ATen's fused operators."""

from __future__ import annotations

from collections.abc import Sequence

from graphlab.weightgraph.atoms import Axis, Sum, resolve
from graphlab.weightgraph.registry import rule
from graphlab.weightgraph.tracer import Traced, Tracer

GATES = {"aten.lstm": 4, "aten.gru": 3, "aten.rnn_tanh": 1, "aten.rnn_relu": 1}


def _recurrent(
    trace: Tracer,
    input: Traced,
    states: Sequence[Traced],
    params: Sequence[Traced],
    has_biases: bool,
    num_layers: int,
    bidirectional: bool,
    batch_first: bool,
    projected: bool,
) -> list[Traced]:
    """Every layer and direction has its own hidden neurons; each gate of ``W_ih [gates . h, in]`` has them once.

    The order of ``params`` is layer by layer, direction by direction: ``W_ih, W_hh, b_ih, b_hh, W_hr`` (those there
    are). The states are ``[layers . directions, batch, h]``; an initial state other than zeros ties all layers.
    """
    gates = GATES[trace.operation.name]
    time = 1 if batch_first else 0
    trace.fix(input[time] if len(input) == 3 else input[0], "position")
    trace.mix(input, time, -1)
    directions = 2 if bidirectional else 1
    per_cell = 2 + 2 * has_biases + projected
    below = input[-1]
    cells = [params[start : start + per_cell] for start in range(0, len(params), per_cell)]
    last: list[Axis] = []
    outputs: list[Axis] = []
    inner: list[Axis] = []
    for layer in range(num_layers):
        outputs = []
        for cell in cells[layer * directions : (layer + 1) * directions]:
            w_ih, w_hh, *rest = cell
            hidden = trace.same(*trace.cut(w_ih[0], [w_ih[0].size // gates] * gates))
            trace.same(w_ih[1], below)
            out = rest[-1][0] if projected else hidden
            if projected:
                trace.same(rest[-1][1], hidden)
            trace.same(w_hh[1], out)
            for tensor in (w_hh, *rest[: 2 * has_biases]):
                trace.same(tensor[0], w_ih[0])
            for tensor in (w_ih, w_hh):
                trace.mix(tensor, 1)
            trace.passes(Traced([hidden]), trace.operation.name.removeprefix("aten."))
            outputs.append(out)
            inner.append(hidden)
        last += outputs
        below = resolve(Sum(tuple(outputs)))
    results = [Traced([*input.axes[:-1], below])]
    for state, neurons in zip(states, (last, inner), strict=False):
        if len(state.constant) < len(state):
            trace.same(state[-1], *neurons)
            trace.fix(state[0], "layers and directions")
        layers = trace.new(len(neurons), "layers and directions")
        batch = state.axes[1:-1]
        parts = [[layers, *batch, own] for own in neurons]
        results.append(Traced(parts[0], choices=parts if len(parts) > 1 else None))
    return results


@rule("aten.lstm")
def lstm(
    trace: Tracer,
    input: Traced,
    hx: Sequence[Traced],
    params: Sequence[Traced],
    has_biases: bool,
    num_layers: int,
    bidirectional: bool,
    batch_first: bool,
) -> list[Traced]:
    """``c' = sigma(f) c + sigma(i) tanh(g), h = sigma(o) tanh(c')`` with ``i, f, g, o = W_ih x + W_hh h + b``."""
    projected = len(params) % (3 + 2 * has_biases) == 0 and hx[0][-1].size != hx[1][-1].size
    return _recurrent(trace, input, hx, params, has_biases, num_layers, bidirectional, batch_first, projected)


@rule("aten.gru", "aten.rnn_tanh", "aten.rnn_relu")
def gru(
    trace: Tracer,
    input: Traced,
    hx: Traced,
    params: Sequence[Traced],
    has_biases: bool,
    num_layers: int,
    bidirectional: bool,
    batch_first: bool,
) -> list[Traced]:
    """``h' = (1 - z) n + z h`` with reset, update and new gates; plain: ``h' = f(W_ih x + W_hh h + b)``."""
    return _recurrent(trace, input, [hx], params, has_biases, num_layers, bidirectional, batch_first, False)
