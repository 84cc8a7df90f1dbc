import json

import keras
import pytest

import tltk
from tests.checks import check_recipe
from tltk import recipes
from tltk.foundation import files
from tltk.trainability.plan import train_all

RECIPES = {
    "linear_probe": recipes.linear_probe(),
    "fine_tune": recipes.fine_tune(),
    "fine_tune, partial, full": recipes.fine_tune(unfreeze=("conv3", "all")),
    "gradual_unfreeze": recipes.gradual_unfreeze(stages=2),
    "full": recipes.full(),
    "bit_hyperrule": recipes.bit_hyperrule(24, batch_size=8),
    "refined": recipes.refine(recipes.fine_tune(), schedule="one_cycle", ema_momentum=0.9, l2_sp=0.1, wise_ft=True),
}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_passes_check_recipe(name):
    check_recipe(RECIPES[name])


def test_several_stages_give_one_phase_each_at_falling_rates():
    _, partial, full = RECIPES["fine_tune, partial, full"].phases
    assert [phase.name for phase in (partial, full)] == ["fine_tune_1", "fine_tune_2"]
    assert partial.plan.rules[0].pattern == "conv3.."
    assert full.plan == train_all()
    assert full.optimizer.learning_rate == pytest.approx(partial.optimizer.learning_rate / 3)


def test_gradual_unfreeze_trains_one_more_stage_in_each_phase():
    patterns = [phase.plan.rules[0].pattern for phase in recipes.gradual_unfreeze(stages=3).phases]
    assert patterns == ["backbone", "top:1 stage", "top:2 stages", "top:3 stages"]


def test_refine_does_not_change_the_probe_and_checks_its_options():
    probe, tuned = RECIPES["refined"].phases
    assert probe == recipes.fine_tune().phases[0]
    assert (tuned.schedule, tuned.wise_ft, tuned.optimizer.ema_momentum, tuned.optimizer.l2_sp) == (
        "one_cycle",
        True,
        0.9,
        0.1,
    )
    with pytest.raises(ValueError, match=r"(?s)`ema_momentum` must be above 0 and below 1.*`l2_sp` must be at least 0"):
        recipes.refine(recipes.fine_tune(), ema_momentum=1.0, l2_sp=-1)


def test_augmentations_per_example_needs_augmentations():
    with pytest.raises(ValueError, match=r"`augmentations_per_example` needs `augment`"):
        recipes.linear_probe(augmentations_per_example=3)
    with pytest.raises(ValueError, match=r"must be a whole number of at least 0. Received: -1"):
        recipes.linear_probe(augmentations_per_example=-1)


def test_fine_tune_is_a_probe_and_then_a_phase_at_a_lower_rate():
    probe, tuned = recipes.fine_tune(epochs=3, probe_epochs=2, unfreeze="conv3").phases
    assert (probe.epochs, tuned.epochs) == (2, 3)
    assert tuned.optimizer.learning_rate < probe.optimizer.learning_rate
    assert tuned.plan.rules[0].pattern == "conv3.."
    assert not probe.augment
    assert tuned.augment is None, "filled in by `fit`, which knows the modality"
    probe, tuned = recipes.fine_tune(
        probe_learning_rate=2e-3, augment=tltk.augment.flip(), augmentations_per_example=3
    ).phases
    assert probe.optimizer.learning_rate == 2e-3
    assert (probe.augmentations_per_example, tuned.augmentations_per_example) == (3, 0)
    assert probe.augment == tuned.augment


def test_the_config_of_a_recipe_is_json():
    config = recipes.fine_tune().with_augmentation(tltk.augment.standard()).to_config()
    assert recipes.fine_tune().with_augmentation(()).to_config()["phases"][1]["augment"] == []
    assert json.loads(json.dumps(files.as_json_values(config)))["phases"][1]["augment"][0]["name"] == "flip"
    assert recipes.fine_tune(epochs=3, probe_epochs=4).epochs == 7


def test_refine_changes_the_optimizer_and_on_request_the_probe():
    probe, tuned = recipes.refine(recipes.fine_tune(), optimizer="lion").phases
    assert (probe.optimizer.name, tuned.optimizer.name) == ("adamw", "lion")
    assert (tuned.optimizer.learning_rate, tuned.optimizer.clip_norm) == (3e-4, 1.0)
    for phase in recipes.refine(
        recipes.fine_tune(), optimizer=keras.optimizers.SGD(0.5), schedule="constant", warmup=0, include_head=True
    ).phases:
        assert (phase.optimizer.name, phase.optimizer.learning_rate) == ("sgd", 0.5)
        assert phase.has_constant_rate
    assert recipes.refine(recipes.full(), optimizer="adam").phases[0].optimizer.momentum == 0.0


def test_a_schedule_fits_one_phase():
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, 10)
    assert tltk.fine_tune(learning_rate=schedule).phases[-1].optimizer.learning_rate is schedule
    with pytest.raises(ValueError, match="`learning_rate` of 2 phases must be a number"):
        recipes.gradual_unfreeze(stages=2, learning_rate=schedule)
    with pytest.raises(ValueError, match="`learning_rate` must be a number above 0, or a Keras schedule"):
        tltk.fine_tune(learning_rate="1e-3")


@pytest.mark.parametrize(
    ("examples", "batch_size", "epochs", "steps", "warmup"),
    [
        (19_999, 512, 13, 500, 100),
        (20_000, 512, 250, 10_000, 500),
        (499_999, 512, 11, 10_000, 500),
        (500_000, 512, 21, 20_000, 500),
        (100, 32, 2000, 8000, 1600),
        (7, 32, 8000, 8000, 1600),
    ],
)
def test_the_numbers_of_bit_hyperrule_follow_from_the_size_of_the_data(examples, batch_size, epochs, steps, warmup):
    (phase,) = recipes.bit_hyperrule(examples, batch_size=batch_size).phases
    assert phase.epochs == epochs
    assert phase.warmup_steps(steps) == warmup
    optimizer = phase.optimizer
    assert (optimizer.name, optimizer.momentum, optimizer.weight_decay) == ("sgd", 0.9, 0.0)
    assert optimizer.learning_rate == pytest.approx(0.003 * batch_size / 512)
    assert (phase.schedule, phase.plan) == ("step", train_all())


def test_bit_hyperrule_needs_numbers_above_zero():
    with pytest.raises(ValueError, match=r"(?s)`examples` must be.*Received: 0.*`batch_size`.*Received: 2.5"):
        recipes.bit_hyperrule(0, batch_size=2.5)
    with pytest.raises(ValueError, match="`learning_rate`"):
        recipes.bit_hyperrule(10, learning_rate=0)
