"""Following a program: every operator's rule applied in order."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch.utils import _pytree as pytree

from graphlab.capture import Operation, Program, Value
from graphlab.weightgraph.atoms import ONE, Atom, Axis, Product, SizeMismatchError, Sum
from graphlab.weightgraph.registry import HANDLES_PLACES, LAYOUT, TAKES_APART
from graphlab.weightgraph.rules import rule_for
from graphlab.weightgraph.tracer import Traced, Tracer
from graphlab.weightgraph.uses import Uses


class Following:
    """One pass over a program.

    Attributes:
        tracer: What the rules said.
        parameters: State-dict name -> what indexes its axes.
        outputs: The same for every output.
        without_rule: The operators that have no rule, or one that does not fit what they gave.
        uses: Which axes of its parameters each operator reads.
    """

    def __init__(self, program: Program, outputs_that_count: Iterable[str]) -> None:
        self.program = program
        self.tracer = Tracer(program)
        self.without_rule: set[str] = set()
        self.uses = Uses(program)
        self._written = _written(program)
        self._where: dict[Value, Traced] = {}
        unused = set(program.unused)
        for name, value in program.parameters.items():
            free = value.dtype.is_floating_point and name not in unused
            reason = None if free else "unused in forward" if name in unused else f"integers in {name}"
            self._where[value] = Traced([self.tracer.new(size, reason) for size in value.shape])
            self.tracer.seen.append(self._where[value].axes)
        for value, tensor in program.constants.items():
            self._where[value] = _constant(tensor)
        for name, given in zip(program.input_names, program.inputs, strict=True):
            if given is not None:
                self._where[given] = Traced([self.tracer.new(size, f"input {name}") for size in given.shape])
        for operation in program.operations:
            self._apply(operation)
        self.parameters = {name: self._where[value] for name, value in program.parameters.items()}
        self.outputs = {name: self._where[value] for name, value in program.outputs.items()}
        for name in outputs_that_count:
            self.tracer.fix(self.tracer.collapse(self.outputs[name]).axes, f"output {name}")
            self.tracer.use_names(self.outputs[name], f"output {name}")

    @property
    def where(self) -> Mapping[Value, Traced]:
        """What indexes the axes of every value of the program."""
        return self._where

    def _apply(self, operation: Operation) -> None:
        self.tracer.operation = operation
        self.tracer.read.clear()
        given: dict[Value, Traced] = {}
        rule = rule_for(operation.target, operation.name)
        if operation.name not in HANDLES_PLACES:
            for read_value in operation.inputs:
                self.tracer.use_names(self._where[read_value], f"places used as numbers by {operation.name}")
        keeps_choices = operation.name in LAYOUT or operation.name in TAKES_APART

        def read(item: Any) -> Any:
            if not isinstance(item, Value):
                return item
            tensor = self._where[item]
            if tensor.constant:
                axes = [
                    self.tracer.new(axis.size) if d in tensor.constant else axis for d, axis in enumerate(tensor.axes)
                ]
                tensor = replace(tensor, axes=axes)
            given[item] = tensor if keeps_choices else self.tracer.collapse(tensor)
            return given[item]

        arguments = pytree.tree_map(read, operation.arguments)
        results = None
        if rule is not None:
            arguments = {"input" if name == "self" else name: item for name, item in arguments.items()}
            with contextlib.suppress(SizeMismatchError):
                results = self._checked(rule(self.tracer, **arguments))
        if results is None:
            results = self._unknown(operation)
        self.uses.follow(operation, {value: self.tracer.read.get(id(tensor), set()) for value, tensor in given.items()})
        for value, result in zip(operation.outputs, results, strict=True):
            if value is not None and result is not None:
                self._where[value] = replace(result, constant=frozenset()) if value in self._written else result
                self.tracer.seen.append(result.axes)

    def _checked(self, given: Any) -> list[Traced | None] | None:
        """What a rule returned as one :class:`Traced` an output; ``None`` if it does not fit the outputs' shapes.

        The shape of an output that nothing reads does not matter: some releases of torch export it wrongly (LSTM).
        """
        outputs = self.tracer.operation.outputs
        if isinstance(given, Traced) or (isinstance(given, list | tuple) and all(map(_is_axis, given))):
            given = [given] if len(outputs) == 1 else given
        if not isinstance(given, list | tuple) or len(given) != len(outputs):
            return None
        results = [None if item is None else item if isinstance(item, Traced) else Traced(list(item)) for item in given]
        for value, result in zip(outputs, results, strict=True):
            fits = value is None or (result is not None and result.shape == value.shape)
            if not fits and (value in self.tracer.users or value in self.program.outputs.values()):
                return None
        return results

    def _unknown(self, operation: Operation) -> list[Traced | None]:
        """No rule (or one that does not fit): everything that the operator touches is told apart."""
        reason = f"no rule for {operation.name}"
        for value in operation.inputs:
            tensor = self.tracer.collapse(self._where[value])
            self.tracer.fix(tensor.axes, reason)
            self.tracer.use_names(tensor, reason)
            self.tracer.mix(tensor, *range(len(tensor)))
        self.without_rule.add(operation.name)
        return [
            None if v is None else Traced([self.tracer.new(size, reason) for size in v.shape])
            for v in operation.outputs
        ]


def _is_axis(item: Any) -> bool:
    return isinstance(item, Atom | Product | Sum)


def _constant(tensor: torch.Tensor) -> Traced:
    """A tensor that is part of the code: fixed along axes on which its values vary (or cannot be read)."""
    readable = not tensor.is_meta and type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.numel() > 0
    equal = {d for d, size in enumerate(tensor.shape) if readable and bool((tensor == tensor.narrow(d, 0, 1)).all())}
    axes: list[Axis] = [
        ONE if size == 1 else Atom(size, None if dim in equal else "a constant that varies along it")
        for dim, size in enumerate(tensor.shape)
    ]
    return Traced(axes, constant=frozenset(equal))


def _written(program: Program) -> set[Value]:
    """The values that an operator writes into, and all that may share memory with them."""
    owner: dict[Value, Value] = {}

    def find(value: Value) -> Value:
        while value in owner:
            value = owner[value]
        return value

    written: list[Value] = []
    for operation in program.operations:
        schema = operation.target._schema
        if any(result.alias_info for result in schema.returns) or "dropout" in operation.name:
            for value in operation.outputs:
                for source in operation.inputs:
                    if value is not None and find(value) is not find(source):
                        owner[find(value)] = find(source)
        for argument in schema.arguments:
            target = operation.arguments.get(argument.name)
            if argument.alias_info is not None and argument.alias_info.is_write and isinstance(target, Value):
                written.append(target)
    roots = {find(value) for value in written}
    return {value for value in (*owner, *roots) if find(value) in roots}
