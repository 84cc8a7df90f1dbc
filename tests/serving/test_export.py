"""Exports are verified before they get a version number, and a failure leaves nothing behind."""

import errno
import io
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tltk
from tests.conftest import STAGES, coloured_squares, conv_net, squares, squares_model
from tltk.errors import FileError
from tltk.serving import export, saved_model
from tltk.serving.certificate import Verification

ARCHIVE = type(
    keras.export.ExportArchive()
)  # `keras.export.ExportArchive` itself creates an instance of a backend's class


def seeded_model():
    return squares_model(head=tltk.head(zero_init=False))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A SavedModel with its certificate, written once."""
    folder = tmp_path_factory.mktemp("written") / "model"
    saved_model.write(seeded_model(), folder, None)
    return folder


@pytest.fixture
def write_copies(written, monkeypatch):
    """Copy a SavedModel instead of tracing one, for tests of what happens before and after it is written."""
    monkeypatch.setattr(saved_model, "write", lambda model, folder, *_, **__: shutil.copytree(written, folder))


def failing_write(monkeypatch, error):
    """Let writing a SavedModel raise an error."""

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(saved_model, "write", fail)


def encoded_images(count=12):
    """Encoded images of several formats, sizes and modes."""
    generator = np.random.default_rng(0)
    encoded = []
    for index in range(count):
        size = tuple(generator.integers(12, 90, 2))
        image = Image.fromarray(generator.integers(0, 255, (*size, 3)).astype("uint8"))
        image = image.convert(("RGB", "L", "RGB", "P")[index % 4])
        data = io.BytesIO()
        image.save(data, ("PNG", "JPEG", "BMP", "GIF")[index % 4])
        encoded.append(data.getvalue())
    return encoded


def test_an_export_returns_the_predictions_of_predict_for_image_bytes(tmp_path):
    model = seeded_model()
    requests = encoded_images()
    exported = tltk.export(model, tmp_path / "serving", requests=requests)
    assert max(exported.largest_differences.values()) <= 1e-5
    serve = tf.saved_model.load(str(exported.path)).signatures["serving_default"]
    outputs = serve(tf.constant(requests))
    for index, data in enumerate(requests):
        (tmp_path / "image.bin").write_bytes(data)
        (prediction,) = tltk.predict(model, tmp_path / "image.bin")
        assert outputs["label"][index].numpy().decode() == prediction.label
        np.testing.assert_allclose(outputs["probability"][index], prediction.probability, atol=1e-5)
    assert outputs["labels"][0].numpy().tolist() == [b"red", b"green", b"blue"]


@pytest.mark.usefixtures("replay_here")
def test_an_export_runs_in_a_process_without_tltk(tmp_path):
    exported = tltk.export(seeded_model(), tmp_path)
    code = (
        "import sys, tensorflow as tf; serve = tf.saved_model.load(sys.argv[1]).signatures['serving_default'];"
        "image = tf.io.encode_png(tf.zeros([5, 9, 3], tf.uint8));"
        "print(serve(tf.stack([image]))['label'].numpy(), [m for m in sys.modules if m in ('tltk', 'keras_hub')])"
    )
    process = subprocess.run(
        [sys.executable, "-I", "-c", code, str(exported.path)], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip().endswith("[]")


@pytest.mark.usefixtures("replay_here")
def test_weights_are_stored_once(tmp_path):
    pixels = keras.Input((16, 16, 3))
    body = keras.Model(pixels, keras.layers.Conv2D(512, 3)(keras.layers.Conv2D(128, 3, strides=2)(pixels)))
    model = tltk.assemble(tltk.backbone(body), tltk.classification(squares().labels))
    exported = tltk.export(model, tmp_path)
    stored = sum(file.stat().st_size for file in (exported.path / "variables").iterdir())
    in_memory = sum(weight.numpy().nbytes for weight in model.keras.weights)
    assert 0.95 * in_memory <= stored < 1.05 * in_memory


def test_versions_count_up_and_are_never_overwritten(tmp_path, monkeypatch, write_copies):
    verified = Verification(tmp_path, {"serving_default": {}}, 0, 0.0, {}, {})
    monkeypatch.setattr(export, "verify", lambda *_, **__: verified)
    model = seeded_model()
    assert [tltk.export(model, tmp_path).path.name for _ in range(2)] == ["1", "2"]
    assert tltk.export(model, tmp_path, version=7).path.name == "7"
    assert tltk.export(model, tmp_path).path.name == "8"
    with pytest.raises(FileError, match=r"7 exists already"):
        tltk.export(model, tmp_path, version=7)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["1", "2", "7", "8"]


def test_concurrent_exports_become_separate_versions(tmp_path, monkeypatch, write_copies):
    model = seeded_model()

    def verify_while_another_export_finishes(written, **_):
        for version in ("1", "2"):
            (tmp_path / version).mkdir()
            (tmp_path / version / "saved_model.pb").write_bytes(b"another export")
        return Verification(written, {"serving_default": {}}, 0, 0.0, {}, {})

    monkeypatch.setattr(export, "verify", verify_while_another_export_finishes)
    with pytest.raises(FileError, match=r"2 exists already"):
        tltk.export(model, tmp_path, version=2)
    versions = iter((1, 2, 3))
    monkeypatch.setattr(export, "_next_version", lambda _: next(versions))
    for version in ("1", "2"):
        shutil.rmtree(tmp_path / version)
    assert tltk.export(model, tmp_path).path == tmp_path / "3"
    assert {entry.name for entry in tmp_path.iterdir()} == {"1", "2", "3"}
    assert (tmp_path / "2" / "saved_model.pb").read_bytes() == b"another export"


def test_files_are_flushed_to_disk_before_and_after_the_rename(tmp_path, monkeypatch, write_copies):
    events = []
    verified = Verification(tmp_path, {"serving_default": {}}, 0, 0.0, {}, {})
    monkeypatch.setattr(export, "verify", lambda *_, **__: verified)
    monkeypatch.setattr(export.files, "flush", lambda *paths: events.append({path.name for path in paths}))
    exported = tltk.export(seeded_model(), tmp_path / "served")
    before, after = events
    assert before >= {"saved_model.pb", "variables.index", "certificate.npz", "variables", "model"}
    assert (after, exported.path.name) == ({"served"}, "1")


def test_an_export_that_fails_its_verification_is_deleted(tmp_path, monkeypatch):
    model = seeded_model()
    original = ARCHIVE.write_out

    def corrupt(archive, folder, **options):
        weights = model.keras.get_weights()
        model.keras.set_weights([weight + 0.1 for weight in weights])
        original(archive, folder, **options)
        model.keras.set_weights(weights)

    monkeypatch.setattr(ARCHIVE, "write_out", corrupt)
    with pytest.raises(RuntimeError, match="does not reproduce the outputs of the trained model"):
        tltk.export(model, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("replay_here")
def test_a_full_disk_leaves_only_the_previous_version(tmp_path, monkeypatch):
    model = seeded_model()
    (tmp_path / "1").mkdir()

    def write_to_full_disk(archive, folder, **_):
        Path(folder).mkdir()
        Path(folder, "saved_model.pb").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ARCHIVE, "write_out", write_to_full_disk)
    with pytest.raises(OSError, match="the export could not be written"):
        tltk.export(model, tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]


@pytest.mark.usefixtures("replay_here")
def test_regression_and_multilabel_exports_have_their_own_output_names(tmp_path):
    x, y = coloured_squares(6)
    backbone = tltk.backbone(conv_net(), stages=STAGES)
    regression = tltk.from_arrays(x, y.astype("float32"), label_type="regression", labels=("height",))
    multilabel = tltk.from_arrays(x, np.eye(3, dtype="float32")[y], labels=("a", "b", "c"), label_type="multilabel")
    for source, task, names in (
        (regression, tltk.regression, {"values", "labels", "valid", "error"}),
        (multilabel, tltk.classification, {"probabilities", "labels", "chosen", "valid", "error"}),
    ):
        exported = tltk.export(tltk.assemble(backbone, task(source.labels)), tmp_path / task.__name__)
        signature = tf.saved_model.load(str(exported.path)).signatures["serving_default"]
        assert set(signature.structured_outputs) == names


@pytest.mark.usefixtures("replay_here")
def test_a_half_precision_model_is_exported_in_its_precision(tmp_path):
    exported = tltk.export(squares_model(precision="mixed_bfloat16", head=tltk.head(zero_init=False)), tmp_path)
    assert max(exported.largest_differences.values()) <= 1e-5


@pytest.mark.usefixtures("replay_here")
def test_a_text_model_is_exported_with_strings_as_inputs(tmp_path):
    from tests.texts import TEXTS, text_model, tiny_preset

    model = text_model(tiny_preset(tmp_path / "preset"), head=tltk.head(zero_init=False))
    texts = [*TEXTS, "", "Unlikely FILM!!", "caf\u00e9 \U0001f600", "good " * 100]
    exported = tltk.export(model, tmp_path / "serving", requests=[text.encode() for text in texts])
    assert max(exported.largest_differences.values()) <= 1e-5
    outputs = tf.saved_model.load(str(exported.path)).signatures["serving_default"](tf.constant(texts))
    predictions = tltk.predict(model, texts, batch_size=3)
    valid = [text for text in texts if text]
    for text, prediction in zip(valid, predictions, strict=True):
        row = texts.index(text)
        assert outputs["label"][row].numpy().decode() == prediction.label
        np.testing.assert_allclose(outputs["probability"][row], prediction.probability, atol=1e-5)


@pytest.mark.usefixtures("replay_here")
def test_ctrl_c_leaves_only_the_previous_version(tmp_path, monkeypatch, write_copies):
    model = seeded_model()
    first = tltk.export(model, tmp_path)
    before = {path.relative_to(tmp_path): path.stat().st_mtime for path in tmp_path.rglob("*")}

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    for module, name in ((saved_model, "write"), (export, "verify")):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(module, name, interrupted)
            tltk.export(model, tmp_path)
        assert {path.relative_to(tmp_path): path.stat().st_mtime for path in tmp_path.rglob("*")} == before
    assert tltk.verify(tmp_path, measure_latency=False).path == first.path


@pytest.mark.parametrize("requests", [["text"], b"one", [], [("a",)], "text"])
def test_requests_must_be_bytes(tmp_path, monkeypatch, requests):
    monkeypatch.setattr(saved_model, "build_signatures", None)  # told before the graphs are traced
    with pytest.raises(TypeError, match=r"`requests` must be a non-empty list of bytes"):
        tltk.export(seeded_model(), tmp_path, requests=requests)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("version", [-1, True, "../x", 1.0])
def test_a_version_must_be_a_non_negative_integer(tmp_path, version):
    with pytest.raises(ValueError, match=r"`version` must be an integer, at least 0"):
        tltk.export(seeded_model(), tmp_path, version=version)


def test_a_write_error_of_tensorflow_becomes_an_os_error(tmp_path, monkeypatch):
    failing_write(monkeypatch, tf.errors.UnknownError(None, None, "File too large; and more\nlines"))
    with pytest.raises(OSError, match=r"could not be written: File too large; and more"):
        tltk.export(seeded_model(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_error_of_the_model_is_not_reported_as_a_write_error(tmp_path, monkeypatch):
    failing_write(monkeypatch, tf.errors.InvalidArgumentError(None, None, "invalid model"))
    with pytest.raises(tf.errors.InvalidArgumentError, match="invalid model"):
        tltk.export(seeded_model(), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [tf.errors.ResourceExhaustedError(None, None, "a"), OSError(errno.ENOSPC, "a")])
def test_a_full_disk_is_reported_with_its_errno(tmp_path, monkeypatch, error):
    failing_write(monkeypatch, error)
    with pytest.raises(OSError, match="the export could not be written") as caught:
        tltk.export(seeded_model(), tmp_path)
    assert caught.value.errno == errno.ENOSPC


def test_a_dangling_link_counts_as_an_existing_version(tmp_path):
    (tmp_path / "3").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileError, match=r"3 exists already"):
        tltk.export(seeded_model(), tmp_path, version=3)


@pytest.mark.parametrize("folder", ["file", "file/sub"])
def test_a_file_where_the_folder_should_be_is_a_file_error(tmp_path, folder):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="is a file, and a folder is needed"):
        tltk.export(squares_model(), tmp_path / folder)
