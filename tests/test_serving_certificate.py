"""A certificate travels with its SavedModel and tells when the answers are not those of training."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

import tltk
from tests.conftest import squares_model
from tests.texts import text_model, tiny_preset
from tltk.serving import certificate


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
    assert len(stored["serving_default/ask/image_bytes"]) == 26
    assert stored["serving_default/answer/valid"].tolist() == [True] * 24 + [False] * 2
    assert len(stored["predict_tensor/ask/pixels"]) == 2
    assert (exported / "pictures" / "1" / certificate.FILE).stat().st_size < 1_000_000


@pytest.mark.parametrize("c_interface", [False, True])
def test_a_model_that_answers_otherwise_is_found_out(exported, tmp_path, c_interface):
    shutil.copytree(exported / "pictures" / "1", tmp_path / "1")
    place = tmp_path / "1" / certificate.FILE
    stored = dict(np.load(place))
    stored["serving_default/answer/probability"] = stored["serving_default/answer/probability"] + 1e-4
    stored["serving_default/answer/label"][3] = b"none".hex()
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


def test_strings_of_any_bytes_come_back(tmp_path):
    asked = [b"", b"ends in zeros\x00\x00", "süß".encode()]
    certificate.write(tmp_path, {"one": {"ask": {"x": asked}, "answer": {"y": np.array([[1.5], [2.0], [3.0]])}}})
    stored = np.load(tmp_path / certificate.FILE, allow_pickle=False)
    assert [bytes.fromhex(each) for each in stored["one/ask/x"]] == asked
    np.testing.assert_array_equal(stored["one/answer/y"], [[1.5], [2.0], [3.0]])


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
