"""Warm-up requests are TensorFlow Serving's own messages, and the SavedModel answers them."""

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

import tltk
from tests.conftest import squares_model
from tltk.serving import warmup


def test_every_signature_is_asked_one_and_eight_at_a_time(tmp_path):
    done = tltk.export(squares_model(head=tltk.head(zero_init=False)), tmp_path / "squares", warmup=True)
    records = list(tf.data.TFRecordDataset(str(done.path / warmup.FILE)))
    asked = [prediction_log_pb2.PredictionLog.FromString(each.numpy()).predict_log.request for each in records]
    assert {each.model_spec.name for each in asked} == {"squares"}
    signatures = tf.saved_model.load(str(done.path)).signatures
    sizes = {}
    for request in asked:
        given = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        found = signatures[request.model_spec.signature_name](**given)
        sizes.setdefault(request.model_spec.signature_name, []).append(len(next(iter(found.values()))))
    assert sizes == {"serving_default": [1, 8], "embed": [1, 8], "predict_tensor": [1, 2]}  # two tensors are stored


def test_without_being_asked_for_there_are_none(tmp_path):
    done = tltk.export(squares_model(), tmp_path / "squares")
    assert not (done.path / warmup.FILE).exists()
