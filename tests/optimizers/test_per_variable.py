"""Whole updates, trained through `model.fit` in graph mode, against the same steps written out in NumPy."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import ROOT
from tltk.optimizers.per_variable import decays, per_variable
from tltk.optimizers.schedules import warmup_linear
from tltk.optimizers.spec import adamw, build, sgd

MULTIPLIERS = {"low/kernel": 0.25, "low/bias": 0.25}
SIZE, BATCH = 3, 8


def linear_model():
    """Two layers whose gradients are the batch means of their inputs, whatever the weights are."""
    x = keras.Input((2 * SIZE,))
    low = keras.layers.Dense(1, name="low", bias_initializer="ones")(x[:, :SIZE])
    high = keras.layers.Dense(1, name="high", bias_initializer="ones")(x[:, SIZE:])
    return keras.Model(x, keras.layers.Add(dtype="float32")([low, high]))


def mean_output(target, output):
    return keras.ops.mean(output, axis=-1)


def batches(steps, seed=0):
    return np.random.default_rng(seed).normal(size=(steps, BATCH, 2 * SIZE)).astype("float32")


def gradients(x):
    """Return the gradient of each variable in one batch."""
    mean = x.astype("float64").mean(axis=0)
    one = np.ones(1)
    return {"low/kernel": mean[:SIZE, None], "low/bias": one, "high/kernel": mean[SIZE:, None], "high/bias": one}


def fit(model, optimizer, x):
    model.compile(optimizer, loss=mean_output, auto_scale_loss=False)
    flat = x.reshape(-1, x.shape[-1])
    model.fit(flat, np.zeros((len(flat), 1)), batch_size=x.shape[1], shuffle=False, verbose=0)


def values(model):
    return {variable.path: variable.numpy().astype("float64") for variable in model.trainable_variables}


def by_hand(spec, weights, steps, *, rates, lr_multipliers=None, anchors=None):
    """The steps of AdamW and SGD, written down from the papers. Returns weights and averages."""
    weights, anchors = dict(weights), anchors or {}
    first, second = dict.fromkeys(weights, 0.0), dict.fromkeys(weights, 0.0)
    averages = {}
    size = spec.gradient_accumulation_steps
    for taken, index in enumerate(range(0, len(steps) - size + 1, size), 1):
        group, rate = steps[index : index + size], rates[index + size - 1]
        mean = {path: sum(batch[path] for batch in group) / len(group) for path in weights}
        norm = np.sqrt(sum((g**2).sum() for g in mean.values()))
        clip = min(1.0, spec.clip_norm / norm) if spec.clip_norm else 1.0
        for path, start in weights.items():
            g, own_rate = mean[path] * clip, rate * (lr_multipliers or {}).get(path, 1.0)
            if path in anchors:
                shrink = own_rate * spec.l2_sp * (start - anchors[path])
            else:
                shrink = own_rate * spec.weight_decay * start * (not path.endswith("bias"))
            if spec.name == "adamw":
                first[path] = 0.9 * first[path] + 0.1 * g
                second[path] = 0.999 * second[path] + 0.001 * g**2
                corrected = np.sqrt(second[path] / (1 - 0.999**taken))
                step = own_rate * (first[path] / (1 - 0.9**taken)) / (corrected + 1e-7)
            else:
                first[path] = spec.momentum * first[path] + own_rate * g
                step = first[path]
            weights[path] = start - shrink - step
            old = averages.get(path, weights[path])
            averages[path] = (spec.ema_momentum or 0) * old + (1 - (spec.ema_momentum or 0)) * weights[path]
    return weights, averages


def assert_same(weights, expected, rtol=2e-5):
    # Keras' Adam takes 1 − 0.999ⁿ in float32, which is off by a few units in the fifth digit.
    for path, value in expected.items():
        np.testing.assert_allclose(weights[path], value, rtol=rtol, atol=2e-5, err_msg=path)


OPTIONS = {
    "plain": {},
    "decay": {"weight_decay": 0.5},
    "clipping": {"clip_norm": 0.4},
    "accumulation": {"gradient_accumulation_steps": 3},
    "l2_sp": {"l2_sp": 0.5},
    "everything": {"weight_decay": 0.3, "clip_norm": 0.4, "gradient_accumulation_steps": 2, "l2_sp": 0.5},
}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("make", [adamw, sgd])
def test_fit_takes_the_steps_written_out_by_hand(make, options):
    spec, model, x = make(0.1, **OPTIONS[options]), linear_model(), batches(7)
    start = values(model)
    anchors = {path: start[path] + 1 for path in ("low/kernel", "low/bias")} if spec.l2_sp else None
    rate = warmup_linear(0.1, steps=7, warmup=2)
    fit(model, build(spec, rate, model.trainable_variables, lr_multipliers=MULTIPLIERS, anchors=anchors), x)
    rates = [float(rate(step)) for step in range(7)]
    expected, _ = by_hand(
        spec, start, [gradients(batch) for batch in x], rates=rates, lr_multipliers=MULTIPLIERS, anchors=anchors
    )
    assert_same(values(model), expected)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("make", [adamw, sgd])
def test_the_average_follows_the_steps_and_not_the_batches(make, accumulate):
    spec, model, x = make(0.1, ema_momentum=0.8, gradient_accumulation_steps=accumulate), linear_model(), batches(6)
    start = values(model)
    optimizer = build(spec, 0.1, model.trainable_variables, lr_multipliers=MULTIPLIERS)
    fit(model, optimizer, x)
    steps = [gradients(batch) for batch in x]
    _, averages = by_hand(spec, start, steps, rates=[0.1] * 6, lr_multipliers=MULTIPLIERS)
    assert_same(values(model), averages)  # fit leaves the averages in the model


def test_plain_keras_averages_also_on_batches_that_only_accumulate():
    spec, averages = sgd(0.1, momentum=0.0, ema_momentum=0.5, gradient_accumulation_steps=2), {}
    stock = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5, gradient_accumulation_steps=2)
    for name, built in (("tltk", None), ("keras", stock)):
        model = linear_model()
        fit(model, built or build(spec, 0.1, model.trainable_variables), batches(6))
        averages[name] = model.get_layer("low").bias.numpy()[0]
    # The bias goes 1 → 0.9 → 0.8 → 0.7, a step every two batches.
    assert averages["tltk"] == pytest.approx(((0.9 + 0.8) / 2 + 0.7) / 2)
    assert averages["keras"] == pytest.approx((((0.9 + 0.8) / 2 + 0.8) / 2 + 0.7) / 2)


@pytest.mark.parametrize("make", [adamw, sgd])
def test_loss_scaling_skips_overflows_and_then_takes_the_same_steps(make):
    keras.config.set_dtype_policy("mixed_float16")
    model = linear_model()
    x = np.full((5, BATCH, 2 * SIZE), 3.0, "float32")  # 3 × the first scale of 32768 is no float16 any more
    start = values(model)
    spec = make(0.1, weight_decay=0.3, clip_norm=2.0)
    optimizer = build(spec, 0.1, model.trainable_variables, lr_multipliers=MULTIPLIERS, loss_scaling=True)
    fit(model, optimizer, x)
    assert int(optimizer.iterations) == 4
    assert float(optimizer.dynamic_scale) == 2.0**14
    expected, _ = by_hand(
        spec, start, [gradients(batch) for batch in x[1:]], rates=[0.1] * 4, lr_multipliers=MULTIPLIERS
    )
    assert all(np.isfinite(value).all() for value in values(model).values())
    assert_same(values(model), expected, rtol=1e-3)


@given(
    make=st.sampled_from([adamw, sgd]),
    rate=st.floats(1e-4, 0.3),
    factor=st.floats(0.01, 3.0),
    decay=st.floats(0.0, 1.0),
    clip=st.none() | st.floats(0.1, 10.0),
    l2_sp=st.floats(0.0, 1.0),
    gradient_accumulation_steps=st.integers(1, 3),
)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_any_combination_takes_the_steps_written_out_by_hand(
    make, rate, factor, decay, clip, l2_sp, gradient_accumulation_steps
):
    spec = make(
        rate, weight_decay=decay, clip_norm=clip, l2_sp=l2_sp, gradient_accumulation_steps=gradient_accumulation_steps
    )
    generator = np.random.default_rng(0)
    variables = [keras.Variable(generator.normal(size=(2,)).astype("float32"), name=name) for name in ("a", "bias")]
    start = {variable.path: variable.numpy().astype("float64") for variable in variables}
    steps = [{path: generator.normal(size=(2,)) for path in start} for _ in range(4)]
    anchors, multipliers = {"a": np.ones(2, "float32")}, {"a": factor}
    optimizer = build(spec, rate, variables, lr_multipliers=multipliers, anchors=anchors)
    for step in steps:
        optimizer.apply([keras.ops.convert_to_tensor(step[variable.path].astype("float32")) for variable in variables])
    used_anchors = anchors if l2_sp else None
    expected, _ = by_hand(spec, start, steps, rates=[rate] * 4, lr_multipliers=multipliers, anchors=used_anchors)
    weights = {variable.path: variable.numpy() for variable in variables}
    # Where a clipped gradient is next to nothing, Adam's step is a quotient of two numbers of few digits.
    for path, value in expected.items():
        np.testing.assert_allclose(weights[path], value, rtol=1e-3, atol=2e-5 + 1e-3 * rate, err_msg=path)


def test_l2_sp_without_a_gradient_returns_to_the_anchor_and_spares_the_head():
    variables = [keras.Variable(np.zeros(2, "float32"), name=name) for name in ("base", "head")]
    anchors = {"base": np.array([1.0, -1.0], "float32"), "frozen": np.ones(1)}
    optimizer = build(sgd(0.5, l2_sp=1.0), 0.5, variables, anchors=anchors, lr_multipliers={"base": 0.5})
    optimizer.apply([keras.ops.zeros(2)] * 2)
    np.testing.assert_allclose(variables[0].numpy(), [0.25, -0.25])
    np.testing.assert_array_equal(variables[1].numpy(), 0.0)


def test_a_variable_without_a_gradient_keeps_its_value_when_the_averages_are_put_in():
    variables = [keras.Variable(np.ones(2, "float32"), name=name) for name in ("fed", "unfed")]
    optimizer = build(sgd(0.1, ema_momentum=0.5), 0.1, variables)
    with pytest.warns(UserWarning, match="Gradients do not exist for variables"):
        optimizer.apply([keras.ops.ones(2), None])
    optimizer.finalize_variable_values(variables[:1])  # fit passes the model's list, which need not be the optimizer's
    np.testing.assert_array_equal(variables[1].numpy(), 1.0)
    np.testing.assert_allclose(variables[0].numpy(), 0.9)


def test_averages_are_assigned_to_their_variables_whatever_list_keras_passes():
    variables = [keras.Variable(np.full(2, value, "float32"), name=name) for name, value in (("a", 1.0), ("b", 5.0))]
    optimizer = build(sgd(0.1, ema_momentum=0.5), 0.1, variables)
    optimizer.apply([keras.ops.zeros(2)] * 2)
    optimizer.finalize_variable_values(variables[::-1])
    assert [variable.numpy()[0] for variable in variables] == [1.0, 5.0]


def test_rebuilding_an_optimizer_from_its_config_loses_no_settings(tmp_path):
    model, x = linear_model(), batches(6)
    spec = adamw(0.1, weight_decay=0.5, l2_sp=0.5, ema_momentum=0.9, clip_norm=0.4, gradient_accumulation_steps=2)
    anchors = {"low/kernel": np.ones((SIZE, 1), "float32")}
    fit(model, build(spec, 0.1, model.trainable_variables, lr_multipliers=MULTIPLIERS, anchors=anchors), x[:4])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", custom_objects={"mean_output": mean_output})
    assert type(loaded.optimizer) is per_variable(keras.optimizers.AdamW)
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    flat = x[4:].reshape(-1, 2 * SIZE)
    for network in (model, loaded):
        network.fit(flat, np.zeros((len(flat), 1)), batch_size=BATCH, shuffle=False, verbose=0)
    for path, value in values(model).items():
        np.testing.assert_array_equal(values(loaded)[path], value)


@pytest.mark.parametrize(("spec", "stock"), [
    (adamw(0.1, weight_decay=0.1, clip_norm=0.5), lambda: keras.optimizers.AdamW(0.1, 0.1, global_clipnorm=0.5)),
    (sgd(0.1, clip_norm=0.5), lambda: keras.optimizers.SGD(0.1, 0.9, global_clipnorm=0.5)),
], ids=["adamw", "sgd"])  # fmt: skip
def test_the_sparse_gradients_of_an_embedding_are_taken_as_keras_takes_them(spec, stock):
    ends = []
    for optimizer in (None, stock()):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((3,), dtype="int32"), keras.layers.Embedding(9, 2)])
        model.compile(optimizer or build(spec, 0.1, model.trainable_variables), loss="mse")
        model.fit(np.arange(24).reshape(8, 3) % 7, np.ones((8, 3, 2)), batch_size=2, shuffle=False, verbose=0)
        ends.append(model.get_weights()[0])
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-6)


def test_plain_keras_forgets_variables_without_decay_when_it_rebuilds_an_optimizer():
    bias = keras.Variable(np.ones(2, "float32"), name="bias")
    first = keras.optimizers.AdamW(0.1, weight_decay=0.5)
    first.exclude_from_weight_decay(var_list=[bias])
    first.apply([keras.ops.zeros(2)], [bias])
    np.testing.assert_array_equal(bias.numpy(), 1.0)
    keras.optimizers.AdamW.from_config(first.get_config()).apply([keras.ops.zeros(2)], [bias])
    np.testing.assert_allclose(bias.numpy(), 0.95)
    ours = build(adamw(0.1, weight_decay=0.5), 0.1, [bias])
    type(ours).from_config(ours.get_config()).apply([keras.ops.zeros(2)], [bias])
    np.testing.assert_allclose(bias.numpy(), 0.95)


def test_compiling_under_a_float16_policy_keeps_the_settings():
    keras.config.set_dtype_policy("mixed_float16")
    model = linear_model()
    model.compile(build(sgd(0.1), 0.1, model.trainable_variables, lr_multipliers=MULTIPLIERS), loss=mean_output)
    assert model.optimizer.inner_optimizer.settings.lr_multipliers == MULTIPLIERS


@pytest.mark.parametrize("layer", [
    keras.layers.LayerNormalization(), keras.layers.BatchNormalization(), keras.layers.GroupNormalization(1),
    keras.layers.RMSNormalization(),
], ids=lambda layer: type(layer).__name__)  # fmt: skip
def test_no_norm_decays(layer):
    layer.build((None, 4))
    assert layer.trainable_variables
    assert not any(decays(variable.path) for variable in layer.trainable_variables)


def test_embeddings_and_matrices_of_a_transformer_decay_and_its_biases_and_norms_do_not():
    from keras_hub.models import BertBackbone

    bert = BertBackbone(
        vocabulary_size=20, num_layers=1, num_heads=2, hidden_dim=4, intermediate_dim=8, max_sequence_length=6
    )
    last = {decays(variable.path): set() for variable in bert.trainable_variables}
    for variable in bert.trainable_variables:
        last[decays(variable.path)].add(variable.path.rsplit("/", 1)[-1])
    assert last == {True: {"kernel", "embeddings"}, False: {"bias", "gamma", "beta"}}
    assert sum("embeddings" in variable.path and decays(variable.path) for variable in bert.trainable_variables) >= 3


MIRRORED = """
import json, sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import contextlib, keras, numpy as np
from tests.optimizers.test_per_variable import MULTIPLIERS, SIZE, batches, fit, linear_model, values
from tltk.optimizers.spec import adamw, build, sgd
from tltk.optimizers.state import optimizer_state

