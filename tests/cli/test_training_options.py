"""Options of `tltk train` become recipes, class weights and tasks."""

from functools import partial

import pytest

import tltk
from tests.conftest import squares
from tests.texts import LABELS, TEXTS
from tltk.cli import training_options as options


def test_a_recipe_is_built_from_the_given_options():
    recipe = options.recipe("fine_tune", epochs=2, unfreeze="conv5")
    assert recipe == tltk.fine_tune(epochs=2, unfreeze="conv5")
    assert options.recipe("bert", learning_rate=3e-5) == tltk.bert(learning_rate=3e-5)
    with pytest.raises(ValueError, match=r"Did you mean 'fine_tune'\?"):
        options.recipe("finetune")
    with pytest.raises(ValueError, match=r"`--unfreeze` requires --recipe fine_tune\. Received: --recipe full"):
        options.recipe("full", unfreeze="conv5")


def test_the_default_recipe_takes_the_learning_rate_of_the_modality():
    recipe = options.recipe(None, epochs=3, default_rate=5e-5)
    assert recipe == tltk.fine_tune(epochs=3, learning_rate=5e-5)
    with_rate = options.recipe(None, learning_rate=1e-3, default_rate=5e-5)
    assert with_rate == tltk.fine_tune(learning_rate=1e-3)
    named = options.recipe("fine_tune", default_rate=5e-5)
    assert named == tltk.fine_tune()


def test_options_are_those_of_the_last_phase():
    built = options.recipe(None, epochs=3, probe_epochs=7, learning_rate=1e-3, warmup=0.2, patience=2, accumulate=4)
    probe, last = built.phases
    assert (probe.name, probe.epochs, probe.patience, probe.warmup) == ("probe", 7, None, 0.1)
    assert (last.epochs, last.patience, last.warmup) == (3, 2, 0.2)
    assert (last.optimizer.learning_rate, last.optimizer.gradient_accumulation_steps) == (1e-3, 4)
    assert probe.optimizer.gradient_accumulation_steps != 4
    assert options.recipe("bert", warmup=500.0).phases[0].warmup_steps(10_000) == 500


def test_epochs_of_few_shot_are_those_of_its_head():
    contrastive, probe = options.recipe("few_shot", epochs=2).phases
    assert contrastive == tltk.few_shot().phases[0]
    assert (probe.name, probe.epochs) == ("probe", 2)


def test_probe_epochs_require_a_recipe_with_a_probe():
    assert options.recipe("few_shot", probe_epochs=5).phases[1].epochs == 5
    with pytest.raises(ValueError, match=r"`--probe-epochs` requires --recipe fine_tune or few_shot.*--recipe bert"):
        options.check_recipe("bert", unfreeze=None, probe_epochs=5)


@pytest.mark.parametrize(
    ("text", "weights"),
    [(None, None), ("balanced", "balanced"), ("spam=5,ham=1", {"spam": 5.0, "ham": 1.0}), ("a=b=2", {"a=b": 2.0})],
)
def test_class_weights_are_parsed(text, weights):
    assert options.class_weight(text) == weights


def test_options_of_balancing_make_one_record():
    assert options.balance(None, thresholds=None, calibrate=False) is None
    assert options.balance("crt", thresholds=None, calibrate=False) == tltk.balance("crt")
    record = options.balance(None, thresholds="macro_f1", calibrate=True)
    assert record == tltk.balance("nothing", thresholds="macro_f1", calibrate=True)
    with pytest.raises(tltk.errors.InvalidInput, match=r"`--balance` must be one of .*Did you mean 'auto'"):
        options.balance("autp", thresholds=None, calibrate=False)
    with pytest.raises(tltk.errors.InvalidInput, match="`--class-weight`"):
        options.balance("auto", thresholds=None, calibrate=False, class_weight="balanced")


@pytest.mark.parametrize("text", ["spam", "spam=", "spam=x", "5", ""])
def test_wrong_class_weights_are_refused_with_an_example(text):
    with pytest.raises(ValueError, match=r"`--class-weight` must be balanced, or .*spam=5,ham=1"):
        options.class_weight(text)


def test_a_threshold_is_for_several_labels():
    several = tltk.from_arrays(list(TEXTS), [(label,) for label in LABELS], label_type="multilabel")
    task = tltk.tasks.for_source(several)
    assert options.with_threshold(task, 0.2).threshold == 0.2
    assert options.with_threshold(task, None) is task
    with pytest.raises(ValueError, match=r"`--threshold` requires --label-type multilabel. Received: .*classification"):
        options.with_threshold(tltk.tasks.for_source(squares(6)), 0.2)
    with pytest.raises(ValueError, match="`threshold` must be at least 0 and at most 1"):
        options.with_threshold(task, 2)


def test_parts_are_described_with_their_classes_and_those_that_are_absent():
    train = tltk.from_arrays(list(TEXTS), list(LABELS))
    val = train[[index for index, label in enumerate(LABELS) if label == "good"]]
    assert options.describe_parts({"train": train, "val": val, "test": train[:0]}) == [
        "train  6 texts: bad 3, good 3",
        "val    3 texts: bad 0, good 3",
        "test   0 texts",
        "val has no example of 'bad': its result says nothing about that.",
    ]


def test_auto_takes_no_options_and_no_labels_for_validation():
    assert options.recipe(None, default_rate=5e-5) is None
    assert options.recipe("auto") == "auto"
    with pytest.raises(ValueError, match="--recipe auto"):
        options.recipe("auto", epochs=3)
    fraction = partial(options.validation_fraction, label_type="categorical")
    assert fraction(None, None) == fraction(None, "auto") == 0
    assert fraction(None, tltk.full()) == 0.15
    assert fraction(0.2, "auto") == 0.2
    assert options.validation_fraction(None, None, label_type="entities") == 0.15
    assert fraction(None, None, is_balanced=True) == 0.15


def test_a_budget_is_for_auto_alone():
    for name, epochs in ((None, None), ("auto", None)):
        options.check_budget("5 min", options.recipe(name, epochs=epochs))
    options.check_budget(None, tltk.full())
    with pytest.raises(ValueError, match=r"`--budget`.*'5 min'.*fine_tune"):
        options.check_budget("5 min", options.recipe(None, epochs=2))
