"""Capturing: what comes back, that nothing is touched, and what is said when it cannot be done."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphlab.capture import CaptureError, capture
from tests.architectures import ARCHITECTURES


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_program_computes_what_its_module_does(name: str) -> None:
    example = ARCHITECTURES[name]()
    program = capture(example.module, example.args, example.kwargs)
    state = example.module.state_dict()
    with torch.no_grad():
        expected = example.module(*example.args, **example.kwargs)
        single = program.run(state, example.args, example.kwargs)
        double = program.run(state, example.args, example.kwargs, dtype=torch.float64)
    counted = example.output if isinstance(example.output, str) else next(iter(program.outputs))
    reference = getattr(expected, counted) if isinstance(example.output, str) else expected
    torch.testing.assert_close(single[counted], reference, rtol=0, atol=5e-6)
    assert double[counted].dtype == torch.float64
    torch.testing.assert_close(double[counted].float(), reference, rtol=1e-4, atol=2e-5)


def test_nothing_is_computed_and_no_weight_is_read() -> None:
    with torch.device("meta"):
        module = nn.Sequential(nn.Linear(4, 1 << 40), nn.ReLU(), nn.Linear(1 << 40, 2))
        program = capture(module, (torch.zeros(3, 4),))
    assert program.parameters["0.weight"].shape == (1 << 40, 4)
    assert [operation.name for operation in program] == ["aten.linear", "aten.relu", "aten.linear"]
    assert [operation.scope for operation in program] == ["0", "1", "2"]
    assert program.operations[0].scope_type.endswith("Linear")


def test_the_module_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.BatchNorm1d(4))
    module[2].eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    module[0].weight.requires_grad_(False)
    program = capture(module, (torch.randn(5, 3),))
    assert [child.training for child in module] == [True, True, False]
    assert not module[0].weight.requires_grad
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert program.operations[-1].arguments["training"] is False


def test_the_cache_of_a_language_model_is_off_only_while_it_is_captured() -> None:
    example = ARCHITECTURES["llama"]()
    example.module.config.use_cache = True
    program = capture(example.module, example.args, example.kwargs)
    assert list(program.outputs) == ["logits"]
    assert example.module.config.use_cache is True


class Shared(nn.Module):
    """Two names for one tensor, one parameter that is never read, two outputs, and a nested input."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight
        self.idle = nn.Linear(4, 4)
        self.register_buffer("scale", torch.full((4,), 2.0), persistent=False)

    def forward(self, batch: dict[str, Tensor], times: int = 2) -> dict[str, Tensor]:
        hidden = self.embed(batch["ids"]) * self.scale * times
        return {"hidden": hidden, "logits": self.head(hidden)}


def test_tied_and_unused_parameters_constants_and_named_outputs() -> None:
    module = Shared()
    batch = {"ids": torch.tensor([[1, 2, 3]])}
    program = capture(module, (batch,), {"times": 3})
    assert program.tied == {"head.weight": "embed.weight"}
    assert list(program.parameters) == ["embed.weight", "idle.weight", "idle.bias"]
    assert program.unused == ("idle.weight", "idle.bias")
    assert [tuple(tensor.shape) for tensor in program.constants.values()] == [(4,)]
    assert program.input_names == ("0.ids", "times")
    assert list(program.outputs) == ["hidden", "logits"]
    out = program.run(module.state_dict(), (batch,), {"times": 3})
    torch.testing.assert_close(out["logits"], module(batch, 3)["logits"])


def test_a_program_is_differentiable_in_its_state() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x = torch.randn(5, 3, dtype=torch.float64)
    program = capture(module, (x,))
    names = list(program.parameters)

    def run(*tensors: Tensor) -> Tensor:
        return program.run(dict(zip(names, tensors, strict=True)), (x,))["0"]

    assert torch.autograd.gradcheck(run, [module.state_dict(keep_vars=True)[name] for name in names])


def test_what_does_not_fit_a_program_is_said() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    x = torch.randn(5, 3)
    program = capture(module, (x,))
    state = module.state_dict()
    with pytest.raises(CaptureError, match=r"input 0: expected a tensor of shape \(5, 3\), got \(5, 4\)"):
        program.run(state, (torch.randn(5, 4),))
    with pytest.raises(CaptureError, match="structure"):
        program.run(state, (x, x))
    with pytest.raises(CaptureError, match="keyword inputs"):
        program.run(state, (x,), {"mask": x})
    wrong = {"0.weight": torch.zeros(4, 4), "0.bias": state["0.bias"], "1.bias": state["1.bias"]}
    with pytest.raises(CaptureError) as caught:
        program.run(wrong, (x,))
    assert "0.weight: expected (4, 3), got (4, 4)" in str(caught.value)
    assert "1.weight: expected (2, 4), got nothing" in str(caught.value)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if x.sum() > 0 else F.relu(x)


def test_a_module_that_cannot_be_exported() -> None:
    with pytest.raises(
        CaptureError, match=r"cannot follow Branching at .*test_capture.py:\d+ \(.*x.sum\(\) > 0"
    ) as caught:
        capture(Branching(), (torch.randn(2, 3),))
    assert caught.value.__cause__ is not None


def test_wrong_example_inputs_name_the_place() -> None:
    with pytest.raises(CaptureError, match="cannot follow Sequential"):
        capture(nn.Sequential(nn.Linear(3, 4)), (torch.randn(2, 5),))
    with pytest.raises(CaptureError, match="cannot follow Linear"):
        capture(nn.Linear(3, 4), ())


def test_an_empty_module_is_refused() -> None:
    with pytest.raises(CaptureError, match="ReLU has no parameters"):
        capture(nn.ReLU(), (torch.randn(2),))