def ours(make):
    def train(model, x):
        spec = make(0.1, weight_decay=0.3, clip_norm=0.4, ema_momentum=0.8, l2_sp=0.2)
        options = {"lr_multipliers": MULTIPLIERS, "anchors": {"low/kernel": np.ones((SIZE, 1), "float32")}}
        first = build(spec, 0.1, model.trainable_variables, **options)
        fit(model, first, x[:4])
        fit(model, build(spec, 0.1, model.trainable_variables, previous_state=optimizer_state(first), **options), x[4:])
    return train

def stock(model, x):
    fit(model, keras.optimizers.SGD(0.1, global_clipnorm=0.4), x)

differences = {}
for name, train in {"adamw": ours(adamw), "sgd": ours(sgd), "keras": stock}.items():
    ends = []
    for scope in (contextlib.nullcontext, tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope):
        keras.utils.set_random_seed(0)
        with scope():
            model = linear_model()
            train(model, batches(8))
        ends.append(np.concatenate([value.ravel() for value in values(model).values()]))
    differences[name] = float(np.abs(ends[0] - ends[1]).max())
print(json.dumps(differences))
"""


def test_two_mirrored_devices_take_the_same_steps_as_one():
    done = subprocess.run(
        [sys.executable, "-c", MIRRORED],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    differences = json.loads(done.stdout.splitlines()[-1])
    assert differences["adamw"] < 1e-5
    assert differences["sgd"] < 1e-5
    assert differences["keras"] > 1e-2  # clips the gradients of each replica before they are summed
