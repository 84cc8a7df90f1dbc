import numpy as np
import tensorflow as tf

from tltk.pipeline.finish import Finish
from tltk.pipeline.loader import Batch


def batch(*rest):
    return Batch(tf.constant(2, tf.int64), tf.constant(7, tf.int64), tf.constant([4, 5], tf.int64),
                 (tf.constant([[1], [2]], tf.uint8),), rest)  # fmt: skip


def test_inputs_are_cast_targets_encoded_and_weights_kept():
    inputs, rest = Finish("float32", lambda targets: tf.one_hot(targets, 3))(
        batch(tf.constant([0, 2]), tf.constant([1.0, 0.5]))
    )
    assert inputs.dtype == tf.float32 and rest[0].numpy().tolist() == [[1, 0, 0], [0, 0, 1]]
    assert rest[1].numpy().tolist() == [1.0, 0.5]


def test_an_augmentation_receives_epoch_batch_number_and_rows():
    def augment(inputs, targets, epoch, number, rows):
        return inputs + tf.cast(rows[:, None], tf.float32), targets + int(epoch) * 10 + int(number)

    inputs, rest = Finish("float32", augment=augment)(batch(tf.constant([0, 1])))
    assert inputs.numpy().ravel().tolist() == [5.0, 7.0] and rest[0].numpy().tolist() == [27, 28]


def test_without_targets_only_inputs_are_augmented():
    inputs, rest = Finish("float32", augment=lambda x, y, *_: (2 * x, y))(batch())
    assert rest == () and np.asarray(inputs).ravel().tolist() == [2.0, 4.0]
