"""Selection and stopping, epoch by epoch."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from graphlab.engine import EngineError, MaxEpochs, Patience, Selection, WindowMean
from graphlab.engine.rules import first_to_stop


def last_epoch(rules, losses):
    """The epoch after which the rules end a run with these losses, and the rule."""
    for epoch, loss in enumerate(losses, 1):
        if (stopped := first_to_stop(rules, epoch, {"val_loss": loss})) is not None:
            return epoch, stopped
    return None


@pytest.mark.parametrize(("mode", "better"), [("min", [3.0, 1.0]), ("max", [3.0, 4.0])])
def test_only_a_strict_improvement_is_selected(mode, better):
    selection = Selection("val_loss", mode)
    best, kept = None, []
    for value in (3.0, 3.0, better[1], better[1], 3.0):
        if selection.improves(value, best):
            best = value
            kept.append(value)
    assert kept == better


def test_max_epochs():
    assert last_epoch([MaxEpochs(4)], [1.0] * 9) == (4, "MaxEpochs")


def test_patience_counts_evaluations_without_strict_improvement():
    assert last_epoch([Patience("val_loss", 3)], [5, 4, 4, 4, 3, 3, 3, 3, 3]) == (8, "Patience")
    assert last_epoch([Patience("val_loss", 2, mode="max")], [1, 2, 3, 3, 3]) == (5, "Patience")


@pytest.mark.parametrize("seed", range(20))
def test_the_window_mean_is_that_of_the_published_protocol(seed):
    draws = random.Random(seed)
    epochs, window = 30, draws.choice([1, 3, 10, 100])
    losses = [draws.random() + 0.02 * epoch for epoch in range(epochs)]
    expected, history = None, []
    for epoch, loss in enumerate(losses, 1):
        before = history[-window:]
        history.append(loss)
        if epoch > epochs // 2 and loss > statistics.fmean(before):
            expected = (epoch, "WindowMean")
            break
    assert last_epoch([WindowMean("val_loss", window, epochs // 2)], losses) == expected


def test_the_window_mean_never_stops_a_run_at_its_first_epoch():
    assert last_epoch([WindowMean("val_loss", 5, after_epoch=0)], [1.0, 2.0]) == (2, "WindowMean")


def test_every_rule_sees_every_epoch_and_the_first_is_named():
    patient = Patience("val_loss", 3)
    assert last_epoch([MaxEpochs(3), patient], [1.0, 2.0, 3.0]) == (3, "MaxEpochs")
    assert patient.waited == 2


def test_a_rule_goes_on_from_its_state():
    losses = [5, 4, 4.5, 4.2, 4.1, 4.3]
    for make in (lambda: Patience("val_loss", 4), lambda: WindowMean("val_loss", 2, 4)):
        whole = last_epoch([make()], losses)
        first, second = make(), make()
        assert last_epoch([first], losses[:3]) is None
        second.load_state_dict(first.state_dict())
        stopped = [second.stops(epoch, {"val_loss": losses[epoch - 1]}) for epoch in (4, 5, 6)]
        assert (3 + stopped.index(True) + 1 if True in stopped else None) == (whole and whole[0])


@pytest.mark.parametrize(("metrics", "said"), [({}, "returned nothing"), ({"val_loss": math.nan}, "is NaN")])
def test_a_rule_cannot_go_by_what_is_not_there(metrics, said):
    with pytest.raises(EngineError, match=said):
        first_to_stop([Patience("val_loss", 1)], 1, metrics)
