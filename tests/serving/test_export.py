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
from tltk.serving import export
from tltk.serving.certificate import Verified

ARCHIVE = type(keras.export.ExportArchive())  # Keras' own; what is exported under the name chooses one by backend


def seeded_model():
    return squares_model(head=tltk.head(zero_init=False))


def encoded(count=12):
    """Pictures of several formats, sizes and modes, as bytes."""
    generator = np.random.default_rng(0)
    found = []
    for index in range(count):
        size = tuple(generator.integers(12, 90, 2))
        picture = Image.fromarray(generator.integers(0, 255, (*size, 3)).astype("uint8"))
        picture = picture.convert(("RGB", "L", "RGB", "P")[index % 4])
        data = io.BytesIO()
        picture.save(data, ("PNG", "JPEG", "BMP", "GIF")[index % 4])
        found.append(data.getvalue())
    return found


def test_an_export_answers_as_the_model_does_from_bytes(tmp_path):
    model = seeded_model()
    requests = encoded()
    exported = tltk.export(model, tmp_path / "serving", requests=requests)
    assert max(exported.largest.values()) <= 1e-5
    serve = tf.saved_model.load(str(exported.path)).signatures["serving_default"]
    answer = serve(tf.constant(requests))
    for index, data in enumerate(requests):
        (tmp_path / "picture.bin").write_bytes(data)
        found, _ = tltk.predict(model, tmp_path / "picture.bin")
        assert answer["label"][index].numpy().decode() == found[0].label
        np.testing.assert_allclose(answer["probability"][index], found[0].probability, atol=1e-5)
    assert answer["labels"][0].numpy().tolist() == [b"red", b"green", b"blue"]


