"""Each format answers as the trained model, says what it means, and is replayed by its runtime alone."""

import json
import shutil

import numpy as np
import pytest

import tltk
from tests.conftest import squares, squares_model
from tests.texts import TOKENIZER, marked, text_model, texts, tiny_preset
from tltk.serving import formats
from tltk.serving.certificate import FILE
from tltk.serving.replay import runtimes

OTHERS = [name for name in formats.FORMATS if name != "saved_model"]


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    return tiny_preset(tmp_path_factory.mktemp("presets") / "tiny")


def seeded():
    return tltk.head(zero_init=False, normalization=None)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, preset):
    """Every format of a model of pictures and of one of texts: (kind, format) → what export said."""
    folder = tmp_path_factory.mktemp("formats")
    models = {"pictures": (squares_model(head=tltk.head(zero_init=False)), squares())}
    models["texts"] = (text_model(preset, head=seeded()), texts())
    return folder, models, {
        (kind, name): tltk.export(
            model, folder / kind / name, format=name, calibration=source if name == "litert_int8" else None
        )
        for kind, (model, source) in models.items()
        for name in OTHERS
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["pictures", "texts"])
@pytest.mark.parametrize("name", OTHERS)
def test_it_answers_as_the_model_does_in_a_process_of_its_runtime_alone(exported, kind, name):
    _, models, found = exported
    done = tltk.verify(found[kind, name].path)
    assert set(done.differences) == {"predict_tensor"}
    assert done.largest["predict_tensor"] <= {"litert_float16": 2e-2, "litert_int8": 0.15}.get(name, 1e-4)
    assert set(done.latency) == {"1", "32"}
    model, _ = models[kind]
    tensor = formats.sample_tensor(model)[:3]
    file = next(done.path / each for each in runtimes.FILES if (done.path / each).is_file())
    for rows in (tensor, tensor[:1]):  # the batch is free
        np.testing.assert_allclose(
            runtimes.load(str(file))(rows), model.keras(rows), atol=0.15 if "8" in name else 5e-3
        )


@pytest.mark.parametrize("name", OTHERS)
def test_what_may_differ_is_what_the_format_promises(exported, name):
    _, _, found = exported
    done = found["pictures", name]
    tolerance = float(np.load(done.path / FILE)["tolerance"])
    measured = {"litert_float16": 2e-2, "litert_int8": done.largest["predict_tensor"] + 0.02}.get(name, 1e-4)
    assert tolerance == pytest.approx(measured, abs=1e-6)


def test_eight_and_sixteen_bits_are_smaller_and_really_that(exported):
    from ai_edge_litert.interpreter import Interpreter

    _, _, found = exported

    def kinds(name):
        held = Interpreter(str(found["pictures", name].path / "model.tflite"))
        assert held.get_input_details()[0]["dtype"] == held.get_output_details()[0]["dtype"] == np.float32
        return {np.dtype(each["dtype"]).name for each in held.get_tensor_details()}

    assert "int8" in kinds("litert_int8")
    assert "float16" in kinds("litert_float16")
    assert not {"int8", "uint8"} & kinds("litert_float16")
    assert kinds("litert") <= {"float32", "int32"}
    sizes = [
        (found["texts", name].path / "model.tflite").stat().st_size
        for name in ("litert_int8", "litert_float16", "litert")
    ]
    assert sizes == sorted(sizes)


def test_a_page_says_what_goes_in_and_comes_out(exported):
    _, models, found = exported
    page = json.loads((found["pictures", "onnx"].path / formats.ABOUT).read_text())
    assert page["outputs"] == {"probabilities": list(squares().labels.names)}
    assert page["input"]["name"] == "pixels" and page["input"]["range"] == [0, 255]
    assert page["input"]["shape"] == [None, *models["pictures"][0].input.shape]
    page = json.loads((found["texts", "onnx"].path / formats.ABOUT).read_text())
    assert page["input"]["vocabulary_size"] == len(TOKENIZER.vocabulary)
    assert page["input"]["tokenizer"]["begin"] == "[CLS]" and "vocabulary" not in page["input"]["tokenizer"]


