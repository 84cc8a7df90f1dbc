import keras
import numpy as np
import pytest

from tests.optimizers.test_per_variable import BATCH, SIZE, batches, linear_model, mean_output, values
from tltk.optimizers.ema import AveragedWeights
from tltk.optimizers.spec import adamw, build, sgd

KERNEL = "low/kernel"


class Seen(keras.callbacks.Callback):
    """Record the weights of the model and the averages of the optimizer at each event."""

    def __init__(self):
        super().__init__()
        self.moments = []

    def note(self, moment):
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        average = optimizer._model_variables_moving_average[0].numpy().copy()
        self.moments.append((moment, self.model.trainable_variables[0].numpy().copy(), average))

    def on_train_batch_end(self, batch, logs=None):
        self.note("batch")

    def on_test_batch_end(self, batch, logs=None):
        self.note("validation")

    def on_epoch_end(self, epoch, logs=None):
        self.note("epoch end")

    def on_train_batch_begin(self, batch, logs=None):
        self.note("batch begins")

    def on_train_end(self, logs=None):
        self.note("end")


class StopAfter(keras.callbacks.Callback):
    """Stop training early, as patience does."""

    def __init__(self, epoch):
        super().__init__()
        self.last = epoch

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == self.last


def trained(callbacks, *, validated=True, epochs=3, spec=None, scaled=False):
    keras.utils.set_random_seed(0)
    model, x = linear_model(), batches(2).reshape(-1, 2 * SIZE)
    y = np.zeros((len(x), 1))
    optimizer = build(spec or adamw(0.1, ema_momentum=0.8), 0.1, model.trainable_variables, loss_scaling=scaled)
    model.compile(optimizer, loss=mean_output, auto_scale_loss=False)
    options = {"validation_data": (x, y)} if validated else {}
    history = model.fit(x, y, batch_size=BATCH, epochs=epochs, callbacks=callbacks, shuffle=False, verbose=0, **options)
    return model, history


@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "loss scaling"])
@pytest.mark.parametrize("validated", [True, False], ids=["validated", "not validated"])
def test_validation_and_later_callbacks_see_the_averages_and_training_the_raw_weights(validated, scaled):
    seen = Seen()
    trained([AveragedWeights(), seen], validated=validated, scaled=scaled)
    last = None
    for moment, weight, average in seen.moments:
        if moment in ("validation", "epoch end", "end"):
            np.testing.assert_array_equal(weight, average)
        elif moment == "batch begins" and last is not None:
            np.testing.assert_array_equal(weight, last)
        elif moment == "batch":
            last = weight
    assert {moment for moment, *_ in seen.moments} >= {"epoch end", "end", "batch"}


def test_training_goes_on_bit_for_bit_as_without_validation():
    ends = []
    for callbacks, validated in (([AveragedWeights()], True), ([], False)):
        seen = Seen()
        trained([*callbacks, seen], validated=validated)
        ends.append([weight for moment, weight, _ in seen.moments if moment == "batch"])
    np.testing.assert_array_equal(ends[0], ends[1])


def test_the_validation_loss_is_that_of_the_averages():
    model, history = trained([AveragedWeights()], epochs=1)
    x = batches(2).reshape(-1, 2 * SIZE)
    assert history.history["val_loss"][0] == pytest.approx(
        model.evaluate(x, np.zeros((len(x), 1)), verbose=0), abs=1e-6
    )
    _, raw = trained([], epochs=1)
    assert abs(raw.history["val_loss"][0] - history.history["val_loss"][0]) > 1e-3


def test_stopping_early_leaves_the_averages_where_keras_own_callback_leaves_the_raw_weights():
    seen = Seen()
    model, _ = trained([AveragedWeights(), StopAfter(0), seen])
    average = seen.moments[-1][2]
    np.testing.assert_array_equal(values(model)[KERNEL], average)
    seen = Seen()
    stock, _ = trained([keras.callbacks.SwapEMAWeights(swap_on_epoch=True), StopAfter(0), seen])
    raw = [weight for moment, weight, _ in seen.moments if moment == "batch"][-1]
    np.testing.assert_allclose(values(stock)[KERNEL], raw, atol=1e-6)
    assert np.abs(values(stock)[KERNEL] - average).max() > 1e-3


def test_the_callback_of_keras_has_restored_the_raw_weights_at_the_end_of_an_epoch():
    seen = Seen()
    trained([keras.callbacks.SwapEMAWeights(), seen])
    ended = [(weight, average) for moment, weight, average in seen.moments if moment == "epoch end"]
    assert all(np.abs(weight - average).max() > 1e-3 for weight, average in ended)


def test_keras_own_callback_rounds_the_raw_weights_at_each_validation():
    raw = []
    for callbacks, validated in (([keras.callbacks.SwapEMAWeights()], True), ([], False)):
        seen = Seen()
        trained([*callbacks, seen], validated=validated, epochs=10)
        raw.append([weight for moment, weight, _ in seen.moments if moment == "batch"])
    np.testing.assert_allclose(raw[0], raw[1], atol=1e-5)
    assert not np.array_equal(raw[0], raw[1])


def test_an_interrupted_fit_does_not_affect_the_next_one():
    class Break(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    averaged = AveragedWeights()
    with pytest.raises(KeyboardInterrupt):
        trained([averaged, Break()])
    seen = Seen()
    model, _ = trained([averaged, seen], epochs=1)
    reference, _ = trained([AveragedWeights()], epochs=1)
    np.testing.assert_array_equal(values(model)[KERNEL], values(reference)[KERNEL])


def test_an_optimizer_without_averages_is_an_error():
    with pytest.raises(
        ValueError, match=r"the optimizer computes no averages. Build it with adamw\(ema_momentum=0.99\)"
    ):
        trained([AveragedWeights()], spec=sgd(0.1))
