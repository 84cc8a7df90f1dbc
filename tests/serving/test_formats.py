"""Each format reproduces the trained model, is described by a JSON file, and is replayed with its runtime alone."""

import json
import shutil

import keras
import numpy as np
import pytest

import tltk
from tests.conftest import squares, squares_model
from tests.texts import TOKENIZER, marked, text_model, texts, tiny_preset
from tltk.serving import certificate, formats
from tltk.serving.certificate import FILE
from tltk.serving.replay import replay, runtimes

FILE_FORMATS = [name for name in formats.FORMATS if name != "saved_model"]


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    return tiny_preset(tmp_path_factory.mktemp("presets") / "tiny")


def nonzero_head():
    return tltk.head(zero_init=False, normalization=None)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, preset):
    """An image model and a text model by modality, and their exports: (modality, format) → result of export."""
    folder = tmp_path_factory.mktemp("formats")
    models = {
        "images": squares_model(head=tltk.head(zero_init=False)),
        "texts": text_model(preset, head=nonzero_head()),
    }
    sources = {"images": squares(), "texts": texts()}
    return models, {
        (modality, name): tltk.export(
            model,
            folder / modality / name,
            format=name,
            calibration=sources[modality] if name == "litert_int8" else None,
        )
        for modality, model in models.items()
        for name in FILE_FORMATS
    }  # fmt: skip


@pytest.mark.parametrize("modality", ["images", "texts"])
@pytest.mark.parametrize("name", FILE_FORMATS)
def test_a_file_reproduces_the_model_in_a_process_with_its_runtime_alone(exported, modality, name):
    models, exports = exported
    verified = tltk.verify(exports[modality, name].path)
    assert set(verified.differences) == {"predict_tensor"}
    assert verified.largest_differences["predict_tensor"] <= {"litert_float16": 2e-2, "litert_int8": 0.15}.get(
        name, 1e-4
    )
    assert set(verified.latencies) == {"1", "32"}
    model = models[modality]
    tensor = formats.sample_tensor(model)[:3]
    file = next(verified.path / file for file in runtimes.FILES if (verified.path / file).is_file())
    for batch in (tensor, tensor[:1]):  # any batch size is accepted
        outputs = runtimes.load(str(file))(batch)
        assert [*outputs] == ["probabilities"]
        np.testing.assert_allclose(outputs["probabilities"], model.keras(batch), atol=0.15 if "8" in name else 5e-3)


@pytest.mark.parametrize("name", FILE_FORMATS)
def test_each_format_stores_its_documented_tolerance(exported, name):
    _, exports = exported
    result = exports["images", name]
    tolerance = float(np.load(result.path / FILE)["tolerance"])
    expected = {"litert_float16": 2e-2, "litert_int8": result.largest_differences["predict_tensor"] + 0.02}.get(
        name, 1e-4
    )
    assert tolerance == pytest.approx(expected, abs=1e-6)


def test_int8_and_float16_files_hold_those_dtypes_and_are_smaller(exported):
    from ai_edge_litert.interpreter import Interpreter

    _, exports = exported

    def dtypes(name):
        interpreter = Interpreter(str(exports["images", name].path / "model.tflite"))
        assert interpreter.get_input_details()[0]["dtype"] == np.float32
        assert interpreter.get_output_details()[0]["dtype"] == np.float32
        return {np.dtype(tensor["dtype"]).name for tensor in interpreter.get_tensor_details()}

    assert "int8" in dtypes("litert_int8")
    assert "float16" in dtypes("litert_float16")
    assert not {"int8", "uint8"} & dtypes("litert_float16")
    assert dtypes("litert") <= {"float32", "int32"}
    sizes = [(exports["texts", name].path / "model.tflite").stat().st_size for name in ("litert_float16", "litert")]
    assert sizes == sorted(sizes)


