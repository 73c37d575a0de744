"""How anything is trained: a :class:`Protocol` says what, the engine gives it everything else.

A protocol (see :mod:`graphlab.engine.protocol` for one in full) and a model are registered by name; an
:class:`Experiment` is both with all their settings; :func:`train` runs it with several seeds into a run folder, and
goes on where it was interrupted.
"""

from graphlab.engine.errors import EngineError
from graphlab.engine.experiment import Experiment
from graphlab.engine.protocol import Protocol
from graphlab.engine.registry import find_model, find_protocol, model, models, protocol
from graphlab.engine.result import RunResult
from graphlab.engine.rules import MaxCPUTime, MaxEpochs, Patience, Rule, Selection, StoppingRule, WindowMean
from graphlab.engine.run import Means
from graphlab.engine.summary import Statistics, Summary, read_summary
from graphlab.engine.train import train

__all__ = [
    "EngineError",
    "Experiment",
    "MaxCPUTime",
    "MaxEpochs",
    "Means",
    "Patience",
    "Protocol",
    "Rule",
    "RunResult",
    "Selection",
    "Statistics",
    "StoppingRule",
    "Summary",
    "WindowMean",
    "find_model",
    "find_protocol",
    "model",
    "models",
    "protocol",
    "read_summary",
    "train",
]
