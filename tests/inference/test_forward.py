import gc
import weakref

import numpy as np
import tensorflow as tf

import tltk
from tests.conftest import squares, squares_model
from tltk.inference.forward import as_array, decoder_of, network_of


def test_graphs_are_traced_once_for_each_model_and_die_with_it():
    model = squares_model()
    assert network_of(model) is network_of(model) and decoder_of(model) is decoder_of(model)
    held = weakref.ref(model.keras)
    tltk.predict(model, squares(2))
    del model
    gc.collect()
    assert held() is None


def test_a_graph_reads_weights_as_they_are_now():
    model, pixels = squares_model(head=tltk.head(zero_init=False)), tf.constant(squares(2).examples, tf.float32)
    network = network_of(model)
    before = network(pixels).numpy()
    model.keras.get_layer("head_output").bias.assign([0.0, 500.0, 0.0])
    np.testing.assert_allclose(network(pixels), model.keras(pixels, training=False), atol=1e-6)
    assert np.abs(network(pixels) - before).max() > 0.1


def test_strings_become_str_in_any_shape():
    column = tf.constant([["é", ""], ["b", "c"]])
    assert as_array(column).tolist() == [["é", ""], ["b", "c"]]
