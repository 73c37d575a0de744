"""A module and example inputs -> :class:`Program`, through one ``torch.export``."""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import operator
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind
from torch.utils import _pytree as pytree

from graphlab.capture.program import CaptureError, Operation, Program, Value

_INLINED = {"wrap_with_set_grad_enabled": 1, "wrap_with_autocast": 4}
_CHECKS = {"aten._assert_tensor_metadata", "aten._assert_async", "aten._assert_scalar", "aten.sym_constrain_range"}


def capture(module: torch.nn.Module, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Program:
    """Record what ``module`` computes in evaluation mode on inputs like these.

    One ``torch.export`` on fake tensors: no weight is read and nothing is computed, so the cost does not grow with the
    parameters and the module may live on the meta device. A Hugging Face module is captured with its cache off. The
    module is left as it was.

    Raises:
        CaptureError: if the module is empty or ``torch.export`` cannot follow it; the message names the place.
    """
    kwargs = dict(kwargs or {})
    if next(iter(module.state_dict(keep_vars=True)), None) is None:
        raise CaptureError(f"{type(module).__name__} has no parameters and no buffers: nothing to capture")
    with evaluation(module), contextlib.redirect_stderr(io.StringIO()):
        try:  # on failure torch prints its graph before it raises: the error says what a person needs
            exported = torch.export.export(module, tuple(args), kwargs, strict=False)
        except Exception as error:
            raise CaptureError(_explain(module, error)) from error
    return _Reader(module, exported, tuple(kwargs)).program()


@contextmanager
def evaluation(module: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode, no key/value cache, experts without data-dependent loops, no fused transformer fast path.

    All is restored on leaving.
    """
    training = [child for child in module.modules() if child.training]
    configs = {id(config): config for child in module.modules() if (config := getattr(child, "config", None))}
    settings = {"use_cache": False, "_experts_implementation": "batched_mm"}
    fast_path = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        logger = logging.getLogger("torch.fx.experimental.symbolic_shapes")
        stack.callback(logger.setLevel, logger.level)
        logger.setLevel(logging.ERROR)
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast_path)
        torch.backends.mha.set_fastpath_enabled(False)
        for config, (name, setting) in itertools.product(configs.values(), settings.items()):
            if getattr(config, name, None):
                stack.callback(setattr, config, name, getattr(config, name))
                setattr(config, name, setting)
        for child in training:
            stack.callback(setattr, child, "training", True)
            child.training = False
        yield


def _explain(module: torch.nn.Module, error: Exception) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/torch/" not in f.filename]
    place = next((f for f in reversed(frames) if f.filename != __file__), None)
    where = f" at {place.filename}:{place.lineno} ({place.line})" if place else ""
    reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return f"torch.export cannot follow {type(module).__name__}{where}: {type(error).__name__}: {reason.strip()}"


def _path_name(path: Sequence[Any]) -> str:
    return ".".join(str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key in path)


class _Reader:
    """Turns one exported graph into a program: names resolved, wrappers inlined, checks dropped."""

    def __init__(self, module: torch.nn.Module, exported: ExportedProgram, keywords: tuple[str, ...]) -> None:
        self.module = module
        self.exported = exported
        self.keywords = keywords
        self.operations: list[Operation] = []
        self.counter = 0

    def program(self) -> Program:
        exported = self.exported
        environment: dict[fx.Node, Any] = {}
        placeholders = [node for node in exported.graph.nodes if node.op == "placeholder"]
        first_name, tied = self._tied_names()
        parameters: dict[str, Value] = {}
        constants: dict[Value, torch.Tensor] = {}
        inputs: list[Value | None] = []
        for node, spec in zip(placeholders, exported.graph_signature.input_specs, strict=True):
            value = environment[node] = self._values(node)
            name = first_name.get(str(spec.target), str(spec.target))
            persistent = spec.kind == InputKind.PARAMETER or (spec.kind == InputKind.BUFFER and spec.persistent)
            if spec.kind == InputKind.USER_INPUT:
                inputs.append(None if isinstance(spec.arg, ConstantArgument) else value)
            elif persistent:
                environment[node] = parameters.setdefault(name, value)
            else:
                constants[value] = exported.constants[str(spec.target)]
        results = self._read(exported.graph_module, environment)

        state = self.module.state_dict(keep_vars=True)
        for name in state:
            if name not in parameters and name not in tied and isinstance(state[name], torch.Tensor):
                parameters[name] = self._new_value(state[name])
        parameters = {name: parameters[name] for name in state if name in parameters}
        names = pytree.tree_flatten_with_path(
            pytree.tree_unflatten([0] * exported.call_spec.out_spec.num_leaves, exported.call_spec.out_spec)
        )[0]
        outputs = {
            _path_name(path) or "0": v for (path, _), v in zip(names, results, strict=True) if isinstance(v, Value)
        }
        in_spec = exported.call_spec.in_spec
        leaves = pytree.tree_flatten_with_path(pytree.tree_unflatten([0] * in_spec.num_leaves, in_spec))[0]
        return Program(
            inputs=tuple(inputs),
            input_names=tuple(_path_name(path[1:]) for path, _ in leaves),
            parameters=parameters,
            tied=tied,
            constants=constants,
            operations=tuple(self.operations),
            outputs=outputs,
            module_type=type(self.module).__name__,
            keywords=self.keywords,
            in_spec=in_spec,
        )

    def _tied_names(self) -> tuple[dict[str, str], dict[str, str]]:
        """(any state-dict name -> first name of its tensor, tied name -> first name)."""
        owner: dict[int, str] = {}
        first = {
            name: owner.setdefault(id(tensor), name) for name, tensor in self.module.state_dict(keep_vars=True).items()
        }
        return first, {name: target for name, target in first.items() if name != target}

    def _new_value(self, tensor: torch.Tensor) -> Value:
        self.counter += 1
        try:
            shape = tuple(int(size) for size in tensor.shape)
        except Exception as error:
            raise CaptureError(f"a tensor of {type(self.module).__name__} has a data-dependent shape") from error
        return Value(f"v{self.counter}", shape, tensor.dtype)

    def _values(self, node: fx.Node) -> Any:
        """A :class:`Value` for each tensor that ``node`` gives, in the structure it gives them."""
        return pytree.tree_map(
            lambda item: self._new_value(item) if isinstance(item, torch.Tensor) else None, node.meta.get("val")
        )

    def _read(self, graph_module: fx.GraphModule, environment: dict[fx.Node, Any]) -> Any:
        """Append the calls of one graph, and return what its output node names (a flat sequence)."""
        for node in graph_module.graph.nodes:
            if node.op == "get_attr":
                environment[node] = operator.attrgetter(node.target)(graph_module)
            elif node.op == "output":
                return fx.map_arg(node.args[0], lambda argument: environment[argument])
            elif node.op == "call_function":
                environment[node] = self._call(node, environment)
        raise AssertionError("an fx graph ends in an output node")

    def _call(self, node: fx.Node, environment: dict[fx.Node, Any]) -> Any:
        args: Any = fx.map_arg(node.args, lambda argument: environment[argument])
        kwargs: Any = fx.map_arg(node.kwargs, lambda argument: environment[argument])
        target: Any = node.target
        if target is operator.getitem:
            return args[0][args[1]]
        name = str(getattr(target, "overloadpacket", getattr(target, "__name__", target)))
        if name in _CHECKS:
            return None
        if name in _INLINED:
            position = _INLINED[name]
            body, operands = args[position], args[position + 1 :]
            inner = [item for item in body.graph.nodes if item.op == "placeholder"]
            return self._read(body, dict(zip(inner, operands, strict=True)))
        if isinstance(target, torch._ops.OpOverload):
            arguments = {a.name: a.default_value for a in target._schema.arguments if a.has_default_value()}
            arguments |= dict(zip((a.name for a in target._schema.arguments), args, strict=False)) | dict(kwargs)
            arguments = {a.name: arguments[a.name] for a in target._schema.arguments if a.name in arguments}
        else:
            raise CaptureError(f"{name} at {self._scope(node)[0] or 'the top'}: control flow cannot be captured")
        result = self._values(node)
        outputs = tuple(result) if isinstance(result, tuple | list) else (result,)
        self.operations.append(Operation(target, name, arguments, outputs, *self._scope(node)))
        return result

    @staticmethod
    def _scope(node: fx.Node) -> tuple[str, str]:
        stack = list(node.meta.get("nn_module_stack", {}).values())
        path, kind = stack[-1] if stack else ("", "")
        return path.removeprefix("L['self'].").removeprefix("L['self']"), str(getattr(kind, "__qualname__", kind))
