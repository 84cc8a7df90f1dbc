"""Callbacks of a phase: divergence check, step counts, epoch numbers and history rows."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import squares
from tltk.modalities.batches import batches
from tltk.optimizers.per_variable import KERAS_OPTIMIZERS
from tltk.optimizers.spec import Optimizer, adamw, build, sgd
from tltk.specs import ImageSpec
from tltk.training.callbacks import CountSteps, ReportProgress, SetPosition, StopOnNan
from tltk.training.phase_data import ignore_unknown_length_warning


def test_a_loss_that_is_nan_raises_an_error_with_advice():
    with pytest.raises(FloatingPointError, match=r"became nan in epoch 3.*learning rate ten times lower"):
        callback = StopOnNan(lambda epoch, step: "")
        callback.on_epoch_begin(2)
        callback.on_train_batch_end(0, {"loss": 0.5})
        callback.on_train_batch_end(1, {"loss": float("nan")})


def test_progress_is_reported_with_one_row_per_epoch():
    rows, steps = [], []
    progress = ReportProgress("probe", 2, lambda count=1, note="": steps.append(count), rows.append)
    progress.on_epoch_begin(0)
    progress.on_train_batch_end(0)
    progress.on_epoch_end(0, {"loss": np.float32(0.5)})
    assert rows[0].items() >= {"phase": "probe", "epoch": 1, "loss": 0.5}.items()
    assert steps == [1, 0]


def optimizer_after_training(callbacks, *, optimizer=None):
    """Train 4 epochs of 3 batches from a dataset of unknown length, and return the optimizer."""

    def three_batches():
        for _ in range(3):
            yield np.ones((2, 4), "float32"), np.ones((2, 1), "float32")

    signature = (tf.TensorSpec([None, 4]), tf.TensorSpec([None, 1]))
    data = tf.data.Dataset.from_generator(three_batches, output_signature=signature)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(optimizer or keras.optimizers.Adam(1e-3), "mse", jit_compile=False, auto_scale_loss=False)
    with ignore_unknown_length_warning():
        model.fit(data, epochs=4, callbacks=callbacks, shuffle=False, verbose=0)
    return model.optimizer


def test_set_epoch_makes_keras_read_each_epoch_in_its_own_order():
    loader = batches(squares(12), ImageSpec(16, 16), batch_size=4, shuffle=True, seed=3)
    position = [tf.Variable(0, dtype=tf.int64, trainable=False) for _ in range(2)]
    rows = []

    class RecordBatches(keras.layers.Layer):
        def call(self, values):
            tf.py_function(lambda first_pixels: rows.append(first_pixels.numpy().tolist()), [values[:, 0, 0, 0]], [])
            return keras.ops.mean(values, (1, 2, 3))[:, None]

    pixels = keras.Input((16, 16, 3))
    model = keras.Model(pixels, keras.layers.Dense(1)(RecordBatches()(pixels)))
    model.compile("sgd", "mse", jit_compile=False)
    with ignore_unknown_length_warning():
        position_callback = SetPosition(*position, first_batch=1)
        model.fit(loader.dataset(*position), epochs=3, callbacks=[position_callback], shuffle=False, verbose=0)
    expected = [[batch[0][:, 0, 0, 0].numpy().tolist() for batch in loader.dataset(number)] for number in range(3)]
    assert expected[0] != expected[1] != expected[2]
    expected[0] = expected[0][1:]  # the first epoch begins with batch 1
    assert rows == [batch for batches_of_epoch in expected for batch in batches_of_epoch]


def test_plain_keras_counts_one_extra_batch_per_epoch():
    assert int(optimizer_after_training([]).iterations) == 16


def test_count_steps_corrects_the_count_to_the_trained_batches():
    assert int(optimizer_after_training([CountSteps()]).iterations) == 12
    accumulating = keras.optimizers.Adam(1e-3, gradient_accumulation_steps=2)
    assert int(optimizer_after_training([CountSteps()], optimizer=accumulating).iterations) == 6
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-3))
    assert int(optimizer_after_training([CountSteps()], optimizer=scaled).inner_optimizer.iterations) == 12


@pytest.mark.parametrize(("make_spec", "steps"), [(adamw, 2), (sgd, 4), (sgd, 1)])
@pytest.mark.parametrize(
    "options", [{}, {"ema_momentum": 0.9}, {"weight_decay": 0.1, "clip_norm": 1.0}, {"l2_sp": 0.1}]
)
def test_epochs_of_unknown_length_train_to_the_same_weights_as_epochs_of_known_length(steps, make_spec, options):
    assert_the_length_of_an_epoch_does_not_matter(make_spec(1e-2, gradient_accumulation_steps=steps, **options))


@pytest.mark.parametrize("name", sorted(set(KERAS_OPTIMIZERS) - {"adamw", "sgd"}))
def test_epochs_of_unknown_length_train_every_optimizer_to_the_same_weights(name):
    assert_the_length_of_an_epoch_does_not_matter(Optimizer(name, 1e-2, weight_decay=0.1))


def assert_the_length_of_an_epoch_does_not_matter(spec):
    x = np.random.default_rng(0).random((12, 4)).astype("float32")
    y = x.sum(1, keepdims=True) * 3
    anchors = {"sequential/dense/kernel": np.zeros((4, 1), "float32")} if spec.l2_sp else None

    def weights_after(data):
        layer = keras.layers.Dense(1, kernel_initializer="ones", name="dense")
        model = keras.Sequential([keras.Input((4,)), layer], name="sequential")
        optimizer = build(spec, spec.learning_rate, model.trainable_variables, anchors=anchors)
        model.compile(optimizer, "mse", jit_compile=False)
        with ignore_unknown_length_warning():
            model.fit(data, epochs=6, callbacks=[CountSteps()], shuffle=False, verbose=0)
        return [
            *model.get_weights(),
            *(gradient.numpy() for gradient in getattr(optimizer, "_accumulated_gradients", ())),
        ]

    known = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    unknown = known.filter(lambda *_: True)
    assert unknown.cardinality() == tf.data.UNKNOWN_CARDINALITY
    for expected, weight in zip(weights_after(known), weights_after(unknown), strict=True):
        np.testing.assert_array_equal(weight, expected)
