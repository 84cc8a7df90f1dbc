from dataclasses import replace

import keras
import numpy as np
import pytest

import tltk
from tests.conftest import squares, squares_model, weights_as_bytes
from tltk.recipes import Phase, Recipe
from tltk.trainability.optimizers import adamw, sgd
from tltk.trainability.plan import bias_only, freeze, lora, train_all, unfreeze_from


def one_phase(plan, **options):
    return Recipe(
        "test", (Phase("test", plan, epochs=2, optimizer=adamw(1e-2, weight_decay=0.1), warmup=0.0, **options),)
    )


PLANS = {
    "head": (freeze("backbone"), ("stem", "conv2", "conv3")),
    "conv3": (unfreeze_from("conv3"), ("stem", "conv2", "conv3_bn")),
    "conv3, batch norm": (unfreeze_from("conv3", batch_norm="train"), ("stem", "conv2")),
    "all": (train_all(), ("stem_bn", "conv2_bn", "conv3_bn")),
}


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_what_a_plan_freezes_keeps_every_byte_and_the_rest_moves(plan, precision):
    model = squares_model(precision=precision)
    chosen, frozen = PLANS[plan]
    held, everything = weights_as_bytes(model.keras, *frozen), weights_as_bytes(model.keras, "stem", "conv", "head")
    tltk.fit(model, squares(), recipe=one_phase(chosen), batch_size=8)
    assert weights_as_bytes(model.keras, *frozen) == held
    after = weights_as_bytes(model.keras, "stem", "conv", "head")
    unmoved = {name for name in set(everything) - set(held) if everything[name] == after[name]}
    assert not unmoved