def test_int8_of_texts_has_8_bit_weights_and_float_activations(tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    model = text_model(tiny_preset(tmp_path / "wide", channels=64), head=nonzero_head())
    exported = tltk.export(model, tmp_path / "x", format="litert_int8", calibration=texts(), max_changed=1.0)
    tensors = Interpreter(str(exported.path / "model.tflite")).get_tensor_details()
    assert any(tensor["dtype"] == np.int8 and tensor["shape"].tolist() == [128, 64] for tensor in tensors)
    assert {tensor["dtype"] for tensor in tensors if "oftmax" in tensor["name"]} == {np.float32}


def test_a_json_file_describes_inputs_and_outputs(exported):
    models, exports = exported
    description = json.loads((exports["images", "onnx"].path / formats.DESCRIPTION_FILE).read_text())
    assert description["outputs"] == {"probabilities": list(squares().labels.names)}
    assert description["output_shapes"] == {"probabilities": [None, 3]} and description["decoding"] == {}
    assert description["input"]["name"] == "pixels" and description["input"]["range"] == [0, 255]
    assert description["input"]["shape"] == [None, *models["images"].input_spec.shape]
    description = json.loads((exports["texts", "onnx"].path / formats.DESCRIPTION_FILE).read_text())
    assert description["input"]["vocabulary_size"] == len(TOKENIZER.vocabulary)
    tokenizer = description["input"]["tokenizer"]
    assert tokenizer["begin"] == "[CLS]" and "vocabulary" not in tokenizer


def test_the_description_of_a_token_classifier_names_every_tag(preset, tmp_path):
    task = tltk.token_classification(marked(2).labels, head=nonzero_head())
    model = tltk.assemble(tltk.backbone(str(preset)), task, precision="float32")
    exported = tltk.export(model, tmp_path / "tags", format="onnx")
    description = json.loads((exported.path / formats.DESCRIPTION_FILE).read_text())
    assert description["outputs"] == {"probabilities": list(task.tags)}


@pytest.mark.parametrize("modality", ["images", "texts"])
def test_a_half_precision_model_is_written_in_float32(preset, tmp_path, modality):
    if modality == "texts":
        task = tltk.classification(texts().labels, head=nonzero_head())
        model = tltk.assemble(tltk.backbone(str(preset)), task, precision="mixed_bfloat16")
    else:
        model = squares_model(head=tltk.head(zero_init=False), precision="mixed_bfloat16")
    converted = formats.in_float32(model.keras)
    assert {layer.compute_dtype for layer in converted.layers if layer.weights} == {"float32"}
    for weight, original in zip(converted.weights, model.keras.weights, strict=True):
        np.testing.assert_array_equal(weight, original)
    assert tltk.export(model, tmp_path / "exported", format="onnx").largest_differences["predict_tensor"] <= 1e-4


def test_calibration_examples_are_spread_over_the_source_and_have_no_labels():
    model, source = squares_model(), squares(300)
    batches = list(formats._calibration_batches(model, source))
    assert len(batches) == 100
    assert all(len(batch) == 1 and batch[0].shape == (1, *model.input_spec.shape) for batch in batches)
    assert not np.array_equal(batches[0][0], batches[-1][0])


def test_a_file_that_differs_from_its_certificate_is_reported(exported, tmp_path):
    _, exports = exported
    shutil.copytree(exports["images", "onnx"].path, tmp_path / "1")
    stored = dict(np.load(tmp_path / "1" / FILE))
    stored["predict_tensor/outputs/probabilities"] = stored["predict_tensor/outputs/probabilities"] + 0.5
    np.savez(tmp_path / "1" / FILE, **stored)
    with pytest.raises(RuntimeError, match=r"`probabilities` of predict_tensor differs by 0\.[345]"):
        tltk.verify(tmp_path, measure_latency=False)
    (tmp_path / "1" / "model.onnx").write_bytes(b"garbage")
    with pytest.raises(RuntimeError, match="could not be loaded or called in a clean process"):
        tltk.verify(tmp_path, measure_latency=False)


def test_a_certificate_of_an_earlier_version_with_an_output_without_a_name_is_replayed(exported, tmp_path):
    _, exports = exported
    shutil.copytree(exports["images", "onnx"].path, tmp_path / "1")
    stored = dict(np.load(tmp_path / "1" / FILE))
    stored["predict_tensor/outputs/outputs"] = stored.pop("predict_tensor/outputs/probabilities")
    np.savez(tmp_path / "1" / FILE, **stored)
    assert tltk.verify(tmp_path, measure_latency=False).differences["predict_tensor"]["outputs"] <= 1e-4
    stored["predict_tensor/outputs/outputs"] = stored["predict_tensor/outputs/outputs"] + 0.5
    np.savez(tmp_path / "1" / FILE, **stored)
    with pytest.raises(RuntimeError, match=r"`outputs` of predict_tensor differs by 0\.[345]"):
        tltk.verify(tmp_path, measure_latency=False)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"format": "onx"}, r"`format` must be one of .* Did you mean 'onnx'\?"),
        ({"format": "onnx", "requests": [b"a"]}, r'`requests` requires format="saved_model".* Received: format=.onnx.'),
        ({"format": "onnx", "warmup": True}, '`warmup=True` requires format="saved_model"'),
        ({"format": "litert_int8"}, 'format="litert_int8" requires `calibration`.* Received: None'),
        ({"calibration": squares()}, "`calibration` is for the other formats.* Received: format=.saved_model."),
        ({"format": "onnx", "max_changed": 2}, "`max_changed` must be at least 0 and at most 1. Received: 2"),
    ],
)
def test_options_of_another_format_are_an_error(tmp_path, options, match):
    with pytest.raises(ValueError, match=match):
        tltk.export(squares_model(), tmp_path / "x", **options)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("options", "extra"),
    [({"format": "onnx"}, "onnx"), ({"format": "litert_float16"}, "litert"), ({"warmup": True}, "serving")],
)
def test_the_error_for_a_missing_package_names_its_extra(tmp_path, monkeypatch, options, extra):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=rf"pip install tltk\[{extra}\]"):
        tltk.export(squares_model(), tmp_path / "x", **options)


