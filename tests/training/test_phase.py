from dataclasses import replace
from functools import partial

import keras
import numpy as np
import pytest

import tltk
from tests.conftest import squares, squares_model, weights_as_bytes
from tltk.optimizers.spec import adamw, sgd
from tltk.recipes import Phase, Recipe
from tltk.trainability.audit.proof import AuditError
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


def test_the_optimizer_has_state_for_trainable_variables_only(monkeypatch):
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


def compiled_optimizers(monkeypatch):
    seen = []
    original = keras.Model.compile
    monkeypatch.setattr(keras.Model, "compile", lambda self, **o: (seen.append(o["optimizer"]), original(self, **o))[1])
    return seen


def two_phases(second=None):
    first = Phase("head", freeze("backbone"), epochs=2, optimizer=adamw(1e-2), warmup=0.0)
    return Recipe("two", (first, Phase("all", train_all(), epochs=2, optimizer=second or adamw(1e-2), warmup=0.0)))


def test_what_the_optimizer_remembers_goes_on_in_the_next_phase(monkeypatch):
    kept = []
    original = phase_module.optimizers.build

    def build(*args, **named):
        built = original(*args, **named)
        values = {v.path: np.asarray(m) for v, m in zip(built._trainable_variables, built._momentums, strict=True)}
        kept.append((named["previous_state"], values))
        return built

    monkeypatch.setattr(phase_module.optimizers, "build", build)
    tltk.fit(squares_model(), squares(), recipe=two_phases(), batch_size=8)
    (nothing, _), (state, started) = kept
    assert nothing is None
    head = next(path for path in started if path.startswith("head_output/kernel"))
    assert np.abs(started[head]).max() > 0
    np.testing.assert_array_equal(started[head], state.values[head]["momentum"])
    assert all(not np.abs(value).any() for path, value in started.items() if not path.startswith("head"))


def test_an_undone_phase_hands_on_what_it_was_given(monkeypatch):
    given = []
    original = phase_module.optimizers.build
    monkeypatch.setattr(
        phase_module.optimizers, "build", lambda *a, **n: (given.append(n["previous_state"]), original(*a, **n))[1]
    )
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
    assert given[1] is given[2] is not None


def test_a_plan_that_is_not_obeyed_is_an_error_and_the_weights_go_back(monkeypatch):
    from contextlib import contextmanager

    original = phase_module.applied

    @contextmanager
    def leaky(plan, model):
        with original(plan, model) as now:
            model.keras.get_layer("conv3_conv").trainable = True
            yield replace(now, decided=dict.fromkeys(now.decisions, Decision("train")))

    monkeypatch.setattr(phase_module, "applied", leaky)
    monkeypatch.setattr(phase_module.optimizers, "build", partial(ignoring_multipliers, phase_module.optimizers.build))
    model = squares_model()
    model.keras.get_layer("head_output").kernel.assign(np.random.default_rng(0).normal(size=(8, 3)))
    before = [weight.tobytes() for weight in model.keras.get_weights()]
    with pytest.raises(
        AuditError, match=r"(?s)test did not do what its plan says:.*`conv3_conv/kernel` is frozen, and mov"
    ):
        tltk.fit(model, squares(), recipe=one_phase(freeze("backbone")), batch_size=8)
    assert [weight.tobytes() for weight in model.keras.get_weights()] == before


def ignoring_multipliers(build, *args, **named):
    return build(*args, **{**named, "lr_multipliers": None})


def test_a_part_that_should_learn_and_gets_no_gradient_is_an_error():
    pixels = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(pixels)
    dead = keras.layers.Dense(3, name="dead")(keras.ops.stop_gradient(keras.layers.GlobalAveragePooling2D()(x)))
    plain = keras.Model(pixels, keras.layers.Softmax()(dead))
    model = tltk.adopt(plain, tltk.classification(squares().labels))
    with (
        pytest.warns(UserWarning, match="Gradients do not exist"),
        pytest.raises(AuditError, match=r"conv.*did not move"),
    ):
        tltk.fit(model, squares(), recipe=one_phase(train_all()), batch_size=8)


def dead_branch():
    """A model with a convolution that learns nothing: a ReLU cuts all that it gives."""
    pixels = keras.Input((16, 16, 3))
    body = keras.layers.Conv2D(4, 3, padding="same", name="alive")(pixels)
    dead = keras.layers.Conv2D(4, 3, padding="same", use_bias=False, name="dead")(pixels)
    x = keras.layers.Add()([body, keras.layers.ReLU()(dead - 1e6)])
    x = keras.layers.Dense(3, name="head_output")(keras.layers.GlobalAveragePooling2D()(x))
    return tltk.adopt(keras.Model(pixels, keras.layers.Softmax()(x)), tltk.classification(squares().labels))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_what_weight_decay_alone_moves_is_an_error(accumulate):
    optimizer = adamw(1e-2, weight_decay=0.1, gradient_accumulation_steps=accumulate)
    phase = Phase("all", train_all(), 4 * accumulate, optimizer)
    with pytest.raises(AuditError, match=r"dead/kernel` is trainable, and got no gradient in 12 steps"):
        tltk.fit(dead_branch(), squares(), recipe=Recipe("all", (phase,)), batch_size=8)