def test_a_frozen_part_with_dropout_trains_the_head_on_undisturbed_features():
    still, dropped = squares_model(), squares_model(dropout=0.5)
    dropped.keras.set_weights(still.keras.get_weights())
    for model in (still, dropped):
        tltk.fit(model, squares(), recipe=one_phase(freeze("backbone")), batch_size=8)
    for a, b in zip(still.keras.get_weights(), dropped.keras.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_flags_are_put_back_and_the_model_is_not_compiled():
    model = squares_model()
    tltk.fit(model, squares(), recipe=one_phase(freeze("backbone")), batch_size=8)
    assert all(layer.trainable for layer in model.keras.layers)
    assert not model.keras.compiled


def test_float16_training_scales_its_loss(monkeypatch):
    seen = []
    original = keras.Model.compile

    def compile_(self, **options):
        seen.append(options["optimizer"])
        return original(self, **options)

    monkeypatch.setattr(keras.Model, "compile", compile_)
    for precision in ("mixed_float16", "mixed_bfloat16"):
        tltk.fit(squares_model(precision=precision), squares(), recipe=one_phase(freeze("backbone")), batch_size=8)
    assert [isinstance(optimizer, keras.optimizers.LossScaleOptimizer) for optimizer in seen] == [True, False]


def test_the_optimizer_holds_slots_for_what_learns_and_nothing_else(monkeypatch):
    seen = []
    original = keras.Model.compile
    monkeypatch.setattr(
        keras.Model, "compile", lambda self, **o: (seen.append((self, o["optimizer"])), original(self, **o))[1]
    )
    tltk.fit(squares_model(), squares(), recipe=one_phase(unfreeze_from("conv3")), batch_size=8)
    _, optimizer = seen[0]
    paths = {variable.path.split("/")[0] for variable in optimizer._trainable_variables}
    assert paths == {"conv3_conv", "head_output"}


def test_a_phase_that_makes_things_worse_is_undone_and_said_so(caplog):
    model = squares_model()
    good = Phase("good", freeze("backbone"), epochs=8, optimizer=adamw(3e-2))
    bad = Phase("bad", train_all(), epochs=1, optimizer=sgd(1e-9), schedule="constant", warmup=0.0)
    val = squares(12, seed=1)
    tltk.fit(model, squares(48), val, recipe=Recipe("a", (good,)), batch_size=8)
    kept = [weight.tobytes() for weight in model.keras.get_weights()]
    worse = replace(bad, optimizer=sgd(10.0, momentum=0.0))
    run = tltk.fit(
        model, squares(48), val, recipe=Recipe("b", (replace(good, optimizer=adamw(1e-6)), worse)), batch_size=8
    )
    assert run.phases[0].kept
    assert not run.phases[1].kept
    assert run.phases[1].best_epoch == 0
    assert "bad was undone: accuracy" in caplog.text
    assert len(kept) == len(model.keras.get_weights())
    report = tltk.evaluate(model, val)
    assert report.metrics["accuracy"] == pytest.approx(run.phases[0].score[0])


def test_a_loss_that_explodes_puts_the_weights_back():
    model = squares_model()
    before = [weight.tobytes() for weight in model.keras.get_weights()]
    wild = Phase(
        "wild",
        train_all(batch_norm="train"),
        epochs=3,
        optimizer=sgd(1e30, momentum=0.0),
        schedule="constant",
        warmup=0.0,
    )
    with pytest.raises(FloatingPointError, match="Ways out"):
        tltk.fit(model, squares(), recipe=Recipe("wild", (wild,)), batch_size=8)
    assert [weight.tobytes() for weight in model.keras.get_weights()] == before


def test_lora_is_trained_kept_at_its_best_and_gone_afterwards():
    model, val = squares_model(), squares(12, seed=1)
    names, start = [v.path for v in model.keras.weights], weights_as_bytes(model.keras, "conv")
    run = tltk.fit(model, squares(48), val, recipe=one_phase(lora(2)), batch_size=8)
    assert [v.path for v in model.keras.weights] == names
    assert weights_as_bytes(model.keras, "conv") != start
    assert tltk.evaluate(model, val).metrics["accuracy"] == pytest.approx(run.phases[0].score[0])


def test_a_phase_of_lora_that_makes_things_worse_is_undone():
    model, val = squares_model(), squares(12, seed=1)
    good = Phase("good", freeze("backbone"), epochs=8, optimizer=adamw(3e-2))
    worse = Phase("worse", lora(2), 2, sgd(10.0, momentum=0.0), schedule="constant", warmup=0.0)
    tltk.fit(model, squares(48), val, recipe=Recipe("a", (good,)), batch_size=8)
    before = weights_as_bytes(model.keras, "stem", "conv")
    run = tltk.fit(
        model, squares(48), val, recipe=Recipe("b", (replace(good, optimizer=adamw(1e-6)), worse)), batch_size=8
    )
    assert not run.phases[1].kept
    assert weights_as_bytes(model.keras, "stem", "conv") == before


def test_lora_whose_loss_explodes_puts_the_weights_back():
    model = squares_model()
    before = [weight.tobytes() for weight in model.keras.get_weights()]
    wild = Phase("wild", lora(2), 3, sgd(1e30, momentum=0.0), schedule="constant", warmup=0.0)
    for val in (None, squares(12, seed=1)):
        with pytest.raises(FloatingPointError, match="Ways out"):
            tltk.fit(model, squares(), val, recipe=Recipe("wild", (wild,)), batch_size=8)
        assert [weight.tobytes() for weight in model.keras.get_weights()] == before


def test_a_plan_of_biases_leaves_every_kernel_of_the_backbone():
    model = squares_model()
    before = {v.path: np.array(v) for v in model.keras.weights if "head" not in v.path}
    tltk.fit(model, squares(), recipe=one_phase(bias_only()), batch_size=8)
    moved = {v.path.rsplit("/", 1)[-1] for v in model.keras.weights if v.path in before and np.any(before[v.path] != v)}
    assert moved == {"bias", "beta"}


def test_the_affine_part_of_batch_norm_learns_and_its_statistics_stay():
    model = squares_model()
    before = {v.path: np.array(v) for v in model.keras.weights if "_bn" in v.path}
    tltk.fit(model, squares(), recipe=one_phase(unfreeze_from("conv3", batch_norm="affine")), batch_size=8)
    moved = {v.path for v in model.keras.weights if v.path in before and np.any(before[v.path] != v)}
    assert moved == {"conv3_bn/gamma", "conv3_bn/beta"}
