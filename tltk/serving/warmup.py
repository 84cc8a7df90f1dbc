"""Warm-up requests: TensorFlow Serving replays them while it loads a version, so that no client has to wait."""

from collections.abc import Mapping
from importlib import util
from pathlib import Path
from typing import Any

import tensorflow as tf

from tltk.foundation import checks as check

FILE = Path("assets.extra") / "tf_serving_warmup_requests"  # the name that TensorFlow Serving looks for
_SIZES = (1, 8)  # examples a request


def check_installed() -> None:
    """Raise unless the official messages are installed.

    Raises:
        MissingExtraError: naming the extra that brings them.
    """
    if util.find_spec("tensorflow_serving") is None:
        raise check.MissingExtraError(
            "warm-up requests are messages of TensorFlow Serving's: pip install tltk[serving]",
            name="tensorflow_serving",
        )


def write(saved_model: Path, stored: Mapping[str, Mapping[str, Mapping[str, Any]]], *, name: str) -> None:
    """Store requests for TensorFlow Serving inside a SavedModel.

    Args:
        saved_model: its folder.
        stored: signature → "ask" → name → rows; the first of them are asked, one and eight at a time.
        name: of the model, as it is served.
    """
    from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

    place = saved_model / FILE
    place.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(place)) as writer:
        for signature, sides in stored.items():
            for size in _SIZES:
                request = predict_pb2.PredictRequest(
                    model_spec=model_pb2.ModelSpec(name=name, signature_name=signature),
                    inputs={key: tf.make_tensor_proto(rows[:size]) for key, rows in sides["ask"].items()},
                )
                log = prediction_log_pb2.PredictLog(request=request)
                writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())