def test_two_weights_of_one_path_are_refused_before_anything_is_trained():
    def block(name, channels):
        x = keras.Input((None, None, channels))
        return keras.Model(x, keras.layers.Conv2D(4, 3, padding="same", name="conv")(x), name=name)

    pixels = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(block("b2", 4)(block("b1", 3)(pixels)))
    plain = keras.Model(pixels, keras.layers.Softmax()(keras.layers.Dense(3, name="head_output")(x)))
    model = tltk.adopt(plain, tltk.classification(squares().labels))
    before = plain.get_weights()
    with pytest.raises(ValueError, match=r"several variables are called conv/kernel, conv/bias, and one"):
        tltk.fit(model, squares(), recipe=one_phase(train_all()))
    assert all(np.array_equal(one, other) for one, other in zip(before, plain.get_weights(), strict=True))
    tltk.fit(model, squares(), recipe=one_phase(Plan((Rule("head_output", "train"), Rule("*", "frozen")))))


def test_mix_and_patience_without_validation_are_told(caplog):
    phase = Phase("all", train_all(), 1, adamw(1e-3), patience=2)
    tltk.fit(squares_model(), squares(), recipe=Recipe("all", (phase,)))
    assert "without `val` they do nothing" in caplog.text


def test_layers_at_a_lower_rate_move_less():
    moved = {}
    for factor in (1.0, 0.01):
        model = squares_model()
        model.keras.get_layer("head_output").kernel.assign(np.random.default_rng(0).normal(size=(8, 3)))
        before = model.keras.get_layer("stem_conv").kernel.numpy()
        plan = Plan((Rule("stem", "train", lr_multiplier=factor), Rule("*", "train")))
        tltk.fit(model, squares(), recipe=one_phase(plan), batch_size=8)
        moved[factor] = np.abs(model.keras.get_layer("stem_conv").kernel.numpy() - before).max()
    assert 0 < moved[0.01] < 0.05 * moved[1.0]


def test_the_average_is_what_is_validated_and_kept():
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


def test_strong_l2_sp_keeps_the_backbone_near_its_pretrained_weights_and_the_head_free():
    far = {}
    for l2_sp in (0.0, 50.0):
        model = squares_model()
        before = model.keras.get_layer("conv3_conv").kernel.numpy()
        tltk.fit(model, squares(48), recipe=two_phases(adamw(1e-2, l2_sp=l2_sp)), batch_size=8)
        far[l2_sp] = np.abs(model.keras.get_layer("conv3_conv").kernel.numpy() - before).mean()
        assert np.abs(model.keras.get_layer("head_output").kernel.numpy()).max() > 1e-3
    assert far[50.0] < 0.6 * far[0.0]


def test_fewer_batches_than_make_a_step_are_refused():
    phase = Phase("few", freeze("backbone"), epochs=1, optimizer=adamw(1e-2, gradient_accumulation_steps=50))
    with pytest.raises(ValueError, match=r"'few' has 3 batches, fewer than gradient_accumulation_steps=50"):
        tltk.fit(squares_model(), squares(), recipe=Recipe("few", (phase,)), batch_size=8)


def test_what_lora_learned_is_a_small_file_of_the_run(tmp_path):
    from tltk.trainability.lora import file as lora_file

    model = squares_model()
    start = model.keras.get_weights()
    tltk.fit(model, squares(), recipe=one_phase(lora(1)), batch_size=8, out=tmp_path / "run")
    tuned = model.keras.get_weights()
    model.keras.set_weights(start)
    lora_file.load(tmp_path / "run" / "test.lora.npz", model)
    for one, other in zip(tuned, model.keras.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_mixture_with_the_start_leaves_no_lora_file(tmp_path, monkeypatch):
    def half(model, data, val, start, best):
        pairs = zip(start, model.keras.get_weights(), strict=True)
        model.keras.set_weights([(one + other) / 2 for one, other in pairs])
        return 0.5, best

    monkeypatch.setattr(phase_module, "mix", half)
    recipe = one_phase(lora(1), wise_ft=True)
    run = tltk.fit(squares_model(), squares(), squares(12), recipe=recipe, batch_size=8, out=tmp_path / "run")
    assert run.phases[0].wise_ft_alpha == 0.5
    assert not (tmp_path / "run" / "test.lora.npz").exists()
