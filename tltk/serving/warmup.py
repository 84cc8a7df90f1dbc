"""Warm-up requests: TensorFlow Serving replays them while it loads a model, so that the first client need not wait."""

from collections.abc import Mapping
from importlib import util
from pathlib import Path
from typing import Any

import tensorflow as tf

from tltk.foundation.errors import MissingExtra

FILE = Path("assets.extra") / "tf_serving_warmup_requests"  # the path that TensorFlow Serving reads
_BATCH_SIZES = (1, 8)


def check_installed() -> None:
    """Raise unless TensorFlow Serving's message types are installed.

    Raises:
        MissingExtra: With the extra to install.
    """
    if util.find_spec("tensorflow_serving") is None:
        raise MissingExtra(
            "`warmup=True` requires the package tensorflow-serving-api: pip install tltk[serving]",
            name="tensorflow_serving",
        )


def write(saved_model: Path, stored: Mapping[str, Mapping[str, Mapping[str, Any]]], *, name: str) -> None:
    """Store warm-up requests inside a SavedModel.

    Args:
        saved_model: Folder of the SavedModel.
        stored: Signature → "inputs" → name → values; the first 1 and the first 8 become a request each.
        name: Name under which TensorFlow Serving serves the model.
    """
    from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

    file = saved_model / FILE
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for signature, sides in stored.items():
            for batch_size in _BATCH_SIZES:
                request = predict_pb2.PredictRequest(
                    model_spec=model_pb2.ModelSpec(name=name, signature_name=signature),
                    inputs={key: tf.make_tensor_proto(values[:batch_size]) for key, values in sides["inputs"].items()},
                )
                log = prediction_log_pb2.PredictLog(request=request)
                writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())
