"""Tests of `tltk.recipes.automatic`."""

import pytest

import tltk
from tltk.errors import InvalidInput
from tltk.recipes.automatic import automatic, epochs_for, fine_tuning, phase_of, seconds_of
from tltk.trainability.plan import train_top


def test_what_was_decided_becomes_phases():
    assert [phase.solver for phase in automatic(None).phases] == ["probe"]
    _, phase = automatic(fine_tuning(epochs=4, learning_rate=1e-4, fraction=0.5)).phases
    assert (phase.plan, phase.epochs, phase.optimizer.learning_rate) == (train_top(fraction=0.5), 4, 1e-4)
    _, whole = automatic(fine_tuning(epochs=4, learning_rate=1e-4)).phases
    assert whole.plan == tltk.train_all()
    assert (phase.augment, phase.temperature) == (None, 1)
    _, plain = automatic(fine_tuning(epochs=4, learning_rate=1e-4, augment=False, temperature=1.5)).phases
    assert (plain.augment, plain.temperature) == ((), 1.5)


def test_decisions_of_older_runs_can_be_read():
    _, phase = automatic({"epochs": 4, "learning_rate": 1e-4, "fraction": 1.0}).phases
    assert phase == automatic(fine_tuning(epochs=4, learning_rate=1e-4)).phases[1]


def test_l2_sp_is_that_of_the_optimizer():
    assert phase_of(fine_tuning(epochs=4, learning_rate=1e-4, l2_sp=0.02)).optimizer.l2_sp == 0.02
    assert phase_of(fine_tuning(epochs=4, learning_rate=1e-4)).optimizer.l2_sp == 0


def test_budgets_are_times():
    budgets = ("5 min", "30 s", "2 hours", "90", None)
    assert [seconds_of(budget) for budget in budgets] == [300, 30, 7200, 90, None]
    for wrong in ("soon", "5 steps", "-1 min", "", 5):
        with pytest.raises(InvalidInput, match="5 min"):
            seconds_of(wrong)


def test_training_has_at_least_24_steps():
    assert all(epochs_for(steps) * steps >= 24 for steps in range(1, 40))
    assert [epochs_for(steps) for steps in (1, 4, 8, 1000)] == [24, 6, 5, 3]
