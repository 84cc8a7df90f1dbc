import keras
import pytest
import tensorflow as tf

import tltk
from tests.conftest import squares, squares_model
from tltk.errors import OutOfMemory


def test_a_step_that_does_not_fit_says_what_takes_less(monkeypatch):
    def full(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[8,64]\ndetails")

    monkeypatch.setattr(keras.Model, "fit", full)
    with pytest.raises(OutOfMemory) as error:
        tltk.fit(squares_model(), squares(24), plan=tltk.train_all(), epochs=1, batch_size=8)
    message = str(error.value)
    for fragment in ("batches of 8", "16×16×3", "float32", "trainable parameters", "batch_size=4", "--accumulate 2"):
        assert fragment in message
    assert "OOM when allocating tensor" in message and "details" not in message
    assert isinstance(error.value.__cause__, tf.errors.ResourceExhaustedError)
