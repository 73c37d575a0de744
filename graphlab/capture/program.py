"""``Program``: a network's computation as a flat, normalised, executable list of ATen operators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils import _pytree as pytree


class CaptureError(Exception):
    """A module that cannot be captured, or tensors that do not fit a captured program."""


@dataclass(frozen=True, eq=False)
class Value:
    """One tensor of a program: what an operator reads or writes. Compared by identity."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    def __repr__(self) -> str:
        return f"%{self.name}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, eq=False)
class Operation:
    """One operator call.

    Attributes:
        target: The ATen (or custom) overload that is called.
        name: Its name without the overload, such as ``aten.linear``.
        arguments: Every argument by the name it has in the operator's schema, defaults filled in. Tensors are
            :class:`Value`; lists of tensors are lists of :class:`Value`.
        outputs: One :class:`Value` a result, ``None`` where a result is not a tensor.
        scope: Path of the module whose ``forward`` made the call, such as ``model.layers.0.mlp``.
        scope_type: Qualified class name of that module.
    """

    target: torch._ops.OpOverload[..., Any]
    name: str
    arguments: dict[str, Any]
    outputs: tuple[Value | None, ...]
    scope: str
    scope_type: str

    @property
    def inputs(self) -> list[Value]:
        """The tensors among the arguments, in order."""
        return [leaf for leaf in pytree.tree_leaves(self.arguments) if isinstance(leaf, Value)]


@dataclass(frozen=True)
class Program:
    """What a module computes on inputs of given shapes, without its weights.

    Attributes:
        inputs: The flattened example inputs; ``None`` where an input was not a tensor (it is then part of the program).
        input_names: Their paths in the call's arguments, such as ``0`` or ``input_ids``.
        parameters: State-dict name -> value, parameters and persistent buffers; tied tensors under their first name.
        tied: Further state-dict name -> the name in ``parameters`` that it shares its tensor with.
        constants: Value -> tensor, for non-persistent buffers and tensors that the code creates. A meta tensor where
            the module was on the meta device.
        operations: The calls, in order.
        outputs: Output name (its path in what ``forward`` returns, such as ``logits`` or ``0``) -> value.
        module_type: Class name of the module.
        keywords: Names of the keyword arguments of the call that was captured.
        unused: Names in ``parameters`` that no operation reads.
    """

    inputs: tuple[Value | None, ...]
    input_names: tuple[str, ...]
    parameters: dict[str, Value]
    tied: dict[str, str]
    constants: dict[Value, torch.Tensor]
    operations: tuple[Operation, ...]
    outputs: dict[str, Value]
    module_type: str
    keywords: tuple[str, ...]
    in_spec: pytree.TreeSpec = field(repr=False)

    @property
    def unused(self) -> tuple[str, ...]:
        read = {value for operation in self.operations for value in operation.inputs} | set(self.outputs.values())
        return tuple(name for name, value in self.parameters.items() if value not in read)

    def users(self) -> dict[Value, list[Operation]]:
        """Value -> the operations that read it, in order."""
        users: dict[Value, list[Operation]] = {}
        for operation in self.operations:
            for value in dict.fromkeys(operation.inputs):
                users.setdefault(value, []).append(operation)
        return users

    def flatten_inputs(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """The leaves of a call's arguments in the order of ``inputs``.

        Raises:
            CaptureError: if arguments are missing, unknown, or of shapes other than those captured.
        """
        if set(kwargs) != set(self.keywords):
            raise CaptureError(f"expected the keyword inputs {sorted(self.keywords)}, got {sorted(kwargs)}")
        leaves, spec = pytree.tree_flatten((tuple(args), {key: kwargs[key] for key in self.keywords}))
        if spec != self.in_spec:
            raise CaptureError(f"expected inputs of the structure {self.in_spec}, got {spec}")
        for name, value, leaf in zip(self.input_names, self.inputs, leaves, strict=True):
            if value is not None and (not isinstance(leaf, torch.Tensor) or tuple(leaf.shape) != value.shape):
                found = tuple(leaf.shape) if isinstance(leaf, torch.Tensor) else type(leaf).__name__
                raise CaptureError(f"input {name}: expected a tensor of shape {value.shape}, got {found}")
        return leaves

    def run(
        self,
        state: Mapping[str, torch.Tensor],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        dtype: torch.dtype | None = None,
    ) -> dict[str, torch.Tensor]:
        """Execute the program.

        Args:
            state: A tensor for every name in ``parameters`` (names in ``tied`` may be present and are not read).
            args, kwargs: Inputs of the captured shapes.
            dtype: A floating dtype in which *everything* is computed: parameters, constants and inputs are cast to
                it, and every cast inside the program to another floating dtype becomes one to it.

        Returns:
            Output name -> tensor.

        Raises:
            CaptureError: for missing or mis-shaped state or inputs, all listed.
        """
        wrong = [
            f"{name}: expected {value.shape}, got {tuple(state[name].shape) if name in state else 'nothing'}"
            for name, value in self.parameters.items()
            if name not in state or tuple(state[name].shape) != value.shape
        ]
        if wrong:
            raise CaptureError("state does not fit the program:\n  " + "\n  ".join(wrong))
        leaves = self.flatten_inputs(args, kwargs or {})
        device = next((state[name].device for name in self.parameters), torch.device("cpu"))

        def lift(item: Any) -> Any:
            if isinstance(item, torch.Tensor):
                item = item.to(device)
                return item.to(dtype) if dtype and item.is_floating_point() else item
            if isinstance(item, torch.dtype) and dtype and item.is_floating_point:
                return dtype
            return device if isinstance(item, torch.device) else item

        environment: dict[Value, torch.Tensor] = {value: lift(tensor) for value, tensor in self.constants.items()}
        environment |= {value: lift(state[name]) for name, value in self.parameters.items()}
        environment |= {
            value: lift(leaf).clone() for value, leaf in zip(self.inputs, leaves, strict=True) if value is not None
        }
        last_use = {value: position for position, op in enumerate(self.operations) for value in op.inputs}
        last_use |= dict.fromkeys(self.outputs.values(), len(self.operations))

        def read(item: Any) -> Any:
            return environment[item] if isinstance(item, Value) else lift(item)

        for position, operation in enumerate(self.operations):
            result = operation.target(**pytree.tree_map(read, operation.arguments))
            results = [lift(r) for r in (result if isinstance(result, tuple | list) else (result,))]
            environment |= {v: r for v, r in zip(operation.outputs, results, strict=True) if v is not None}
            for value in (*operation.inputs, *operation.outputs):
                if value is not None and last_use.get(value, -1) <= position:
                    environment.pop(value, None)
        return {name: environment[value] for name, value in self.outputs.items()}

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations)

    def __repr__(self) -> str:
        names = {operation.name for operation in self.operations}
        return (
            f"Program({self.module_type}: {len(self.operations)} operations of {len(names)} kinds, "
            f"{len(self.parameters)} parameters, outputs {', '.join(self.outputs)})"
        )
