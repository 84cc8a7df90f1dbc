import json

import pytest

from tests.checks import check_recipe
from tltk import files, recipes
from tltk.recipes import Phase, Recipe
from tltk.trainability.optimizers import sgd
from tltk.trainability.plan import freeze


@pytest.mark.parametrize("make", [recipes.linear_probe, recipes.fine_tune, recipes.full])
def test_every_recipe_passes_its_check(make):
    check_recipe(make())


def test_fine_tuning_probes_first_and_then_goes_gently():
    probe, tuned = recipes.fine_tune(epochs=3, probe_epochs=2, unfreeze="conv3").phases
    assert (probe.epochs, tuned.epochs) == (2, 3)
    assert tuned.optimizer.learning_rate < probe.optimizer.learning_rate
    assert tuned.plan.rules[0].pattern == "conv3.."
    assert not probe.augment
    assert tuned.augment


def test_a_recipe_is_plain_values():
    config = recipes.fine_tune().to_config()
    assert json.loads(json.dumps(files.plain(config)))["phases"][1]["augment"][0]["name"] == "flip"
    assert recipes.fine_tune(epochs=3, probe_epochs=4).epochs == 7


def test_wrong_phases_are_refused():
    with pytest.raises(ValueError, match=r"(?s)`epochs` must be a whole number above 0. Received: 0.*`patience`"):
        Phase("a", freeze(), epochs=0, optimizer=sgd(), patience=0)
    with pytest.raises(ValueError, match=r"`schedule` must be one of .*Did you mean 'cosine'"):
        Phase("a", freeze(), epochs=1, optimizer=sgd(), schedule="cos")
    with pytest.raises(ValueError, match=r"`warmup` must be at least 0 and below 1"):
        Phase("a", freeze(), epochs=1, optimizer=sgd(), warmup=1.0)
    with pytest.raises(ValueError, match=r"`phases` must hold at least one"):
        Recipe("none", ())
