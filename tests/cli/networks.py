"""Factories that the tests name on the command line."""

from types import SimpleNamespace

import torch
from torch import nn


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), (torch.randn(2, 4),), {}


def as_object():
    module, args, kwargs = mlp()
    return SimpleNamespace(module=module, args=args, kwargs=kwargs)


def two_outputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(4, 6), nn.Linear(6, 3)

        def forward(self, x):
            hidden = self.one(x).relu()
            return {"hidden": hidden, "logits": self.two(hidden)}

    return Two(), (torch.randn(2, 4),), {}


def with_branch():
    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(x) if x.sum() > 0 else x

    return Branch(), (torch.randn(2, 4),), {}


def fails():
    raise RuntimeError("no such file in my project")


def size(module):
    return sum(float(parameter.detach().square().sum()) for parameter in module.parameters())


def fails_on(module):
    raise RuntimeError("no such batch")


def no_tuple():
    return nn.Linear(2, 2)


def no_module():
    return "module", (), {}


not_a_function = 3
