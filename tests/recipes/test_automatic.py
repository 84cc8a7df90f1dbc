"""Tests of `tltk.recipes.automatic`."""

import tltk
from tltk.recipes.automatic import FineTuning, automatic, epochs_for
from tltk.trainability.plan import train_top


def test_what_was_decided_becomes_phases():
    assert [phase.solver for phase in automatic(None).phases] == ["probe"]
    _, phase = automatic(FineTuning(epochs=4, learning_rate=1e-4, fraction=0.5)).phases
    assert (phase.plan, phase.epochs, phase.optimizer.learning_rate) == (train_top(fraction=0.5), 4, 1e-4)
    _, whole = automatic(FineTuning(epochs=4, learning_rate=1e-4)).phases
    assert whole.plan == tltk.train_all()
    assert (phase.augment, phase.temperature) == (None, 1)
    _, plain = automatic(FineTuning(epochs=4, learning_rate=1e-4, augment=False, temperature=1.5)).phases
    assert (plain.augment, plain.temperature) == ((), 1.5)


def test_l2_sp_is_that_of_the_optimizer():
    assert FineTuning(epochs=4, learning_rate=1e-4, l2_sp=0.02).phase().optimizer.l2_sp == 0.02
    assert FineTuning(epochs=4, learning_rate=1e-4).phase().optimizer.l2_sp == 0


def test_training_has_at_least_24_steps():
    assert all(epochs_for(steps) * steps >= 24 for steps in range(1, 40))
    assert [epochs_for(steps) for steps in (1, 4, 8, 1000)] == [24, 6, 5, 3]
