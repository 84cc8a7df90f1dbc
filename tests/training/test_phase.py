from dataclasses import replace
from functools import partial

import keras
import numpy as np
import pytest

import tltk
from tests.conftest import squares, squares_model, weights_as_bytes
from tltk.foundation import keras_private as private
from tltk.foundation.errors import AuditError
from tltk.optimizers.spec import adamw, sgd
from tltk.recipes import Phase, Recipe
from tltk.trainability.effects import Decision
from tltk.trainability.plan import Plan, bias_only, freeze, lora, train_all, unfreeze_from
from tltk.trainability.rules import Rule
from tltk.training import phase as phase_module


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


@pytest.mark.parametrize(
    ("plan", "precision"),
    [*((plan, "float32") for plan in PLANS), ("conv3, batch norm", "mixed_bfloat16"), ("all", "mixed_float16")],
)
def test_frozen_layers_keep_every_byte_and_all_others_change(plan, precision):
    model = squares_model(precision=precision)
    tested_plan, frozen_layers = PLANS[plan]
    frozen, before = (
        weights_as_bytes(model.keras, *frozen_layers),
        weights_as_bytes(model.keras, "stem", "conv", "head"),
    )
    tltk.fit(model, squares(), recipe=one_phase(tested_plan), batch_size=8)
    assert weights_as_bytes(model.keras, *frozen_layers) == frozen
    after = weights_as_bytes(model.keras, "stem", "conv", "head")
    unchanged = {name for name in set(before) - set(frozen) if before[name] == after[name]}
    assert not unchanged


