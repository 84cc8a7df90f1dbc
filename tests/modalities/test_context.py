import numpy as np
import tensorflow as tf

from tltk.modalities.context import Context


def test_outputs_are_averaged_over_the_elements_of_each_example():
    context = Context(tf.constant(3, tf.int64), tf.constant([0, 0, 2], tf.int64))
    outputs = np.array([[1.0, 0.0], [2.0, 4.0], [5.0, 5.0]], "float32")
    assert context.average(tf.constant(outputs)).numpy().tolist() == [[1.5, 2.0], [0.0, 0.0], [5.0, 5.0]]


def test_outputs_are_returned_unchanged_if_every_element_is_one_example():
    outputs = tf.constant([[1.0], [2.0]], tf.float16)
    assert Context(tf.constant(2, tf.int64)).average(outputs) is outputs
