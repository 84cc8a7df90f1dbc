"""Formats other than the SavedModel: ONNX, OpenVINO, LiteRT. Each holds the network, and a page of what it means."""

import json
import warnings
from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.modalities.modality import modality_of
from tltk.models.transfer_model import TransferModel
from tltk.pipeline.batching import Order
from tltk.pipeline.readers import whole_batches
from tltk.serving import certificate
from tltk.serving import warmup as warm
from tltk.serving.replay import runtimes
from tltk.serving.saved_model import sample_requests
from tltk.serving.signatures import request_reader

FORMATS = ("saved_model", "onnx", "openvino", "litert", "litert_float16", "litert_int8")
ABOUT = "model.json"
_PACKAGES = {"onnx": ("tf2onnx", "onnxruntime"), "openvino": ("openvino",), "litert": ("ai_edge_litert",)}
_TOLERANCE = {"onnx": 1e-4, "openvino": 1e-4, "litert": 1e-4, "litert_float16": 2e-2}
_STEP = 0.02  # by which whole numbers of 8 bits may differ from machine to machine
_USELESS = 0.5  # a difference at which a network in 8 bits is another one
_STORED, _CALIBRATION = 4, 100  # tensors of a certificate; examples that ranges are measured on


def check_options(file_format: str, *, requests: bool, calibration: Source | None, warmup: bool) -> None:
    """Raise unless a format is known, its packages are installed, and its options are its own.

    Raises:
        MissingExtraError: naming the extra that brings them.
        ValueError: for anything else.
    """
    check.one_of("format", file_format, FORMATS)
    extra = file_format.split("_", maxsplit=1)[0]
    missing = [name for name in _PACKAGES.get(extra, ()) if util.find_spec(name) is None]
    if missing:
        raise check.MissingExtraError(
            f"format={file_format!r} needs {check.listing(missing)}: pip install tltk[{extra}]", name=missing[0]
        )
    problems = check.Problems()
    if requests and file_format != "saved_model":
        problems.add(f"`requests` are of a SavedModel; {file_format!r} takes tensors")
    if warmup and file_format != "saved_model":
        problems.add(f"`warmup` is of a SavedModel. Received: {file_format!r}")
    if (calibration is None) == (file_format == "litert_int8"):
        problems.add(f"`calibration` goes with format='litert_int8', and it needs one. Received: {file_format!r}")
    problems.raise_if_any()
    if warmup:
        warm.check_installed()


