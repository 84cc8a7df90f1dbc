"""A certificate travels with its SavedModel and tells when the answers are not those of training."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import tltk
from tests.conftest import squares_model
from tests.texts import text_model, tiny_preset
from tltk.foundation import checks as check
from tltk.serving import certificate
from tltk.serving.replay import replay


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    for _ in range(2):
        tltk.export(squares_model(head=tltk.head(zero_init=False)), folder / "pictures")
    model = text_model(tiny_preset(folder / "preset"), head=tltk.head(zero_init=False, normalization=None))
    tltk.export(model, folder / "texts")
    return folder


@pytest.mark.parametrize("c_interface", [False, True])
@pytest.mark.parametrize("kind", ["pictures", "texts"])
def test_it_is_replayed_and_timed_in_a_clean_process(exported, kind, c_interface):
    found = tltk.verify(exported / kind, c_interface=c_interface)
    assert found.path.name == ("2" if kind == "pictures" else "1")
    assert set(found.differences) == {"serving_default", "predict_tensor", "embed"}
    assert max(found.largest.values()) <= certificate.TOLERANCE
    assert found.bytes == sum(file.stat().st_size for file in found.path.rglob("*") if file.is_file())
    assert found.load_seconds > 0
    assert set(found.latency) == {"1", "32"}
    assert all(0 < each["p50_ms"] <= each["p99_ms"] for each in found.latency.values())


def test_a_version_that_is_named_is_the_one_and_nothing_need_be_timed(exported):
    found = tltk.verify(exported / "pictures" / "1", timed=False)
    assert found.path.name == "1"
    assert found.latency == {}
    assert found.first["label"]


def test_it_holds_two_dozen_requests_and_little_room(exported):
    stored = np.load(exported / "pictures" / "1" / certificate.FILE)
    assert len(stored["serving_default/ask/image_bytes:ends"]) == 26
    assert stored["serving_default/answer/valid"].tolist() == [True] * 24 + [False] * 2
    assert len(stored["predict_tensor/ask/pixels"]) == 2
    assert (exported / "pictures" / "1" / certificate.FILE).stat().st_size < 1_000_000


@pytest.mark.parametrize("c_interface", [False, True])
def test_a_model_that_answers_otherwise_is_found_out(exported, tmp_path, c_interface):
    shutil.copytree(exported / "pictures" / "1", tmp_path / "1")
    place = tmp_path / "1" / certificate.FILE
    stored = dict(np.load(place))
    stored["serving_default/answer/probability"] = stored["serving_default/answer/probability"] + 1e-4
    stored["serving_default/answer/label"][0] ^= 1
    stored["embed/answer/more"] = np.zeros(26)
    np.savez(place, **stored)
    with pytest.raises(RuntimeError) as caught:
        tltk.verify(tmp_path, timed=False, c_interface=c_interface)
    said = str(caught.value)
    assert "does not answer as the trained model did" in said
    assert (
        "`label` of serving_default differs: 1" in said and "`probability` of serving_default differs: 0.0001" in said
    )
    assert "`more` of embed differs: inf" in said
    assert "`probabilities`" not in said


@pytest.mark.parametrize("damage", ["garbage", "cut", "flipped", "of another tool"])
def test_a_damaged_certificate_is_not_taken_for_a_damaged_model(exported, tmp_path, damage):
    shutil.copytree(exported / "pictures" / "1", tmp_path / "1")
    place = tmp_path / "1" / certificate.FILE
    data = place.read_bytes()
    middle = len(data) // 2
    if damage == "of another tool":
        np.savez(place, a=np.zeros(1))
    else:
        flipped = data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]
        place.write_bytes({"garbage": b"none", "cut": data[:middle], "flipped": flipped}[damage])
    with pytest.raises(check.ServingError, match=r"certificate\.npz is damaged, or of an older tltk"):
        tltk.verify(tmp_path, timed=False)


def test_a_model_that_cannot_be_loaded_is_told(exported, tmp_path):
    shutil.copytree(exported / "texts" / "1", tmp_path / "1")
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"none")
    with pytest.raises(RuntimeError, match=r"could not be loaded or called in a clean process: \w+: [^\n]+$"):
        tltk.verify(tmp_path, timed=False)
    with pytest.raises(RuntimeError, match=r"could not be loaded or called in a clean process: RuntimeError: [^\n]+$"):
        tltk.verify(tmp_path, timed=False, c_interface=True)


def test_what_is_missing_is_told(exported, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no exported model and no versions of one"):
        tltk.verify(tmp_path / "nowhere")
    shutil.copytree(exported / "texts" / "1", tmp_path / "1")
    (tmp_path / "1" / certificate.FILE).unlink()
    with pytest.raises(FileNotFoundError, match="has no certificate"):
        tltk.verify(tmp_path)


def test_strings_of_any_bytes_and_lengths_come_back_and_take_their_own_room(tmp_path):
    asked = [b"", b"ends in zeros\x00\x00", "süß".encode(), bytes(300_000)]
    labels = np.array([[b"a", b"bc"], [b"", b"d\0"]], object)
    stored = {"ask": {"x": asked}, "answer": {"y": np.array([[1.5], [2.0], [3.0]]), "labels": labels}}
    tensor = {"ask": {"t": np.zeros([2, 3])}, "answer": {"y": np.ones(2)}}
    features = {"ask": {"x": asked}, "answer": {"f": np.ones(4)}}
    certificate.write(tmp_path, {"serving_default": stored, "predict_tensor": tensor, "embed": features})
    held = np.load(tmp_path / certificate.FILE, allow_pickle=False)
    assert replay._columns(held, "serving_default/ask/")["x"].tolist() == asked
    assert replay._columns(held, "serving_default/answer/")["labels"].tolist() == labels.tolist()
    assert replay._columns(held, "embed/ask/") == {}  # the same requests are stored once
    assert sum(each.nbytes for each in held.values()) < 310_000
    np.testing.assert_array_equal(held["serving_default/answer/y"], [[1.5], [2.0], [3.0]])


def test_each_number_is_measured_by_itself():
    expected = np.array([[1e12, 30.0], [2e12, 31.0]])
    assert replay._difference(expected + np.array([[0, 3], [0, 0]]), expected) == pytest.approx(0.1)
    assert replay._difference(expected * (1 + 1e-7), expected) == pytest.approx(1e-7, rel=0.1)
    assert replay._difference(np.array([0.5]), np.array([0.25])) == 0.25
    assert np.isnan(replay._difference(np.array([np.nan]), np.array([1.0])))
    assert replay._difference(np.array([1.0, 2.0]), np.array([1.0])) == np.inf


def test_a_process_that_is_killed_and_a_missing_operation_are_told(exported, tmp_path, monkeypatch):
    shutil.copytree(exported / "texts" / "1", tmp_path / "1")
    place = tmp_path / "1" / certificate.FILE
    stored = dict(np.load(place))
    tensors = json.loads(str(stored["tensors"]))
    tensors["embed"]["ask"]["texts"] = "nowhere:0"
    np.savez(place, **{**stored, "tensors": json.dumps(tensors)})
    with pytest.raises(RuntimeError, match="RuntimeError: no operation 'nowhere' in the graph"):
        tltk.verify(tmp_path, timed=False, c_interface=True)
    script = tmp_path / "killed.py"
    script.write_text("import os; os.kill(os.getpid(), 9)")
    monkeypatch.setattr(certificate, "_REPLAY", script)
    with pytest.raises(RuntimeError, match="was ended by signal 9"):
        tltk.verify(tmp_path, timed=False)


def test_a_number_that_is_none_is_no_answer(exported, tmp_path):
    shutil.copytree(exported / "texts" / "1", tmp_path / "1")
    place = tmp_path / "1" / certificate.FILE
    stored = dict(np.load(place))
    stored["embed/answer/features"][0] = np.nan
    np.savez(place, **stored)
    with pytest.raises(RuntimeError, match="`features` of embed differs: nan"):
        tltk.verify(tmp_path, timed=False)


def test_what_has_no_c_interface_is_told(tmp_path):
    done = tltk.export(squares_model(), tmp_path / "onnx", format="onnx")
    with pytest.raises(ValueError, match="`c_interface` is of a SavedModel"):
        tltk.verify(done.path, c_interface=True)


def test_verify_needs_nothing_but_tensorflow(exported):
    code = """
import sys
class Refused:
    def find_spec(self, name, *_):
        if name.split(".")[0] in {"keras_hub", "sklearn", "typer", "rich", "PIL", "jinja2", "matplotlib", "filelock",
                                  "tensorflow_datasets", "safetensors", "tensorflow_text"}:
            raise ImportError(name)
sys.meta_path.insert(0, Refused())
import tltk
for c_interface in (False, True):
    print(max(tltk.verify(sys.argv[1], timed=False, c_interface=c_interface).largest.values()) <= 1e-5)
print(sorted({"tensorflow", "keras"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(exported / "texts")], capture_output=True, text=True, check=False
    )
    assert done.stdout.split("\n")[:3] == ["True", "True", "[]"], done.stderr