def test_an_output_with_the_name_of_the_input_is_refused(tmp_path, monkeypatch):
    model = squares_model()
    monkeypatch.setattr(type(model.task), "named_outputs", lambda self, outputs: {"pixels": outputs})
    with pytest.raises(tltk.errors.InvalidInput, match=r"an output named 'pixels', as is the input.*format='onnx'"):
        tltk.export(model, tmp_path / "x", format="onnx")
    assert not list((tmp_path / "x").iterdir())


def test_each_output_of_an_int8_network_has_its_own_tolerance(tmp_path, monkeypatch, replay_here):
    expected = {"sure": np.array([[0.5]]), "distances": np.array([[100.0]])}
    outputs = {"sure": np.array([[0.5]]), "distances": np.array([[130.0]])}
    tolerances = formats._int8_tolerances(outputs, expected)
    assert tolerances == {"sure": pytest.approx(0.02), "distances": pytest.approx(0.32)}
    stored = {"predict_tensor": {"inputs": {"pixels": np.zeros([1, 2])}, "outputs": expected}}
    certificate.write(tmp_path, stored, tolerance=0.32, tolerances=tolerances)
    (tmp_path / "model.onnx").write_bytes(b"")
    changed = {**outputs, "sure": np.array([[0.6]])}  # by less than the tolerance of the distances
    monkeypatch.setattr(replay, "_load_with_runtime", lambda file: lambda name, inputs: changed)
    with pytest.raises(tltk.errors.ServingError, match=r"`sure` of predict_tensor differs by 0\.1$"):
        tltk.verify(tmp_path, measure_latency=False)


def test_recurrent_layers_are_refused_by_litert_and_exported_to_onnx(tmp_path, replay_here):
    spec = tltk.AudioSpec(sample_rate=1000, seconds=0.02)
    waveform = keras.Input(spec.shape)
    frames = keras.layers.Reshape((4, 5))(waveform)
    backbone = tltk.backbone(keras.Model(waveform, keras.layers.LSTM(3, return_sequences=True)(frames)), spec=spec)
    model = tltk.assemble(backbone, tltk.classification(["a", "b"], head=nonzero_head()), precision="float32")
    with pytest.raises(tltk.errors.ServingError, match=r"LiteRT cannot run this network.*Recurrent layers"):
        tltk.export(model, tmp_path, format="litert")
    assert list(tmp_path.iterdir()) == []
    assert tltk.export(model, tmp_path, format="onnx").largest_differences["predict_tensor"] < 1e-5


def test_an_int8_network_that_differs_too_much_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(runtimes, "load", lambda file: lambda tensor: {"probabilities": np.full([len(tensor), 3], 9.0)})
    with pytest.raises(RuntimeError, match=r"the 8-bit network differs from the model by up to .* in `probabilities`"):
        tltk.export(
            squares_model(head=tltk.head(zero_init=False)), tmp_path / "x", format="litert_int8", calibration=squares()
        )
    assert not list((tmp_path / "x").iterdir())
