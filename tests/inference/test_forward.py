import gc
import weakref
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.conftest import coloured_squares, squares_model
from tltk.feature_cache import compute as compute_module
from tltk.inference import forward
from tltk.inference.forward import Decoder, as_array, decoder_of, network_of
from tltk.modalities.context import Context
from tltk.tasks import Task


def seeded_model():
    return squares_model(head=tltk.head(zero_init=False))


def test_a_model_is_traced_once_for_many_predictions(monkeypatch):
    traces = []
    trace_network, trace_decoder = forward._trace_network, forward._trace_decoder
    monkeypatch.setattr(forward, "_trace_network", lambda model: traces.append("network") or trace_network(model))
    monkeypatch.setattr(forward, "_trace_decoder", lambda *args: traces.append("decoder") or trace_decoder(*args))
    model = seeded_model()
    for count in (3, 1, 5, 8):
        tltk.predict(model, coloured_squares(count)[0])
    tltk.evaluate(model, tltk.from_arrays(*coloured_squares(6), labels=("red", "green", "blue")))
    assert sorted(traces) == ["decoder", "network"]


def test_features_are_traced_once_for_many_calls(monkeypatch):
    traces, trace = [], compute_module._trace
    monkeypatch.setattr(compute_module, "_trace", lambda *args: traces.append(args) or trace(*args))
    model = seeded_model()
    first = tltk.embed(model, coloured_squares(4)[0])
    model.keras.get_layer("stem_conv").bias.assign_add([1.0, 2.0, 3.0, 4.0])
    second = tltk.embed(model, coloured_squares(3)[0])
    assert len(traces) == 1
    assert not np.allclose(first.features[:3], second.features)
    higher_head = replace(model, stages=model.stages | dict.fromkeys(("conv3_conv", "conv3_bn", "conv3_relu"), "head"))
    assert not np.allclose(tltk.embed(higher_head, coloured_squares(3)[0]).features, second.features)


def test_the_graph_reads_changed_weights():
    model = seeded_model()
    pixels = coloured_squares(2)[0].astype("float32")
    before = np.asarray(network_of(model)(pixels))
    model.keras.get_layer("head_output").kernel.assign_add(tf.ones([8, 3]) * [0.0, 1.0, 2.0])
    after = np.asarray(network_of(model)(pixels))
    assert not np.allclose(before, after)
    np.testing.assert_allclose(after, model.keras.predict(pixels, verbose=0), rtol=1e-5)


def test_a_model_is_traced_again_when_a_layer_gets_lora():
    model = seeded_model()
    pixels = coloured_squares(2)[0].astype("float32")
    network_of(model)(pixels)
    layer = model.keras.get_layer("head_output")
    layer.enable_lora(1)
    layer.lora_kernel_b.assign(keras.ops.ones_like(layer.lora_kernel_b) * [0.0, 1.0, 2.0])
    outputs = np.asarray(network_of(model)(pixels))
    np.testing.assert_allclose(outputs, np.asarray(model.keras(pixels, training=False)), rtol=1e-5)


def test_graphs_are_freed_with_their_model():
    model = seeded_model()
    tltk.predict(model, coloured_squares(2)[0])
    tltk.embed(model, coloured_squares(2)[0])
    network = weakref.ref(model.keras)
    assert model.keras in forward._graphs
    del model
    gc.collect()
    assert network() is None


def test_a_decoder_is_rebuilt_when_the_task_of_a_network_changes():
    model = seeded_model()
    relabelled = replace(model, task=tltk.classification(["x", "y", "z"]))
    pixels = coloured_squares(3)[0]
    assert {prediction.label for prediction in tltk.predict(model, pixels)} <= {"red", "green", "blue"}
    assert {prediction.label for prediction in tltk.predict(relabelled, pixels)} <= {"x", "y", "z"}
    assert decoder_of(relabelled) is decoder_of(relabelled)


def test_decoders_leave_out_constant_columns_and_return_str():
    task = tltk.classification(["cat", "dög"])
    columns = Decoder(task)(np.eye(2, dtype="float32"), Context(tf.constant(2, tf.int64)))
    assert set(columns) == {"label", "probability", "probabilities"}
    assert columns["label"].tolist() == ["cat", "dög"]
    assert as_array(tf.constant([["a"], ["é"]])).tolist() == [["a"], ["é"]]
    assert as_array(tf.constant([1.5])).dtype == np.float32


class Shapes(Task):
    """Decodes outputs to their ranks."""

    name = "shapes"

    def outputs(self, features, *, mask=None, seed=0):
        """Never built."""

    def loss(self):
        """Never called."""

    def decode(self, outputs, context):
        return {name: tf.zeros([context.count, len(value.shape)]) for name, value in outputs.items()}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_outputs_may_be_a_dict_of_any_ranks_and_dtypes(dtype):
    outputs = {"one": tf.zeros([2, 3], dtype), "many": tf.zeros([2, 4, 5, 3], dtype)}
    columns = Decoder(Shapes())(outputs, Context(tf.constant(2, tf.int64)))
    assert columns["one"].shape == (2, 2) and columns["many"].shape == (2, 4)
