"""The speaker encoder gives the answers of the original. Its weights come from a package registry."""

import numpy as np
import pytest

import tltk
from tests.modalities.audio.test_mel import by_numpy, chirp
from tltk.backbones import torch_file, weights
from tltk.backbones.audio import speaker_encoder as encoder
from tltk.modalities.audio.mel import MelSpectrogram


@pytest.fixture(scope="module")
def path():
    return weights.get(encoder.NAME) / encoder.FILE


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_numpy_lstm(samples, tensors):
    """Compute what Resemblyzer computes, from its weights: volume, mel bands, LSTM layers, projection, unit length."""
    louder = samples * max(1, 10 ** (-30 / 20) / np.sqrt(np.mean(samples**2)))
    sequence = by_numpy(louder, MelSpectrogram(16_000, 400, 160, 400, 40))[:160]
    for layer in range(3):
        names = [f"lstm.{part}_l{layer}" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        inputs, states, *biases = (tensors[name].astype("float64") for name in names)
        hidden, cell, outputs = np.zeros(256), np.zeros(256), []
        for frame in sequence:
            gates = inputs @ frame + states @ hidden + sum(biases)
            input_gate, forget_gate, candidate, output_gate = np.split(gates, 4)
            cell = sigmoid(forget_gate) * cell + sigmoid(input_gate) * np.tanh(candidate)
            hidden = sigmoid(output_gate) * np.tanh(cell)
            outputs.append(hidden)
        sequence = np.array(outputs)
    embedding = np.maximum(tensors["linear.weight"] @ sequence[-1] + tensors["linear.bias"], 0)
    return embedding / np.linalg.norm(embedding)


def test_embeddings_are_those_of_the_reference(path):
    tensors = torch_file.read(path, member="model_state")
    samples = np.resize(chirp(), 25_600) + np.float32(1e-6)  # no sample is zero: those count as padding
    quiet = samples * 0.05
    backbone = tltk.backbone("speaker_encoder", weights=path)
    features = tltk.embed(backbone, tltk.from_arrays([samples, quiet], sample_rate=16_000)).features
    for row, expected in enumerate((by_numpy_lstm(samples, tensors), by_numpy_lstm(quiet, tensors))):
        np.testing.assert_allclose(features[row], expected, atol=1e-5)
    assert (
        sum(tensor.size for name, tensor in tensors.items() if "similarity" not in name and "bias_hh" not in name)
        == encoder.PARAMETERS
    )
    assert backbone.endpoints()["lstm2"].channels == 256


def test_a_file_without_these_weights_is_refused(tmp_path, path, monkeypatch):
    monkeypatch.setattr(torch_file, "read", lambda path, member: {"lstm.weight_ih_l0": np.zeros((3, 2))})
    with pytest.raises(
        tltk.errors.InvalidInput, match=r"'lstm.weight_ih_l0' must have the shape \(1024, 40\)"
    ) as error:
        tltk.backbone("speaker_encoder", weights=path).build()
    assert "'lstm.weight_hh_l0' must have the shape (1024, 256). Received: no such tensor" in str(error.value)


def test_other_lengths_are_taken_and_other_rates_refused():
    longer = tltk.backbone("speaker_encoder", weights="random", spec=tltk.AudioSpec(seconds=3))
    assert longer.input_spec.samples == 48_000
    with pytest.raises(ValueError, match=r"speaker_encoder takes sounds at 16000 Hz. Received: AudioSpec at 8000 Hz"):
        tltk.backbone("speaker_encoder", spec=tltk.AudioSpec(sample_rate=8000))
