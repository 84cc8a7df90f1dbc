"""Warm-up requests are messages of TensorFlow Serving that the SavedModel can process."""

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

import tltk
from tests.conftest import squares_model
from tltk.serving import warmup

pytestmark = pytest.mark.usefixtures("replay_here")


def test_every_signature_has_warmup_requests_of_batch_size_1_and_8(tmp_path):
    exported = tltk.export(squares_model(head=tltk.head(zero_init=False)), tmp_path / "squares", warmup=True)
    records = list(tf.data.TFRecordDataset(str(exported.path / warmup.FILE)))
    requests = [prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request for record in records]
    assert {request.model_spec.name for request in requests} == {"squares"}
    signatures = tf.saved_model.load(str(exported.path)).signatures
    sizes = {}
    for request in requests:
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        outputs = signatures[request.model_spec.signature_name](**inputs)
        sizes.setdefault(request.model_spec.signature_name, []).append(len(next(iter(outputs.values()))))
    assert sizes == {"serving_default": [1, 8], "embed": [1, 8], "predict_tensor": [1, 2]}  # two tensors are stored


def test_by_default_no_warmup_requests_are_stored(tmp_path):
    exported = tltk.export(squares_model(), tmp_path / "squares")
    assert not (exported.path / warmup.FILE).exists()
