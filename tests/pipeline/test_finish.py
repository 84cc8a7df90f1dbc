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


def test_weights_are_blended_with_the_targets_they_belong_to():
    def blend(inputs, targets, *_):
        return inputs, 0.75 * targets + 0.25 * targets[::-1]  # as mixup does

    targets, weights = np.eye(2, dtype="float32")[[0, 1, 1, 0]], np.array([2, 0, 1, 0], "float32")
    finished = Finish("float32", None, blend, mixes=True)
    part = Batch(0, 0, np.arange(4), (np.zeros(4),), (tf.constant(targets), tf.constant(weights)))
    _, (blended, new_weights) = finished(part)
    np.testing.assert_allclose(new_weights, [1.5, 0.25, 0.75, 0.5])
    # The loss is linear in the targets: each example counts in proportion to its weight.
    expected = 0.75 * targets * weights[:, None] + 0.25 * (targets * weights[:, None])[::-1]
    np.testing.assert_allclose(blended * new_weights[:, None], expected, rtol=1e-6)
    _, (zero, none) = finished(part._replace(targets_and_weights=(tf.constant(targets), tf.zeros(4))))
    assert np.isfinite(zero).all() and not np.any(none)


def test_weights_travel_with_targets_in_a_dict_if_examples_are_blended():
    def blend(inputs, targets, *_):
        return inputs, {name: values[::-1] for name, values in targets.items()}

    part = Batch(0, 0, np.arange(2), (np.zeros(2),), ({"boxes": tf.eye(2)}, tf.constant([2.0, 5.0])))
    _, (targets, weights) = Finish("float32", None, blend, mixes=True)(part)
    assert weights.numpy().tolist() == [5, 2] and set(targets) == {"boxes"}
    _, (_, weights) = Finish("float32", None, blend)(part)
    assert weights.numpy().tolist() == [2, 5]


def test_targets_in_a_dict_are_augmented_before_they_are_encoded():
    order = []

    def augment(inputs, targets, *_):
        order.append("augment")
        return inputs, {"boxes": targets["boxes"] + 1}

    def encode(targets):
        order.append("encode")
        return targets["boxes"] * 10

    _, (targets,) = Finish("float32", encode, augment)(batch({"boxes": tf.constant([1, 2])}))
    assert order == ["augment", "encode"] and targets.numpy().tolist() == [20, 30]