def write(model: TransferModel, folder: Path, file_format: str, calibration: Source | None) -> None:
    """Write a network, what it means (`model.json`) and its certificate.

    Args:
        model: of any precision; what is written is its copy in float32.
        folder: that does not exist yet.
        file_format: one of `FORMATS`, not "saved_model".
        calibration: of "litert_int8".

    Raises:
        ValueError: if the network has several outputs.
    """
    outputs = model.task.describe_outputs()
    if len(outputs) > 1:
        raise ValueError(
            f"format={file_format!r} holds networks with one output; this one has {check.listing(outputs)}. "
            'Use format="saved_model".'
        )
    folder.mkdir()
    plain = in_float32(model.keras) if model.precision != "float32" else model.keras
    tensor = sample_tensor(model)
    expected = np.asarray(plain(tensor, training=False), "float32")
    signature = [tf.TensorSpec([None, *model.input.shape], model.input.dtype, name=model.input.name)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Keras looks for an old name of NumPy's (tf2onnx_lib.py)
        file = _convert(plain, folder, file_format, signature, lambda: _calibrating(model, calibration))
    tolerance = _TOLERANCE.get(file_format)
    if tolerance is None:
        apart = np.abs(runtimes.load(str(file))(tensor) - expected) / np.maximum(1.0, np.abs(expected))
        if not apart.max() <= _USELESS:
            raise check.ServingError(
                f"in 8 bits answers to generated examples differ by up to {apart.max():.2g}, too much to be of use. "
                "Are the `calibration` examples like those that will be asked? Else take litert_float16."
            )
        tolerance = float(apart.max()) + _STEP
    (folder / ABOUT).write_text(json.dumps(_about(model, file_format), indent=2, ensure_ascii=False), "utf-8")
    stored = {"predict_tensor": {"ask": {model.input.name: tensor}, "answer": {"outputs": expected}}}
    certificate.write(folder, stored, tolerance=tolerance)


def in_float32(model: keras.Model) -> keras.Model:
    """Copy a functional model whose layers compute in 16 bits into one that computes in float32."""

    def plain(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        return type(layer).from_config({**config, "dtype": "float32"} if "dtype" in config else config)

    copy = keras.models.clone_model(model, clone_function=plain)
    copy.set_weights(model.get_weights())
    return copy


def _convert(
    model: keras.Model,
    folder: Path,
    file_format: str,
    signature: list[tf.TensorSpec],
    calibrating: Callable[[], Iterator[list[np.ndarray]]],
) -> Path:
    if file_format == "onnx":
        _teach_erfc()
        file = folder / "model.onnx"
        model.export(str(file), format="onnx", input_signature=signature, verbose=False)
        return file
    if file_format == "openvino":
        file = folder / "model.xml"
        model.export(str(file), format="openvino", input_signature=signature, verbose=False)
        return file
    options: dict[str, Any] = {} if file_format == "litert" else {"optimizations": [tf.lite.Optimize.DEFAULT]}
    if file_format == "litert_float16":
        options["target_spec"] = {"supported_types": [tf.float16]}
    if file_format == "litert_int8":
        options["target_spec"] = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]}
        options["representative_dataset"] = calibrating
    file = folder / "model.tflite"
    model.export(str(file), format="litert", input_signature=signature, verbose=False, **options)
    return file


def _teach_erfc() -> None:
    """Tell tf2onnx what GELU's Erfc is, which ONNX has not: 1 - Erf."""
    from tf2onnx.handler import tf_op

    tf_op("Erfc")(type("Erfc", (), {"version_9": classmethod(_erfc)}))  # the operators of ONNX since version 9


def _erfc(cls: Any, ctx: Any, node: Any, **_: Any) -> None:
    dtype, shape = ctx.get_dtype(node.output[0]), ctx.get_shape(node.output[0])
    given, outputs = node.input[0], node.output
    ctx.remove_node(node.name)
    one = ctx.make_const(f"{node.name}_one", np.array(1, "float32")).output[0]
    erf = ctx.make_node("Erf", [given], shapes=[shape], dtypes=[dtype], name=f"{node.name}_erf").output[0]
    ctx.make_node("Sub", [one, erf], outputs=outputs, shapes=[shape], dtypes=[dtype], name=node.name)


def sample_tensor(model: TransferModel) -> np.ndarray:
    """Make a few generated examples as the network takes them."""
    requests = sample_requests(model)[:_STORED]
    return request_reader(model.input)[0](*map(tf.constant, zip(*requests, strict=True))).inputs.numpy()


def _calibrating(model: TransferModel, source: Source | None) -> Iterator[list[np.ndarray]]:
    """Yield the tensors of a few examples, one by one, spread over the whole source."""
    if source is None:
        return
    chosen = source.subset(np.unique(np.linspace(0, len(source) - 1, _CALIBRATION).astype(int)))
    reader = modality_of(model.input).reader(chosen, model.input)
    for _, _, values in whole_batches(reader.pieces(Order(1))):
        yield [values[0].astype(model.input.dtype)]


def _about(model: TransferModel, file_format: str) -> dict[str, Any]:
    return {
        "format": file_format,
        "task": model.task.name,
        "input": modality_of(model.input).about(model.input),
        "outputs": {name: list(names) for name, names in model.task.describe_outputs().items()},
    }
