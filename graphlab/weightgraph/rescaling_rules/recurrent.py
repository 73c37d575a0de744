"""Recurrent networks: LSTM, GRU and plain RNN as ATen's fused operators."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from graphlab.capture import Operation, Value
from graphlab.weightgraph.rescaling_rules.registry import rescaling_rule
from graphlab.weightgraph.rescaling_system import Place, System, Term

NEW = {"aten.lstm": (4, 2), "aten.gru": (3, 2), "aten.rnn_tanh": (1, 0), "aten.rnn_relu": (1, 0)}
"""Operator -> how many gates it has, and which is the one whose ``tanh`` (or relu) the state is made of."""


@rescaling_rule("lstm", "gru", "rnn_tanh", "rnn_relu")
def recurrent(
    system: System,
    operation: Operation,
    outputs: list[Value],
    input: Value,
    hx: Value | Sequence[Value],
    params: Sequence[Value],
    has_biases: bool,
    num_layers: int,
    bidirectional: bool,
) -> None:
    """States change sign with the gate that they are made of: ``h(-g) = -h(g)``, as with ``tanh``.

    A plain ReLU network is positively homogeneous instead. What comes in is contracted with ``W_ih``. The order of
    ``params`` is layer by layer, direction by direction: ``W_ih, W_hh, b_ih, b_hh``; with projections (``W_hr``) no
    factor goes through.
    """
    states = [hx] if isinstance(hx, Value) else list(hx)
    per_cell = 2 + 2 * has_biases
    cells = [params[start : start + per_cell] for start in range(0, len(params), per_cell)]
    directions = 1 + bidirectional
    if len(cells) != num_layers * directions or states[0].shape[-1] != states[-1].shape[-1]:
        system.zero(*operation.inputs, *outputs)
        return
    gates, new = NEW[operation.name]
    homogeneous = operation.name != "aten.rnn_relu" if system.kind == "sign" else operation.name == "aten.rnn_relu"
    below = [(input, len(input.shape) - 1)]
    hidden: list[Value] = []
    for number, (w_ih, w_hh, *biases) in enumerate(cells):
        if number % directions == 0 and number:
            below, hidden = [(state, 0) for state in hidden], []
        state = system.inner(w_hh, 1)
        size = state.shape[0]
        if not homogeneous:
            system.zero(state)
        for gate in range(gates):
            rows = Place((0,), "row", torch.arange(gate * size, (gate + 1) * size))
            result = [Term(state, [Place((0,), "row")], -1)] if gate == new else []
            start = 0
            for source, dim in below:
                width = source.shape[dim]
                columns = Place((1,), "in", torch.arange(start, start + width))
                system.relate(Term(w_ih, [rows, columns]), Term(source, [Place((dim,), "in")]), *result)
                start += width
            system.relate(Term(w_hh, [rows, Place((1,), "in")]), Term(state, [Place((0,), "in")]), *result)
            for bias in biases:
                system.relate(Term(bias, [rows]), *result)
        hidden.append(state)
        for given in (*states, *outputs[1:]):
            if not system.is_zero(given):
                last = [Place((len(given.shape) - 1,), 0)]
                part = min(number, system.parts(given) - 1)
                system.relate(Term(state, [Place((0,), 0)]), Term(given, last, -1, part))
    start = 0
    for state in hidden:
        place = Place((len(outputs[0].shape) - 1,), 0, torch.arange(start, start + state.shape[0]))
        system.relate(Term(state, [Place((0,), 0)]), Term(outputs[0], [place], -1))
        start += state.shape[0]
