"""Every ready-made plan, batch-norm policy and precision: `fit` changes exactly the weights that the plan trains."""

import keras
import numpy as np
import pytest

from tests.conftest import WithStages, conv_net, transformer
from tltk.models.frozen_split import split_frozen_prefix
from tltk.trainability.apply import apply_plan
from tltk.trainability.plan import (
    Plan,
    Rule,
    bias_only,
    first_block,
    freeze,
    layer_decay,
    lora,
    norm_only,
    train_all,
    train_top,
    unfreeze_from,
)

POLICIES = ["frozen", "affine", "train"]
# The other precisions test the same flags with another arithmetic: one plan of each kind is enough.
OTHER_PRECISIONS = [
    pytest.param(name, precision, marks=pytest.mark.slow)
    for name in ("lora", "layer_decay")
    for precision in ("mixed_bfloat16", "mixed_float16")
]


def conv_model():
    body = conv_net(dropout=0.1)
    x = keras.layers.GlobalAveragePooling2D(name="head_pool")(body.output)
    x = keras.layers.BatchNormalization(name="head_norm", dtype="float32")(x)
    return WithStages(keras.Model(body.input, keras.layers.Dense(3, dtype="float32", name="head_output")(x)))


def batch(model):
    generator = np.random.default_rng(0)
    shape = (8, *model.input_shape[1:])
    y = generator.integers(0, 3, 8)
    return (generator.integers(0, 30, shape) if len(shape) == 2 else generator.normal(size=shape)), y


def contents(model):
    return {variable.path: np.array(variable).tobytes() for variable in model.weights}


def fit(model, plan, precision="float32"):
    """Train as a phase does and return the paths of the weights that moved, and the optimizer."""
    before = contents(model.keras)
    x, y = batch(model.keras)
    with apply_plan(plan, model) as effect:
        frozen_split = split_frozen_prefix(model.keras, effect.decisions)
        optimizer = keras.optimizers.Adam(1e-2)
        if precision == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=1024.0)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        frozen_split.model.compile(optimizer, loss, run_eagerly=True, auto_scale_loss=False)
        learning = {variable.path for variable in frozen_split.model.trainable_variables}
        assert learning == set(effect.lr_multipliers) == {variable.path for variable in model.keras.trainable_variables}
        frozen_split.model.fit(x, y, batch_size=4, epochs=1, verbose=0)
        momentums = (
            {variable.path for variable in optimizer.inner_optimizer._momentums}
            if precision == "mixed_float16"
            else {variable.path for variable in optimizer._momentums}
        )
        assert len(momentums) == len(learning)
    after = contents(model.keras)
    assert list(after) == list(before)
    return {path for path in before if before[path] != after[path]}


# Plan → what it is, and the action it means for a layer of a stage, written down a second time.
CONV_PLANS = {
    "freeze": (lambda bn: Plan(freeze().rules, bn), lambda layer: "frozen"),
    "unfreeze_from": (
        lambda bn: unfreeze_from("conv3", batch_norm=bn),
        lambda layer: "train" if layer.startswith("conv3") else "frozen",
    ),
    "train_top": (
        lambda bn: train_top(layers=3, batch_norm=bn),
        lambda layer: "train" if layer in ("conv2_bn", "conv3_conv", "conv3_bn") else "frozen",
    ),
    "train_top fraction": (
        lambda bn: train_top(fraction=0.5, batch_norm=bn),
        lambda layer: "train" if layer in ("conv2_bn", "conv3_conv", "conv3_bn") else "frozen",
    ),
    "train_all": (lambda bn: train_all(batch_norm=bn), lambda layer: "train"),
    "first_block": (
        lambda bn: first_block(batch_norm=bn),
        lambda layer: "train" if layer.startswith("stem") else "frozen",
    ),
    "lora": (lambda bn: Plan(lora(2).rules, bn), lambda layer: "lora"),
    "bias_only": (lambda bn: bias_only(batch_norm=bn), lambda layer: "bias"),
    "norm_only": (lambda bn: norm_only(batch_norm=bn), lambda layer: "norm"),
    "layer_decay": (lambda bn: layer_decay(0.5, batch_norm=bn), lambda layer: "train"),
}


def moves(layer, weight, action, policy):
    """Say whether a weight of a convolutional net shall move."""
    if layer.startswith("head"):
        return True
    if layer.endswith("_bn"):
        if action in ("frozen", "lora") or policy == "frozen":
            return False
        if weight.startswith("moving"):
            return policy == "train"
        return action != "bias" or weight == "beta"
    return {"frozen": False, "train": True, "lora": weight == "kernel", "bias": weight == "bias", "norm": False}[action]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", CONV_PLANS)
