"""Writes ONNX, OpenVINO and LiteRT files: the network without preprocessing, and a JSON description beside it."""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import util
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput, MissingExtra, ServingError
from tltk.modalities.modality import modality_of
from tltk.models.transfer_model import TransferModel
from tltk.pipeline.batching import Order
from tltk.pipeline.readers import join_batches
from tltk.serving import FORMATS, certificate
from tltk.serving import warmup as warmup_requests
from tltk.serving.answers import MAX_CHANGED, compare_answers, require_same_answers
from tltk.serving.fourier import without_fourier_transforms
from tltk.serving.replay import runtimes

DESCRIPTION_FILE = "model.json"
_PACKAGES = {"onnx": ("tf2onnx", "onnxruntime"), "openvino": ("openvino",), "litert": ("ai_edge_litert",)}
_TOLERANCE = {"onnx": 1e-4, "openvino": 1e-4, "litert": 1e-4, "litert_float16": 2e-2}
_INT8_MACHINE_TOLERANCE = 0.02  # 8-bit kernels round differently on different processors
_INT8_MAX_DIFFERENCE = 0.5  # an 8-bit network that differs more is useless
_STORED_TENSORS = 4
_CALIBRATION_EXAMPLES = 100


def check_options(file_format: str, *, requests: bool, calibration: Source | None, warmup: bool) -> None:
    """Check that a format is known, has the given options, and that its packages are installed.

    Args:
        file_format: Value of `format` in `tltk.export`.
        requests: Whether requests were given.
        calibration: Value of `calibration` in `tltk.export`.
        warmup: Whether warm-up requests were asked for.

    Raises:
        MissingExtra: If packages are missing, with the extra to install.
        InvalidInput: If the format is unknown, or an option does not belong to it.
    """
    check.one_of("format", file_format, FORMATS)
    extra = file_format.split("_", maxsplit=1)[0]
    missing = [name for name in _PACKAGES.get(extra, ()) if util.find_spec(name) is None]
    if missing:
        raise MissingExtra(
            f"format={file_format!r} needs {check.listing(missing)}: pip install tltk[{extra}]", name=missing[0]
        )
    problems = check.Problems()
    received = f"Received: format={file_format!r}"
    if requests and file_format != "saved_model":
        problems.add(f'`requests` requires format="saved_model"; the other formats take tensors. {received}')
    if warmup and file_format != "saved_model":
        problems.add(f'`warmup=True` requires format="saved_model". {received}')
    if calibration is None and file_format == "litert_int8":
        problems.add('format="litert_int8" requires `calibration`, examples such as the training set. Received: None')
    if calibration is not None and file_format == "saved_model":
        problems.add(f"`calibration` is for the other formats: a SavedModel computes what the model does. {received}")
    problems.raise_if_any()
    if warmup:
        warmup_requests.check_installed()


