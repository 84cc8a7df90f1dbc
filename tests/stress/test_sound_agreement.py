"""Exports of a small model of sounds agree with `tltk.predict` on damaged sounds too."""

import pytest
import tensorflow as tf

from tests.conftest import replaying_here
from tests.stress import sound_agreement as sounds
from tests.stress.agreement import compare_file, compare_saved_model


@pytest.fixture(scope="module")
def model():
    return sounds.classifier()


def test_a_saved_model_agrees_on_files_and_samples(model, tmp_path):
    with replaying_here():
        agreement = compare_saved_model(model, tmp_path / "agreement", count=48)
    assert agreement.problems == []
    assert agreement.damaged == 12 and agreement.unreadable >= 8
    assert agreement.measures["of other formats, refused"] >= 2
    assert agreement.measures["largest difference of probabilities"] <= 1e-5
    saved_model = tf.saved_model.load(str(tmp_path / "agreement" / "serving" / "1"))
    signature = saved_model.signatures["predict_padded_waveform"]
    problems, unreadable = sounds.sample_problems(model, signature, count=24, seed=0)
    assert problems == [] and unreadable == 6


@pytest.mark.parametrize("file_format", ["onnx", "openvino", "litert"])
def test_a_file_that_takes_waveforms_agrees(model, tmp_path, file_format):
    with replaying_here():
        agreement = compare_file(model, tmp_path / "agreement", file_format=file_format, count=16)
    assert agreement.problems == [] and agreement.unreadable >= 2
    assert agreement.measures["largest difference of probabilities"] <= 1e-4