def test_in_a_convolutional_network_exactly_the_planned_weights_change(name, policy):
    check_conv_plan(name, policy, "float32")


@pytest.mark.parametrize(("name", "precision"), OTHER_PRECISIONS)
def test_in_a_convolutional_network_of_16_bits_the_same_weights_change(name, precision):
    check_conv_plan(name, "affine", precision)


def check_conv_plan(name, policy, precision):
    keras.config.set_dtype_policy(precision)
    make, action = CONV_PLANS[name]
    model = conv_model()
    expected = set()
    for variable in model.keras.weights:
        layer, weight = variable.path.split("/")
        if moves(layer, weight, action(layer), policy):
            expected.add(variable.path)
    assert fit(model, make(policy), precision) == expected


TRANSFORMER_PLANS = {
    "freeze": (freeze(), lambda layer, weight: False),
    "unfreeze_from": (unfreeze_from("block2"), lambda layer, weight: layer.startswith("block2")),
    "train_top": (train_top(layers=2), lambda layer, weight: layer in ("block2_up", "block2_down")),
    "train_all": (train_all(), lambda layer, weight: True),
    "first_block": (first_block(), lambda layer, weight: layer == "embedding"),
    "lora": (lora(2), lambda layer, weight: weight in ("kernel", "embeddings")),
    "lora target": (
        Plan((Rule("head", "train"), Rule("block*", "lora", rank=2, target="query,value"), Rule("*", "frozen"))),
        lambda layer, weight: layer.endswith(("query", "value")) and weight == "kernel",
    ),
    "bias_only": (bias_only(), lambda layer, weight: weight in ("bias", "beta")),
    "norm_only": (norm_only(), lambda layer, weight: weight in ("gamma", "beta")),
    "layer_decay": (layer_decay(0.5), lambda layer, weight: True),
}


@pytest.mark.parametrize(("name", "precision"), [*((name, "float32") for name in TRANSFORMER_PLANS), *OTHER_PRECISIONS])
def test_in_a_transformer_exactly_the_planned_weights_change(name, precision):
    keras.config.set_dtype_policy(precision)
    plan, shall_move = TRANSFORMER_PLANS[name]
    model = WithStages(transformer())
    expected = set()
    for variable in model.keras.weights:
        layer, weight = variable.path.rsplit("/", 1)
        if layer.startswith("head") or shall_move(layer, weight):
            expected.add(variable.path)
    # A shift of all keys shifts all scores of a query alike, which softmax does not see: its gradient is rounding.
    blind = {path for path in expected if path.endswith("key/bias")}
    assert fit(model, plan, precision) - blind == expected - blind


def test_batch_norm_learns_its_affine_part_in_inference_mode():
    model = conv_model()
    layer = model.keras.get_layer("conv2_bn")
    data = np.random.default_rng(1).normal(3.0, 2.0, (4, 8, 8, 8)).astype("float32")
    inference = np.array(layer(data, training=False))
    with apply_plan(train_all(batch_norm="affine"), model):
        assert not layer.trainable
        assert [variable.trainable for variable in (layer.gamma, layer.beta)] == [True, True]
        np.testing.assert_array_equal(layer(data, training=True), inference)
    with apply_plan(train_all(batch_norm="train"), model):
        assert np.abs(np.array(layer(data, training=True)) - inference).max() > 1


def test_plain_keras_freezes_the_affine_part_with_the_layer():
    # The trap: there is no flag for "inference mode, but scale and shift learn"; a layer's flag overwrites its
    # variables', and a variable's set before is lost.
    layer = keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((3,)), layer])
    layer.gamma.trainable = True
    layer.trainable = False
    assert not model.trainable_variables
    layer.gamma.trainable = True
    assert [variable.path.rsplit("/", 1)[-1] for variable in model.trainable_variables] == ["gamma"]


def test_plain_keras_does_not_open_again_what_is_open_already():
    # The trap: setting a flag to the value it has does nothing (keras/src/backend/tensorflow/trackable.py), so neither
    # `model.trainable = True` nor `layer.trainable = True` reaches a variable that was switched off below it.
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="out")])
    model.layers[0].kernel.trainable = False
    model.trainable = True
    model.layers[0].trainable = True
    assert len(model.trainable_variables) == 1
    with apply_plan(Plan((Rule("out", "train"),)), model):
        assert len(model.trainable_variables) == 2
    assert len(model.trainable_variables) == 1