def test_a_process_with_tensorflow_alone_serves_it(tmp_path):
    exported = tltk.export(seeded_model(), tmp_path)
    code = (
        "import sys, tensorflow as tf; serve = tf.saved_model.load(sys.argv[1]).signatures['serving_default'];"
        "picture = tf.io.encode_png(tf.zeros([5, 9, 3], tf.uint8));"
        "print(serve(tf.stack([picture]))['label'].numpy(), [m for m in sys.modules if m in ('tltk', 'keras_hub')])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(exported.path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith("[]")


def test_weights_are_stored_once(tmp_path):
    model = tltk.assemble(
        tltk.backbone("mobilenet_v2", weights="random", image_size=32), tltk.classification(squares().labels)
    )
    exported = tltk.export(model, tmp_path)
    stored = sum(file.stat().st_size for file in (exported.path / "variables").iterdir())
    held = sum(weight.numpy().nbytes for weight in model.keras.weights)
    assert 0.95 * held <= stored < 1.05 * held  # folded batch norms take less


def test_versions_count_up_and_are_never_overwritten(tmp_path, monkeypatch):
    found = Verified(tmp_path, {"serving_default": {}}, 0, 0.0, {}, {})
    monkeypatch.setattr(export, "verify", lambda *_, **__: found)
    model = seeded_model()
    assert [tltk.export(model, tmp_path).path.name for _ in range(2)] == ["1", "2"]
    assert tltk.export(model, tmp_path, version=7).path.name == "7"
    assert tltk.export(model, tmp_path).path.name == "8"
    with pytest.raises(FileExistsError, match=r"7 is there already"):
        tltk.export(model, tmp_path, version=7)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["1", "2", "7", "8"]


def test_two_exports_at_once_become_two_versions(tmp_path, monkeypatch):
    model = seeded_model()

    def meanwhile(written, **_):
        for taken in ("1", "2"):
            (tmp_path / taken).mkdir()
            (tmp_path / taken / "saved_model.pb").write_bytes(b"of another")
        return Verified(written, {"serving_default": {}}, 0, 0.0, {}, {})

    monkeypatch.setattr(export, "verify", meanwhile)
    with pytest.raises(FileExistsError, match=r"2 is there already"):
        tltk.export(model, tmp_path, version=2)
    turns = iter((1, 2, 3))
    monkeypatch.setattr(export, "_next_version", lambda _: next(turns))
    for taken in ("1", "2"):
        shutil.rmtree(tmp_path / taken)
    assert tltk.export(model, tmp_path).path == tmp_path / "3"
    assert {entry.name for entry in tmp_path.iterdir()} == {"1", "2", "3"}
    assert (tmp_path / "2" / "saved_model.pb").read_bytes() == b"of another"


def test_what_is_renamed_into_place_is_on_the_disk(tmp_path, monkeypatch):
    events = []
    found = Verified(tmp_path, {"serving_default": {}}, 0, 0.0, {}, {})
    monkeypatch.setattr(export, "verify", lambda *_, **__: found)
    monkeypatch.setattr(export.files, "flush", lambda *paths: events.append({path.name for path in paths}))
    exported = tltk.export(seeded_model(), tmp_path / "served")
    before, after = events
    assert before >= {"saved_model.pb", "variables.index", "certificate.npz", "variables", "model"}
    assert (after, exported.path.name) == ({"served"}, "1")


def test_an_export_that_is_not_the_model_is_thrown_away(tmp_path, monkeypatch):
    model = seeded_model()
    original = ARCHIVE.write_out

    def corrupt(archive, folder, **options):
        weights = model.keras.get_weights()
        model.keras.set_weights([weight + 0.1 for weight in weights])
        original(archive, folder, **options)
        model.keras.set_weights(weights)

    monkeypatch.setattr(ARCHIVE, "write_out", corrupt)
    with pytest.raises(RuntimeError, match="does not answer as the trained model did"):
        tltk.export(model, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_version_before(tmp_path, monkeypatch):
    model = seeded_model()
    tltk.export(model, tmp_path)

    def full(archive, folder, **_):
        Path(folder).mkdir()
        Path(folder, "saved_model.pb").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ARCHIVE, "write_out", full)
    with pytest.raises(OSError, match="the export could not be written"):
        tltk.export(model, tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]


def test_other_tasks_are_served_under_their_own_names(tmp_path):
    x, y = coloured_squares(6)
    backbone = tltk.backbone(conv_net(), stages=STAGES)
    numbers = tltk.from_arrays(x, y.astype("float32"), label_type="regression", labels=("height",))
    several = tltk.from_arrays(x, np.eye(3, dtype="float32")[y], labels=("a", "b", "c"), label_type="multilabel")
    for source, task, names in (
        (numbers, tltk.regression, {"values", "labels", "valid", "error"}),
        (several, tltk.classification, {"probabilities", "labels", "chosen", "valid", "error"}),
    ):
        exported = tltk.export(tltk.assemble(backbone, task(source.labels)), tmp_path / task.__name__)
        signature = tf.saved_model.load(str(exported.path)).signatures["serving_default"]
        assert set(signature.structured_outputs) == names


def test_a_half_precision_model_is_exported_as_it_computes(tmp_path):
    exported = tltk.export(squares_model(precision="mixed_bfloat16", head=tltk.head(zero_init=False)), tmp_path)
    assert max(exported.largest.values()) <= 1e-5


def test_texts_are_served_as_plain_strings_by_tensorflow_alone(tmp_path):
    from tests.texts import TEXTS, text_model, tiny_preset

    model = text_model(tiny_preset(tmp_path / "preset"), head=tltk.head(zero_init=False))
    said = [*TEXTS, "", "Unlikely FILM!!", "caf\u00e9 \U0001f600", "good " * 100]
    exported = tltk.export(model, tmp_path / "serving", requests=[text.encode() for text in said])
    assert max(exported.largest.values()) <= 1e-5
    answer = tf.saved_model.load(str(exported.path)).signatures["serving_default"](tf.constant(said))
    found, _ = tltk.predict(model, said, batch_size=3)
    used = [text for text in said if text]
    for text, each in zip(used, found, strict=True):
        row = said.index(text)
        assert answer["label"][row].numpy().decode() == each.label
        np.testing.assert_allclose(answer["probability"][row], each.probability, atol=1e-5)


def test_ctrl_c_leaves_the_version_before_and_nothing_else(tmp_path, monkeypatch):
    model = seeded_model()
    first = tltk.export(model, tmp_path)
    before = {path.relative_to(tmp_path): path.stat().st_mtime for path in tmp_path.rglob("*")}

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    for module, name in ((ARCHIVE, "write_out"), (export, "verify")):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(module, name, interrupted)
            tltk.export(model, tmp_path)
        assert {path.relative_to(tmp_path): path.stat().st_mtime for path in tmp_path.rglob("*")} == before
    assert tltk.verify(tmp_path, timed=False).path == first.path


@pytest.mark.parametrize("requests", [["text"], b"one", [], [("a",)], "text"])
def test_requests_that_are_no_bytes_are_told(tmp_path, requests):
    with pytest.raises(TypeError, match=r"`requests` must be a list, not empty, of bytes"):
        tltk.export(seeded_model(), tmp_path, requests=requests)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("version", [-1, True, "../x", 1.0])
def test_a_version_is_a_number(tmp_path, version):
    with pytest.raises(ValueError, match=r"`version` must be a whole number, at least 0"):
        tltk.export(seeded_model(), tmp_path, version=version)


def test_whatever_tensorflow_says_of_a_disk_is_an_os_error(tmp_path, monkeypatch):
    def failed(*_, **__):
        raise tf.errors.UnknownError(None, None, "File too large; and more\nlines")

    monkeypatch.setattr(ARCHIVE, "write_out", failed)
    with pytest.raises(OSError, match=r"could not be written: File too large; and more"):
        tltk.export(seeded_model(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_the_model_itself_cannot_do_is_no_full_disk(tmp_path, monkeypatch):
    def failed(*_, **__):
        raise tf.errors.InvalidArgumentError(None, None, "of the model")

    monkeypatch.setattr(ARCHIVE, "write_out", failed)
    with pytest.raises(tf.errors.InvalidArgumentError, match="of the model"):
        tltk.export(seeded_model(), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [tf.errors.ResourceExhaustedError(None, None, "a"), OSError(errno.ENOSPC, "a")])
def test_a_full_disk_has_its_number(tmp_path, monkeypatch, error):
    def failed(*_, **__):
        raise error

    monkeypatch.setattr(ARCHIVE, "write_out", failed)
    with pytest.raises(OSError, match="the export could not be written") as caught:
        tltk.export(seeded_model(), tmp_path)
    assert caught.value.errno == errno.ENOSPC


def test_a_link_that_leads_nowhere_is_in_the_way(tmp_path):
    (tmp_path / "3").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError, match=r"3 is there already"):
        tltk.export(seeded_model(), tmp_path, version=3)