def write(
    model: TransferModel,
    folder: Path,
    file_format: str,
    calibration: Source | None,
    *,
    max_changed: float | None = None,
) -> None:
    """Write the network, its description (`model.json`) and its certificate, and judge it by its answers.

    Args:
        model: Model of any precision; its float32 copy is written.
        folder: Folder to create.
        file_format: One of `FORMATS` except "saved_model".
        calibration: Examples for "litert_int8", on which every format is judged; None for generated requests.
        max_changed: Largest accepted share of changed answers; None for that of the format, and for a check of the
            score.

    Raises:
        ServingError: If the file answers differently from the model.
        InvalidInput: If an output of the task has the name of the input, or the labels of `calibration` are not those
            of the model.
    """
    if model.input_spec.name in model.task.named_outputs(model.keras.output):
        raise InvalidInput(
            f"task {model.task.name!r} has an output named {model.input_spec.name!r}, as is the input: a file of "
            f"format={file_format!r} cannot hold both. Name the output otherwise in `outputs` and `describe_outputs`."
        )
    folder.mkdir()
    network = in_float32(model.keras) if model.precision != "float32" else model.keras
    named = keras.Model(network.input, model.task.named_outputs(network.output))
    tensor = sample_tensor(model)
    expected = {name: np.asarray(values, "float32") for name, values in named(tensor, training=False).items()}
    signature = [tf.TensorSpec([None, *model.input_spec.shape], model.input_spec.dtype, name=model.input_spec.name)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Keras uses a deprecated name of NumPy's (tf2onnx_lib.py)
        convertible = without_fourier_transforms(named)
        file = _convert(convertible, folder, file_format, signature, lambda: _calibration_batches(model, calibration))
    exported = _load(file, file_format, tensor)
    tolerances = {} if file_format in _TOLERANCE else _int8_tolerances(exported(tensor), expected)
    answers = compare_answers(
        model,
        tf.function(partial(network, training=False), input_signature=signature),
        lambda values: outputs_as_in(network, exported(np.asarray(values))),
        calibration,
        MAX_CHANGED[file_format] if max_changed is None else max_changed,
    )
    require_same_answers(answers, model, file_format, check_score=max_changed is None)
    description = json.dumps(_description(model, named, file_format), indent=2, ensure_ascii=False)
    (folder / DESCRIPTION_FILE).write_text(description, "utf-8")
    stored = {"predict_tensor": {"inputs": {model.input_spec.name: tensor}, "outputs": expected}}
    tolerance = _TOLERANCE[file_format] if file_format in _TOLERANCE else max(tolerances.values())
    certificate.write(folder, stored, tolerance=tolerance, tolerances=tolerances, answers=answers)


def _load(file: Path, file_format: str, tensor: np.ndarray) -> runtimes.Run:
    """Load a file, and run it once: LiteRT fails only then at operations that it does not have.

    Raises:
        ServingError: If LiteRT lacks an operation.
    """
    try:
        exported = runtimes.load(str(file))
        exported(tensor)
    except RuntimeError as error:
        if file.suffix != ".tflite":
            raise
        reason = (str(error).strip().splitlines() or [""])[0]
        raise ServingError(
            f"LiteRT cannot run this network as format={file_format!r}: {reason[:200]} Recurrent layers, for "
            'example, can be exported with format="onnx" or "openvino".'
        ) from error
    return exported


def outputs_as_in(network: keras.Model, outputs: Mapping[str, Any]) -> Any:
    """Return named outputs of an export in the structure of those of the network: a dict, or the only one itself.

    Args:
        network: Keras model that was exported.
        outputs: Name → values [batch, …].
    """
    if isinstance(network.output, dict):
        return {name: outputs[name] for name in network.output}
    return next(iter(outputs.values()))


def _int8_tolerances(outputs: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the tolerance of each output of an 8-bit network: a little more than its difference from the model."""
    differences = {
        name: float((np.abs(outputs[name] - values) / np.maximum(1.0, np.abs(values))).max())
        for name, values in expected.items()
    }
    largest = max(differences, key=lambda name: np.nan_to_num(differences[name], nan=np.inf))
    if not differences[largest] <= _INT8_MAX_DIFFERENCE:  # also true for NaN
        raise ServingError(
            f"the 8-bit network differs from the model by up to {differences[largest]:.2g} in `{largest}` on generated "
            "examples, too much to be useful. Pass `calibration` examples like those of production, or use "
            '"litert_float16".'
        )
    return {name: difference + _INT8_MACHINE_TOLERANCE for name, difference in differences.items()}


def in_float32(model: keras.Model) -> keras.Model:
    """Copy a functional model of 16-bit precision as a model that computes in float32, with the same weights."""

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        return type(layer).from_config({**config, "dtype": "float32"} if "dtype" in config else config)

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy


def _convert(
    model: keras.Model,
    folder: Path,
    file_format: str,
    signature: list[tf.TensorSpec],
    calibration_batches: Callable[[], Iterator[list[np.ndarray]]],
) -> Path:
    """Write the network in one format and return the path of its main file.

    8-bit networks of texts have 8-bit weights only: 8-bit activations halve the accuracy of a transformer, whose few
    large activations leave a few steps for all others (Bondarenko et al. 2021, section 3).
    """
    if file_format == "onnx":
        _register_erfc()
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
    if file_format == "litert_int8" and signature[0].dtype.is_floating:
        options["target_spec"] = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]}
        options["representative_dataset"] = calibration_batches
    file = folder / "model.tflite"
    model.export(str(file), format="litert", input_signature=signature, verbose=False, **options)
    return file


def _register_erfc() -> None:
    """Teach tf2onnx the operator Erfc, which TensorFlow's GELU uses and ONNX does not have: 1 - Erf."""
    from tf2onnx.handler import tf_op

    tf_op("Erfc")(type("Erfc", (), {"version_9": classmethod(_convert_erfc)}))  # ONNX has Erf since operator set 9


def _convert_erfc(cls: Any, ctx: Any, node: Any, **_: Any) -> None:
    """Replace a node Erfc by Sub and Erf; the arguments are those of a tf2onnx operator handler."""
    dtype, shape = ctx.get_dtype(node.output[0]), ctx.get_shape(node.output[0])
    input_name, outputs = node.input[0], node.output
    ctx.remove_node(node.name)
    one = ctx.make_const(f"{node.name}_one", np.array(1, "float32")).output[0]
    erf = ctx.make_node("Erf", [input_name], shapes=[shape], dtypes=[dtype], name=f"{node.name}_erf").output[0]
    ctx.make_node("Sub", [one, erf], outputs=outputs, shapes=[shape], dtypes=[dtype], name=node.name)


def sample_tensor(model: TransferModel) -> np.ndarray:
    """Generate a few examples as input of the network: [4, …]."""
    return modality_of(model.input_spec).sample_inputs(model.input_spec, count=_STORED_TENSORS, seed=0)


def _calibration_batches(model: TransferModel, source: Source | None) -> Iterator[list[np.ndarray]]:
    """Yield network inputs of batch size 1, for examples spread evenly over the source."""
    if source is None:
        return
    rows = np.unique(np.linspace(0, len(source) - 1, _CALIBRATION_EXAMPLES).astype(int))
    reader = modality_of(model.input_spec).reader(source.subset(rows), model.input_spec)
    for _, _, values in join_batches(reader.partial_batches(Order(1))):
        yield [values[0].astype(model.input_spec.dtype)]


def _description(model: TransferModel, named: keras.Model, file_format: str) -> dict[str, Any]:
    """Describe inputs and outputs of the network, for clients that have only the file."""
    return {
        "format": file_format,
        "task": model.task.name,
        "input": modality_of(model.input_spec).describe_input(model.input_spec),
        "outputs": {name: list(model.task.describe_outputs().get(name, ())) for name in named.output},
        "output_shapes": {name: list(tensor.shape) for name, tensor in named.output.items()},
        "decoding": model.task.describe_decoding(),
    }
