import keras
import numpy as np
import pytest

from tltk.training import callback_state


class Own(keras.callbacks.Callback):
    count = 0

    def get_state(self):
        return {"count": self.count}

    def set_state(self, state):
        self.count = state["count"]


def test_the_state_of_early_stopping_and_of_a_callback_of_your_own():
    stopping, restored = keras.callbacks.EarlyStopping("loss"), keras.callbacks.EarlyStopping("loss")
    stopping.wait, stopping.best, stopping.best_weights, stopping.best_epoch = 2, 0.5, [np.ones(2)], 3
    callback_state.set_state(restored, callback_state.get_state(stopping))
    assert (restored.wait, restored.best, restored.best_epoch) == (2, 0.5, 3)
    own, restored = Own(), Own()
    own.count = 7
    callback_state.set_state(restored, callback_state.get_state(own))
    assert restored.count == 7


@pytest.mark.parametrize("separator", [",", ";"])
def test_rows_of_a_csv_logger_after_the_checkpoint_are_removed(tmp_path, separator):
    path = tmp_path / "log.csv"
    text = "epoch,loss\n0,1.5\n1,1.25\n2,1.0\n".replace(",", separator)
    path.write_text(text)
    logger = keras.callbacks.CSVLogger(path, separator=separator)
    callback_state.resume(logger, 2)
    assert logger.append and path.read_text() == text.replace(f"2{separator}1.0\n", "")
    callback_state.resume(logger, 0)
    assert path.read_text() == f"epoch{separator}loss\n"


def test_only_callbacks_of_unknown_state_are_named(caplog):
    class Unknown(keras.callbacks.Callback):
        pass

    for callback in (keras.callbacks.TerminateOnNaN(), keras.callbacks.EarlyStopping(), Own(), Unknown()):
        callback_state.resume(callback, 1)
    assert caplog.text.count("starts anew") == 1 and "Unknown" in caplog.text


def test_every_callback_of_keras_is_known_or_refused():
    from tltk.training.user_callbacks import _REFUSED

    classes = [value for value in vars(keras.callbacks).values() if isinstance(value, type)]
    known = (*callback_state._ATTRIBUTES, *callback_state._STATELESS)
    others = {keras_class.__name__ for keras_class in classes if keras_class not in known}
    assert others == {"Callback", "CallbackList", *_REFUSED}