def test_dropout_in_the_frozen_prefix_is_inactive_while_the_head_is_trained():
    without_dropout, with_dropout = squares_model(), squares_model(dropout=0.5)
    with_dropout.keras.set_weights(without_dropout.keras.get_weights())
    for model in (without_dropout, with_dropout):
        tltk.fit(model, squares(), recipe=one_phase(freeze("backbone")), batch_size=8)
    for expected, weight in zip(without_dropout.keras.get_weights(), with_dropout.keras.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_a_fit_restores_trainable_flags_and_leaves_the_model_uncompiled():
    model = squares_model()
    tltk.fit(model, squares(), recipe=one_phase(freeze("backbone")), batch_size=8)
    assert all(layer.trainable for layer in model.keras.layers)
    assert not model.keras.compiled


def record_optimizers(monkeypatch):
    """Return a list to which every later call of `compile` appends its optimizer."""
    optimizers = []
    original = keras.Model.compile

    def compile_(self, **options):
        optimizers.append(options["optimizer"])
        return original(self, **options)

    monkeypatch.setattr(keras.Model, "compile", compile_)
    return optimizers


def test_float16_training_scales_its_loss(monkeypatch):
    optimizers = record_optimizers(monkeypatch)
    for precision in ("mixed_float16", "mixed_bfloat16"):
        tltk.fit(squares_model(precision=precision), squares(), recipe=one_phase(freeze("backbone")), batch_size=8)
    assert [isinstance(optimizer, keras.optimizers.LossScaleOptimizer) for optimizer in optimizers] == [True, False]


def test_the_optimizer_has_state_for_trainable_variables_only(monkeypatch):
    optimizers = record_optimizers(monkeypatch)
    tltk.fit(squares_model(), squares(), recipe=one_phase(unfreeze_from("conv3")), batch_size=8)
    optimizer = optimizers[0]
    paths = {variable.path.split("/")[0] for variable in optimizer._trainable_variables}
    assert paths == {"conv3_conv", "head_output"}


def test_a_phase_that_lowers_the_validation_score_is_undone_with_a_warning(caplog):
    model = squares_model()
    good = Phase("good", freeze("backbone"), epochs=8, optimizer=adamw(3e-2))
    bad = Phase("bad", train_all(), epochs=1, optimizer=sgd(1e-9), schedule="constant", warmup=0.0)
    val = squares(12, seed=1)
    tltk.fit(model, squares(48), val, recipe=Recipe("a", (good,)), batch_size=8)
    worse = replace(bad, optimizer=sgd(10.0, momentum=0.0))
    run = tltk.fit(
        model, squares(48), val, recipe=Recipe("b", (replace(good, optimizer=adamw(1e-6)), worse)), batch_size=8
    )
    assert run.phases[0].kept
    assert not run.phases[1].kept
    assert run.phases[1].best_epoch == 0
    assert "bad was undone: validation accuracy was" in caplog.text
    report = tltk.evaluate(model, val)
    assert report.metrics["accuracy"] == pytest.approx(run.phases[0].score[0])


def test_a_diverging_loss_restores_the_weights():
    model = squares_model()
    before = [weight.tobytes() for weight in model.keras.get_weights()]
    diverging = Phase(
        "diverging",
        train_all(batch_norm="train"),
        epochs=3,
        optimizer=sgd(1e30, momentum=0.0),
        schedule="constant",
        warmup=0.0,
    )
    with pytest.raises(FloatingPointError, match="Try a learning rate"):
        tltk.fit(model, squares(), recipe=Recipe("diverging", (diverging,)), batch_size=8)
    assert [weight.tobytes() for weight in model.keras.get_weights()] == before


def test_lora_is_trained_and_merged_at_its_best_epoch():
    model, val = squares_model(), squares(12, seed=1)
    names, start = [v.path for v in model.keras.weights], weights_as_bytes(model.keras, "conv")
    run = tltk.fit(model, squares(48), val, recipe=one_phase(lora(2)), batch_size=8)
    assert [v.path for v in model.keras.weights] == names
    assert weights_as_bytes(model.keras, "conv") != start
    assert tltk.evaluate(model, val).metrics["accuracy"] == pytest.approx(run.phases[0].score[0])


def test_a_lora_phase_that_lowers_the_validation_score_is_undone():
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


def test_a_diverging_loss_of_a_lora_phase_restores_the_weights():
    model = squares_model()
    before = [weight.tobytes() for weight in model.keras.get_weights()]
    diverging = Phase("diverging", lora(2), 3, sgd(1e30, momentum=0.0), schedule="constant", warmup=0.0)
    for val in (None, squares(12, seed=1)):
        with pytest.raises(FloatingPointError, match="Try a learning rate"):
            tltk.fit(model, squares(), val, recipe=Recipe("diverging", (diverging,)), batch_size=8)
        assert [weight.tobytes() for weight in model.keras.get_weights()] == before


def test_a_bias_only_plan_changes_no_kernel_of_the_backbone():
    model = squares_model()
    before = {v.path: np.array(v) for v in model.keras.weights if "head" not in v.path}
    tltk.fit(model, squares(), recipe=one_phase(bias_only()), batch_size=8)
    changed = {
        v.path.rsplit("/", 1)[-1] for v in model.keras.weights if v.path in before and np.any(before[v.path] != v)
    }
    assert changed == {"bias", "beta"}


def test_affine_batch_norm_trains_scale_and_shift_and_keeps_its_statistics():
    model = squares_model()
    before = {v.path: np.array(v) for v in model.keras.weights if "_bn" in v.path}
    tltk.fit(model, squares(), recipe=one_phase(unfreeze_from("conv3", batch_norm="affine")), batch_size=8)
    changed = {v.path for v in model.keras.weights if v.path in before and np.any(before[v.path] != v)}
    assert changed == {"conv3_bn/gamma", "conv3_bn/beta"}


def two_phases(second=None):
    first = Phase("head", freeze("backbone"), epochs=2, optimizer=adamw(1e-2), warmup=0.0)
    return Recipe("two", (first, Phase("all", train_all(), epochs=2, optimizer=second or adamw(1e-2), warmup=0.0)))


def test_the_optimizer_state_is_passed_on_to_the_next_phase(monkeypatch):
    built = []
    original = phase_module.build_optimizer

    def build(*args, **options):
        optimizer = original(*args, **options)
        pairs = zip(optimizer._trainable_variables, optimizer._momentums, strict=True)
        built.append((options["previous_state"], {variable.path: np.asarray(momentum) for variable, momentum in pairs}))
        return optimizer

    monkeypatch.setattr(phase_module, "build_optimizer", build)
    tltk.fit(squares_model(), squares(), recipe=two_phases(), batch_size=8)
    (first_state, _), (second_state, momentums) = built
    assert first_state is None
    head = next(path for path in momentums if path.startswith("head_output/kernel"))
    assert np.abs(momentums[head]).max() > 0
    np.testing.assert_array_equal(momentums[head], second_state.values[head]["momentums"])
    assert all(not np.abs(value).any() for path, value in momentums.items() if not path.startswith("head"))


def test_an_undone_phase_passes_on_the_optimizer_state_of_the_phase_before(monkeypatch):
    states = []
    original = phase_module.build_optimizer

    def build(*args, **options):
        states.append(options["previous_state"])
        return original(*args, **options)

    monkeypatch.setattr(phase_module, "build_optimizer", build)
    good = Phase("good", freeze("backbone"), epochs=8, optimizer=adamw(3e-2))
    worse = Phase("worse", train_all(), 1, adamw(10.0), schedule="constant", warmup=0.0)
    run = tltk.fit(
        squares_model(),
        squares(48),
        squares(12, seed=1),
        recipe=Recipe("three", (good, worse, replace(good, name="again"))),
        batch_size=8,
    )
    assert not run.phases[1].kept
    assert states[1] is not None and states[1].values is states[2].values


@pytest.mark.parametrize("optimizer", ["lion", "rmsprop", "muon", keras.optimizers.Nadam(1e-3, weight_decay=0.1)])
def test_any_optimizer_of_keras_trains_two_phases(optimizer):
    before = optimizer if isinstance(optimizer, str) else optimizer.get_config()
    first = Phase("head", freeze("backbone"), epochs=2, optimizer=optimizer)
    slow = Plan((Rule("stem", "train", lr_multiplier=0.1), Rule("*", "train")))
    run = tltk.fit(
        squares_model(),
        squares(),
        recipe=Recipe("two", (first, replace(first, name="all", plan=slow, epochs=3))),
        batch_size=8,
    )
    assert [row["epoch"] for row in run.history] == [1, 2, 1, 2, 3]
    assert before == (optimizer if isinstance(optimizer, str) else optimizer.get_config())


def test_a_schedule_of_keras_is_used_instead_of_that_of_the_phase(monkeypatch):
    optimizers = record_optimizers(monkeypatch)
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([2], [1e-2, 1e-3])
    tltk.fit(squares_model(), squares(), recipe=Recipe("r", (Phase("p", freeze(), 2, adamw(rate)),)), batch_size=8)
    assert private.learning_rate_of(optimizers[0]) is rate
    assert float(optimizers[0].learning_rate) == pytest.approx(1e-3)


def test_a_frozen_weight_that_changes_is_an_error_and_the_weights_are_restored(monkeypatch):
    from contextlib import contextmanager

    original = phase_module.apply_plan

    @contextmanager
    def applied_with_a_leak(plan, model, **options):
        with original(plan, model) as effect:
            model.keras.get_layer("conv3_conv").trainable = True
            yield replace(effect, decisions=dict.fromkeys(effect.decisions, Decision("train")))

    monkeypatch.setattr(phase_module, "apply_plan", applied_with_a_leak)
    monkeypatch.setattr(phase_module, "build_optimizer", partial(ignoring_multipliers, phase_module.build_optimizer))
    model = squares_model()
    model.keras.get_layer("head_output").kernel.assign(np.random.default_rng(0).normal(size=(8, 3)))
    before = [weight.tobytes() for weight in model.keras.get_weights()]
    with pytest.raises(
        AuditError, match=r"(?s)test did not do what its plan says:.*`conv3_conv/kernel` is frozen, and chang"
    ):
        tltk.fit(model, squares(), recipe=one_phase(freeze("backbone")), batch_size=8)
    assert [weight.tobytes() for weight in model.keras.get_weights()] == before


def ignoring_multipliers(build, *args, **options):
    return build(*args, **{**options, "lr_multipliers": None})


def test_a_trainable_layer_without_a_gradient_is_an_error():
    pixels = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(pixels)
    dead = keras.layers.Dense(3, name="dead")(keras.ops.stop_gradient(keras.layers.GlobalAveragePooling2D()(x)))
    plain = keras.Model(pixels, keras.layers.Softmax()(dead))
    model = tltk.adopt(plain, tltk.classification(squares().labels))
    with (
        pytest.warns(UserWarning, match="Gradients do not exist"),
        pytest.raises(AuditError, match=r"conv.*did not change"),
    ):
        tltk.fit(model, squares(), recipe=one_phase(train_all()), batch_size=8)


def dead_branch():
    """A model with a convolution that gets no gradient, because a ReLU outputs zero behind it."""
    pixels = keras.Input((16, 16, 3))
    body = keras.layers.Conv2D(4, 3, padding="same", name="alive")(pixels)
    dead = keras.layers.Conv2D(4, 3, padding="same", use_bias=False, name="dead")(pixels)
    x = keras.layers.Add()([body, keras.layers.ReLU()(dead - 1e6)])
    x = keras.layers.Dense(3, name="head_output")(keras.layers.GlobalAveragePooling2D()(x))
    return tltk.adopt(keras.Model(pixels, keras.layers.Softmax()(x)), tltk.classification(squares().labels))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_weight_that_only_weight_decay_changes_is_an_error(accumulate):
    optimizer = adamw(1e-2, weight_decay=0.1, gradient_accumulation_steps=accumulate)
    phase = Phase("all", train_all(), 4 * accumulate, optimizer)
    with pytest.raises(AuditError, match=r"dead/kernel` is trainable, and got no gradient in 12 steps"):
        tltk.fit(dead_branch(), squares(), recipe=Recipe("all", (phase,)), batch_size=8)


def test_two_weights_with_the_same_path_are_rejected_before_training():
    def block(name, channels):
        x = keras.Input((None, None, channels))
        return keras.Model(x, keras.layers.Conv2D(4, 3, padding="same", name="conv")(x), name=name)

    pixels = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(block("b2", 4)(block("b1", 3)(pixels)))
    plain = keras.Model(pixels, keras.layers.Softmax()(keras.layers.Dense(3, name="head_output")(x)))
    model = replace(tltk.adopt(plain, tltk.classification(squares().labels)), keras=plain)  # not the flat copy
    before = plain.get_weights()
    with pytest.raises(ValueError, match=r"several variables have the path conv/kernel, conv/bias, and at least one"):
        tltk.fit(model, squares(), recipe=one_phase(train_all()))
    assert all(np.array_equal(old, new) for old, new in zip(before, plain.get_weights(), strict=True))
    tltk.fit(model, squares(), recipe=one_phase(Plan((Rule("head_output", "train"), Rule("*", "frozen")))))


def test_wise_ft_and_patience_without_validation_data_give_a_warning(caplog):
    phase = Phase("all", train_all(), 1, adamw(1e-3), patience=2)
    tltk.fit(squares_model(), squares(), recipe=Recipe("all", (phase,)))
    assert "without `val` they have no effect" in caplog.text


def test_a_lower_learning_rate_multiplier_changes_a_layer_less():
    change = {}
    for factor in (1.0, 0.01):
        model = squares_model()
        model.keras.get_layer("head_output").kernel.assign(np.random.default_rng(0).normal(size=(8, 3)))
        before = model.keras.get_layer("stem_conv").kernel.numpy()
        plan = Plan((Rule("stem", "train", lr_multiplier=factor), Rule("*", "train")))
        tltk.fit(model, squares(), recipe=one_phase(plan), batch_size=8)
        change[factor] = np.abs(model.keras.get_layer("stem_conv").kernel.numpy() - before).max()
    assert 0 < change[0.01] < 0.05 * change[1.0]


def test_with_a_moving_average_the_averaged_weights_are_validated_and_kept():
    model, val = squares_model(), squares(12, seed=1)
    run = tltk.fit(
        model,
        squares(48),
        val,
        recipe=Recipe("ema", two_phases(adamw(1e-2, ema_momentum=0.5)).phases[1:]),
        batch_size=8,
    )
    assert tltk.evaluate(model, val).metrics["accuracy"] == pytest.approx(run.phases[0].score[0])
    assert -tltk.evaluate(model, val).metrics["log_loss"] == pytest.approx(run.phases[0].score[1], abs=1e-4)


def test_l2_sp_keeps_the_backbone_near_its_pretrained_weights_but_not_the_head():
    distance = {}
    for l2_sp in (0.0, 50.0):
        model = squares_model()
        before = model.keras.get_layer("conv3_conv").kernel.numpy()
        tltk.fit(model, squares(48), recipe=two_phases(adamw(1e-2, l2_sp=l2_sp)), batch_size=8)
        distance[l2_sp] = np.abs(model.keras.get_layer("conv3_conv").kernel.numpy() - before).mean()
        assert np.abs(model.keras.get_layer("head_output").kernel.numpy()).max() > 1e-3
    assert distance[50.0] < 0.6 * distance[0.0]


def test_fewer_batches_than_one_optimizer_step_are_rejected():
    phase = Phase("few", freeze("backbone"), epochs=1, optimizer=adamw(1e-2, gradient_accumulation_steps=50))
    with pytest.raises(ValueError, match=r"'few' has 3 batches, fewer than gradient_accumulation_steps=50"):
        tltk.fit(squares_model(), squares(), recipe=Recipe("few", (phase,)), batch_size=8)


def test_lora_weights_are_saved_in_the_run(tmp_path):
    from tltk.trainability.lora import file as lora_file

    model = squares_model()
    start = model.keras.get_weights()
    tltk.fit(model, squares(), recipe=one_phase(lora(1)), batch_size=8, out=tmp_path / "run")
    tuned = model.keras.get_weights()
    model.keras.set_weights(start)
    lora_file.load(tmp_path / "run" / "test.lora.npz", model)
    for expected, weight in zip(tuned, model.keras.get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected, atol=1e-5)


def test_interpolated_weights_leave_no_lora_file(tmp_path, monkeypatch):
    def half(model, data, val, start, best):
        pairs = zip(start, model.keras.get_weights(), strict=True)
        model.keras.set_weights([(first + last) / 2 for first, last in pairs])
        return 0.5, best

    monkeypatch.setattr(phase_module, "choose_interpolation", half)
    recipe = one_phase(lora(1), wise_ft=True)
    run = tltk.fit(squares_model(), squares(), squares(12), recipe=recipe, batch_size=8, out=tmp_path / "run")
    assert run.phases[0].wise_ft_alpha == 0.5
    assert not (tmp_path / "run" / "test.lora.npz").exists()
