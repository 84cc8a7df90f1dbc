"""The best epoch of a phase: scores, the weights that are kept, and early stopping."""

import keras
import numpy as np

from tltk.training.best_epoch import KeepBest, score


def test_a_score_is_larger_when_better():
    assert score({"val_accuracy": 0.5, "val_loss": 1.0}, ("accuracy", "max")) == (0.5, -1.0)
    assert score({"mae": 2.0, "loss": 1.0}, ("mae", "min"), prefix="") == (-2.0, -1.0)
    assert score({"val_accuracy": float("nan"), "val_loss": 1.0}, ("accuracy", "max"))[0] == -np.inf


def one_weight_model():
    x = keras.Input((1,))
    return keras.Model(x, keras.layers.Dense(1, use_bias=False)(x))


def run_epochs(callback, model, metrics):
    """Call `on_epoch_end` with each (accuracy, loss); the weight of the model is the epoch."""
    callback.set_model(model)
    model.stop_training = False
    for epoch, (accuracy, loss) in enumerate(metrics):
        model.set_weights([np.full((1, 1), epoch, "float32")])
        callback.on_epoch_end(epoch, {"val_accuracy": accuracy, "val_loss": loss})
        if model.stop_training:
            break


def test_keep_best_restores_the_best_epoch_and_breaks_ties_by_the_loss():
    model = one_weight_model()
    keep = KeepBest(model, ("accuracy", "max"), None)
    run_epochs(keep, model, [(0.5, 1.0), (0.9, 0.5), (0.9, 0.4), (0.8, 0.1)])
    keep.restore()
    assert model.get_weights()[0] == 2
    assert (keep.best_epoch, keep.best) == (3, (0.9, -0.4))


def test_training_stops_after_patience_epochs_without_improvement():
    model = one_weight_model()
    keep = KeepBest(model, ("accuracy", "max"), 2)
    run_epochs(keep, model, [(0.9, 1.0), (0.8, 1.0), (0.7, 1.0), (1.0, 1.0)])
    assert keep.best_epoch == 1
    assert model.stop_training
