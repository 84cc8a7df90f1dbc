"""Sample weights in training and evaluation: 2 counts twice, 0 not at all, and plain Keras gives the same numbers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.conftest import coloured_squares, squares, squares_model
from tltk.errors import InvalidInput

NAMES = ("red", "green", "blue")


def one_step(**options):
    """Train one step of SGD on one batch."""
    options = {"schedule": "constant", "warmup": 0, **options}
    phase = tltk.Phase("one", tltk.train_all(), epochs=1, optimizer=tltk.sgd(0.1, momentum=0.0), **options)
    return tltk.Recipe("one", (phase,))


def fitted(train, val=None, recipe=None, **options):
    keras.utils.set_random_seed(0)
    model = squares_model(head=tltk.head(normalization=None))
    run = tltk.fit(model, train, val, recipe=recipe or one_step(), seed=1, **{"batch_size": 12, **options})
    history = {name: value for name, value in run.history[0].items() if name not in ("phase", "seconds")}
    return history, model.keras.get_weights()


def assert_equal(first, second):
    assert first[0] == pytest.approx(second[0], rel=1e-5)
    for one, other in zip(first[1], second[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_a_weight_of_2_is_the_example_twice_and_0_leaves_it_out():
    x, y = coloured_squares(12)
    weights = np.array([2, 0] + [1] * 10)
    rows = np.array([0, 0, *range(2, 12)])  # as many examples, by which Keras divides the loss
    weighted = fitted(*[tltk.from_arrays(x, y, labels=NAMES, sample_weight=weights)] * 2)
    repeated = fitted(*[tltk.from_arrays(x[rows], y[rows], labels=NAMES)] * 2)
    unweighted = fitted(*[tltk.from_arrays(x, y, labels=NAMES)] * 2)
    assert_equal(weighted, repeated)
    assert weighted[0]["val_loss"] != pytest.approx(unweighted[0]["val_loss"], rel=1e-4)


def test_a_step_is_that_of_keras_with_the_same_weights():
    x, y = coloured_squares(12)
    weights = np.linspace(0, 3, 12).astype("float32")
    source = tltk.from_arrays(x, y, labels=NAMES, sample_weight=weights)
    history, trained = fitted(source, source, class_weight={"red": 2.0})

    keras.utils.set_random_seed(0)
    plain = squares_model(head=tltk.head(normalization=None)).keras
    for layer in plain.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    plain.compile(keras.optimizers.SGD(0.1), "categorical_crossentropy", weighted_metrics=["accuracy"])
    pixels, targets = x.astype("float32"), np.eye(3)[y]
    products = weights * np.where(y == 0, 2, 1)
    validation = (pixels, targets, weights)
    expected = plain.fit(
        pixels, targets, sample_weight=products, validation_data=validation, batch_size=12, verbose=0
    ).history
    for name, (value,) in expected.items():
        assert history[name] == pytest.approx(value, rel=1e-5), name
    for weight, value in zip(trained, plain.get_weights(), strict=True):
        np.testing.assert_allclose(weight, value, rtol=1e-4, atol=1e-6)


def test_cached_features_of_a_dataset_train_like_the_batches_of_a_source():
    x, y = coloured_squares(20)  # the last batch is smaller
    weights = np.linspace(0, 2, 20).astype("float32")
    dataset = tf.data.Dataset.from_tensor_slices((x.astype("float32"), y, weights)).batch(8)
    source = tltk.from_arrays(x, y, labels=NAMES, sample_weight=weights)
    recipe = tltk.linear_probe(epochs=1)
    from_dataset = fitted(dataset, dataset, recipe, cache="memory", batch_size=8)
    plain_dataset = fitted(source.to_dataset(squares_model(), batch_size=8), source, recipe, cache="off", batch_size=8)
    assert_equal(from_dataset, plain_dataset)


def test_the_cached_features_of_a_shuffled_source_keep_their_weights():
    weighted = squares(20).with_sample_weight(np.linspace(0, 2, 20))
    recipe = tltk.linear_probe(epochs=1)
    cached, decoded = (fitted(weighted, weighted, recipe, cache=cache, batch_size=8) for cache in ("memory", "off"))
    assert_equal(cached, decoded)


def test_mixup_trains_with_weights():
    weighted = squares(12).with_sample_weight([0, 1] * 6)
    history, _ = fitted(weighted, recipe=one_step(augment=(tltk.augment.mixup(0.4), tltk.augment.cutmix())))
    assert np.isfinite(history["loss"])


def test_data_in_which_nothing_counts_is_refused():
    nothing = squares(8).with_sample_weight([0, 1] * 4)[[0, 2, 4]]
    with pytest.raises(InvalidInput, match="all 3 sample weights of `train` are 0"):
        fitted(nothing)
    with pytest.raises(InvalidInput, match="all 3 sample weights of `val` are 0"):
        fitted(squares(8), nothing)


def test_wrong_weights_of_a_dataset_are_named_before_training():
    x, y = coloured_squares(8)
    for weight, match in ((-1.0, "`train`, batch 0: row 0 has the sample weight -1"), ([1.0, 1.0], "one number per")):
        dataset = tf.data.Dataset.from_tensor_slices((x, y)).map(lambda x, y, weight=weight: (x, y, weight)).batch(4)
        with pytest.raises(InvalidInput, match=match):
            fitted(dataset)
