"""Other tasks than classification with one class, on sounds, by the public functions."""

import keras
import numpy as np
import pytest

import tltk
from tests.sounds import tone
from tltk.specs import AudioSpec

SPEC = AudioSpec(sample_rate=8000, seconds=0.25)
PITCHES = (300, 900, 2700)


def network():
    """Build a small network on the spectrum: waveforms → features of frames [batch, frames, 16]."""
    waveform = keras.Input(SPEC.shape, name="waveform")
    real, imaginary = keras.ops.stft(waveform, 128, 64, 128)
    spectrum = keras.ops.log(real * real + imaginary * imaginary + 1e-3)
    return keras.Model(waveform, keras.layers.Conv1D(16, 3, activation="relu", name="body")(spectrum))


def mixture(names, seed):
    """Return a sum of tones, as loud as their number says."""
    parts = [tone(pitch=PITCHES[name], seconds=0.25, seed=seed) for name in names]
    return sum(parts, np.random.default_rng(seed).normal(0, 0.01, 2000)).astype("float32") / 3


@pytest.fixture(scope="module")
def trained():
    """Train a model for several labels, and one for a number, on the same sounds."""
    sets = [[name for name in range(3) if row >> name & 1] for row in range(8)] * 4
    sounds = [mixture(names, seed) for seed, names in enumerate(sets)]
    labels = [[f"tone {name}" for name in names] for names in sets]
    several = tltk.from_arrays(sounds, labels, label_type="multilabel", sample_rate=8000)
    loudness = [float(len(names)) for names in sets]
    numbers = tltk.from_arrays(sounds, loudness, label_type="regression", labels=["tones"], sample_rate=8000)
    options = {"plan": tltk.train_all(), "epochs": 25, "learning_rate": 1e-2, "batch_size": 8, "verbose": 0}
    runs = {}
    for source, task in ((several, tltk.classification), (numbers, tltk.regression)):
        backbone = tltk.backbone(network(), spec=SPEC)
        model = tltk.assemble(backbone, task(source.labels), precision="float32")
        runs[task.__name__] = source, tltk.fit(model, source, source, **options)
    return runs


def test_several_labels_are_predicted_and_averaged_over_windows(trained):
    source, run = trained["classification"]
    assert tltk.evaluate(run, source, worst=0).metrics["mean_average_precision"] > 0.95
    predictions = tltk.predict(run, source)
    assert predictions.probabilities.shape == (32, 3) and set(predictions.labels[7]) <= {"tone 0", "tone 1", "tone 2"}
    long = np.concatenate([mixture([0], 1), mixture([2], 2)])
    windows = tltk.predict(run, long, per_window=True)
    assert windows.labels == (("tone 0",), ("tone 2",)) and windows.times.tolist() == [[0, 0.25], [0.25, 0.5]]
    averaged = tltk.predict(run, long, overlap=0.0).probabilities
    np.testing.assert_allclose(averaged[0], windows.probabilities.mean(0), atol=1e-6)


def test_numbers_are_predicted_and_averaged_over_windows(trained, tmp_path, replay_here):
    source, run = trained["regression"]
    report = tltk.evaluate(run, source, worst=2)
    assert report.metrics["r2"] > 0.8 and list(report.drawings) == ["example 0", "example 1"]
    windows = tltk.predict(run, np.concatenate([source[0].input, source[7].input]), per_window=True)
    np.testing.assert_allclose(windows.values, tltk.predict(run, source).values[[0, 7]], atol=1e-5)
    assert max(tltk.export(run, tmp_path / "serving").largest_differences.values()) < 1e-4


def test_embeddings_find_the_tones_without_labels(trained):
    _, run = trained["classification"]
    sounds = tltk.from_arrays([mixture([row % 3], row) for row in range(24)], np.arange(24) % 3, sample_rate=8000)
    features = tltk.embed(run, sounds)
    assert features.features.shape == (24, 16) and features.targets.tolist() == [row % 3 for row in range(24)]
    clusters = tltk.cluster(features, n_clusters=3)
    assert len({(label, row % 3) for row, label in enumerate(clusters.labels)}) == 3
    found = tltk.embed(run, tltk.windows(sounds, seconds=0.125))
    assert len(found.features) == 48 and found.ids[1] == "example 0, 0.125 to 0.25 s"