def test_of_tags_every_output_is_named(preset, tmp_path):
    task = tltk.token_classification(marked(2).labels, head=seeded())
    model = tltk.assemble(tltk.backbone(str(preset)), task, precision="float32")
    done = tltk.export(model, tmp_path / "tags", format="onnx")
    assert json.loads((done.path / formats.ABOUT).read_text())["outputs"] == {"probabilities": list(task.tags)}


@pytest.mark.parametrize("of_texts", [False, True])
def test_a_model_in_sixteen_bits_is_written_in_float32(preset, tmp_path, of_texts):
    if of_texts:
        task = tltk.classification(texts().labels, head=seeded())
        model = tltk.assemble(tltk.backbone(str(preset)), task, precision="mixed_bfloat16")
    else:
        model = squares_model(head=tltk.head(zero_init=False), precision="mixed_bfloat16")
    plain = formats.in_float32(model.keras)
    assert {layer.compute_dtype for layer in plain.layers if layer.weights} == {"float32"}
    for one, other in zip(plain.weights, model.keras.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert tltk.export(model, tmp_path / "one", format="onnx").largest["predict_tensor"] <= 1e-4


def test_ranges_are_measured_over_the_whole_source_and_without_its_labels():
    model, source = squares_model(), squares(300)
    held = list(formats._calibrating(model, source))
    assert len(held) == 100
    assert all(each[0].shape == (1, *model.input.shape) for each in held)
    assert not np.array_equal(held[0][0], held[-1][0])


def test_another_model_than_the_certificate_s_is_found_out(exported, tmp_path):
    _folder, _, found = exported
    shutil.copytree(found["pictures", "onnx"].path, tmp_path / "1")
    stored = dict(np.load(tmp_path / "1" / FILE))
    stored["predict_tensor/answer/outputs"] = stored["predict_tensor/answer/outputs"] + 0.5
    np.savez(tmp_path / "1" / FILE, **stored)
    with pytest.raises(RuntimeError, match=r"`outputs` of predict_tensor differs: 0\.[345]"):
        tltk.verify(tmp_path, timed=False)
    (tmp_path / "1" / "model.onnx").write_bytes(b"none")
    with pytest.raises(RuntimeError, match="could not be loaded or called in a clean process"):
        tltk.verify(tmp_path, timed=False)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"format": "onx"}, r"`format` must be one of .* Did you mean 'onnx'\?"),
        ({"format": "onnx", "requests": [b"a"]}, "`requests` are of a SavedModel; 'onnx' takes tensors"),
        ({"format": "onnx", "warmup": True}, "`warmup` is of a SavedModel"),
        ({"format": "litert_int8"}, "`calibration` goes with format='litert_int8', and it needs one"),
        ({"calibration": squares()}, "`calibration` goes with format='litert_int8', and it needs one"),
    ],
)
def test_options_of_another_format_are_refused(tmp_path, options, match):
    with pytest.raises(ValueError, match=match):
        tltk.export(squares_model(), tmp_path / "x", **options)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("options", "extra"),
    [({"format": "onnx"}, "onnx"), ({"format": "litert_float16"}, "litert"), ({"warmup": True}, "serving")],
)
def test_a_missing_package_names_its_extra(tmp_path, monkeypatch, options, extra):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=rf"pip install tltk\[{extra}\]"):
        tltk.export(squares_model(), tmp_path / "x", **options)


def test_eight_bits_that_are_of_no_use_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(runtimes, "load", lambda file: lambda tensor: np.ones([len(tensor), 3], "float32"))
    with pytest.raises(RuntimeError, match="in 8 bits answers to generated examples differ by up to"):
        tltk.export(
            squares_model(head=tltk.head(zero_init=False)), tmp_path / "x", format="litert_int8", calibration=squares()
        )
    assert not list((tmp_path / "x").iterdir())
