"""Windows of long recordings, computed by hand."""

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf

import tltk
from tests.sounds import tone
from tltk.data.formats.sounds import Clip
from tltk.modalities.audio.windows import window_frames
from tltk.modalities.modality import modality_of
from tltk.specs import AudioSpec

SPEC = AudioSpec(sample_rate=8000, seconds=0.5)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Ramps of 2, 0.3 and 1.1 s in two formats, an empty and a damaged file."""
    folder = tmp_path_factory.mktemp("recordings")
    for number, (seconds, name) in enumerate(((2, "a.wav"), (0.3, "b.wav"), (1.1, "c.flac"))):
        (folder / str(number % 2)).mkdir(exist_ok=True)
        ramp = np.linspace(-0.9, 0.9, round(8000 * seconds))
        soundfile.write(folder / str(number % 2) / name, ramp, 8000, subtype="PCM_16")
    (folder / "0" / "empty.wav").write_bytes(b"")
    (folder / "1" / "cut.wav").write_bytes((folder / "0" / "a.wav").read_bytes()[:-10])
    return folder


def rising(spec=SPEC):
    """Return a model whose probability of "high" is the sigmoid of 4 times the mean of the samples."""
    waveform = keras.Input(spec.shape, name="waveform")
    mean = keras.layers.GlobalAveragePooling1D()(keras.layers.Reshape((-1, 1))(waveform))
    network = keras.Model(waveform, keras.layers.Dense(1, activation="sigmoid")(mean))
    network.layers[-1].set_weights([np.array([[4.0]]), np.zeros(1)])
    return tltk.adopt(network, tltk.classification(["low", "high"]), spec=spec)


def test_windows_cover_a_recording_and_the_last_ends_with_it():
    assert list(window_frames(8, 1000, 0.004, 0.0)) == [(0, 4), (4, 8)]
    assert list(window_frames(9, 1000, 0.004, 0.002)) == [(0, 4), (2, 6), (4, 8), (5, 9)]
    assert list(window_frames(4, 1000, 0.004, 0.003)) == [(0, 4)]
    assert list(window_frames(1, 1000, 0.004, 0.003)) == [(0, 1)]
    assert list(window_frames(3, 1000, 0.0004, 0.0)) == [(0, 1), (1, 2), (2, 3)]  # of a sample at least


def test_a_source_of_windows_keeps_labels_weights_and_recordings_together(recordings):
    source = tltk.from_folder(recordings)
    cut = tltk.windows(source.with_sample_weight(range(1, 6)), seconds=0.5, overlap=0.25)
    starts = {"0/a.wav": [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5], "0/c.flac": [0, 0.25, 0.5, 0.6], "1/b.wav": [0]}
    assert [clip.start for clip in cut.examples] == pytest.approx([*starts["0/a.wav"], *starts["0/c.flac"], 0])
    assert cut.ids[10] == "0/c.flac, 0.6 to 1.1 s" and cut.ids[11] == "1/b.wav, 0 to 0.3 s"
    assert cut.targets.classes().tolist() == [0] * 11 + [1]
    assert cut.groups.tolist() == [cut.groups[0]] * 7 + [cut.groups[7]] * 4 + [cut.groups[11]]
    assert len(set(cut.groups)) == 3
    weights = {"0/a.wav": 1, "0/c.flac": 2, "1/b.wav": 4}
    assert cut.sample_weight.tolist() == [weights[name.split(",")[0]] for name in cut.ids]
    reasons = {example.example_id: example.reason for example in cut.invalid}
    assert reasons == {"0/empty.wav": "0 bytes", "1/cut.wav": "truncated or damaged WAV"}
    again = tltk.windows(cut, seconds=0.25)  # windows of windows are parts of the same recordings
    assert again.ids[1] == "0/a.wav, 0 to 0.5 s, 0.25 to 0.5 s" and again.examples[3] == Clip(
        again.examples[3].path, 0.5, 0.75
    )
    assert set(again.groups) == set(cut.groups)
    for seed in range(3):
        parts = tltk.split(
            tltk.from_arrays(np.zeros((8, 9000)), [0, 1] * 4, sample_rate=8000), seed=seed, val=2, test=2
        )
        cut_parts = tltk.split(tltk.windows(parts[0], seconds=0.25), val=0.25, test=0.25, seed=seed)
        names = [{name.split(",")[0] for name in part.ids} for part in cut_parts]
        assert all(names) and not names[0] & names[1] and not names[0] & names[2] and not names[1] & names[2]


def test_predictions_of_windows_are_averaged_or_given_one_by_one(recordings):
    model, path = rising(), recordings / "0" / "a.wav"
    ramp = (np.linspace(-0.9, 0.9, 16_000) * 32_768).round() / 32_768
    means = [ramp[first : first + 4000].mean() for first in (0, 3000, 6000, 9000, 12_000)]
    one_by_one = tltk.predict(model, path, per_window=True, overlap=0.125)
    assert np.allclose(one_by_one.probabilities[:, 1], 1 / (1 + np.exp(-4 * np.array(means))), atol=1e-4)
    assert one_by_one.times.tolist() == [[start, start + 0.5] for start in (0, 0.375, 0.75, 1.125, 1.5)]
    assert one_by_one[3:].times.tolist() == [[1.125, 1.625], [1.5, 2.0]] and one_by_one[:0].times.shape == (0, 2)
    assert list(one_by_one.labels) == ["low", "low", "low", "high", "high"]
    averaged = tltk.predict(model, [path, recordings / "1" / "b.wav"], overlap=0.125)
    assert averaged.times is None and len(averaged) == 2
    short = one_by_one.probabilities.mean(0), [0.5, 0.5]  # 0.3 s of a ramp around 0, in the middle of silence
    assert np.allclose(averaged.probabilities, short, atol=1e-4)
    assert np.allclose(tltk.predict(model, path).probabilities, [[0.5, 0.5]], atol=1e-4)  # the middle alone
    samples = tltk.predict(model, [ramp, np.linspace(-0.9, 0.9, 2400)], overlap=0.125)
    assert np.allclose(samples.probabilities, averaged.probabilities, atol=1e-4)
    listed = tltk.predict(model, ramp, per_window=True)
    assert listed.ids[1] == "example 0, 0.5 to 1 s" and listed.times.tolist()[1] == [0.5, 1.0]
    bad = tltk.predict(model, [recordings / "1" / "cut.wav", path, recordings / "0" / "empty.wav"], per_window=True)
    assert len(bad) == 4 and [example.reason for example in bad.invalid] == ["truncated or damaged WAV", "0 bytes"]


def test_one_damaged_window_makes_its_recording_invalid(tmp_path):
    samples = np.full(16_000, 0.5, "float32")
    soundfile.write(tmp_path / "good.wav", samples, 8000, subtype="FLOAT")
    samples[9000] = np.nan
    soundfile.write(tmp_path / "bad.wav", samples, 8000, subtype="FLOAT")
    predictions = tltk.predict(rising(), [tmp_path / "bad.wav", tmp_path / "good.wav"], overlap=0)
    assert np.allclose(predictions.probabilities[:, 1], 1 / (1 + np.exp(-2)))
    assert [example.reason for example in predictions.invalid] == ["NaN or infinite samples"]


def test_evaluation_and_exports_average_over_windows(recordings, tmp_path, replay_here):
    spec = AudioSpec(8000, 0.5, overlap=0.125)
    model = rising(spec)
    loud = [np.concatenate([np.full(4000, -0.9), np.full(8000, 0.8)]), np.full(3000, -0.2), np.full(16_000, 0.9)]
    source = tltk.from_arrays(loud, ["high", "low", "high"], labels=("low", "high"), sample_rate=8000)
    assert tltk.evaluate(model, source).metrics["accuracy"] == 1
    assert tltk.evaluate(rising(), source, overlap=0.4).example_count == 3
    exported = tltk.export(model, tmp_path / "serving")
    assert max(exported.largest_differences.values()) < 1e-5
    serve = tf.saved_model.load(str(exported.path)).signatures["serving_default"]
    files = [(recordings / name).read_bytes() for name in ("0/a.wav", "1/cut.wav", "1/b.wav")]
    soundfile.write(tmp_path / "other_rate.wav", tone(seconds=1.3, rate=11_025) + 0.3, 11_025)
    answer = serve(audio_bytes=tf.constant([*files, (tmp_path / "other_rate.wav").read_bytes()]))
    assert answer["valid"].numpy().tolist() == [True, False, True, True]
    paths = [recordings / "0" / "a.wav", recordings / "1" / "b.wav", tmp_path / "other_rate.wav"]
    expected = tltk.predict(model, paths).probabilities
    np.testing.assert_allclose(answer["probabilities"].numpy()[[0, 2, 3]], expected, atol=1e-5)


def test_a_model_is_trained_on_windows_of_recordings(tmp_path):
    sounds = [tone(pitch=pitch, seconds=1.2, seed=seed) for seed, pitch in enumerate((300, 1500) * 4)]
    source = tltk.from_arrays(sounds, ["low", "high"] * 4, sample_rate=8000)
    spec = AudioSpec(8000, 0.5, overlap=0.1)
    reader = modality_of(spec).reader(source, spec)
    assert reader.count == 24 and reader.example_ids.tolist() == np.repeat(np.arange(8), 3).tolist()
    waveform = keras.Input(spec.shape)
    frames = keras.layers.Conv1D(8, 64, strides=32, activation="relu", name="body")(waveform[..., None])
    backbone = tltk.backbone(keras.Model(waveform, frames), spec=spec)
    histories = []
    for cache in ("memory", "off"):
        model = tltk.assemble(backbone, tltk.classification(source.labels), precision="float32", seed=0)
        recipe = tltk.linear_probe(epochs=2, augment=())
        run = tltk.fit(model, source, source, recipe=recipe, cache=cache, batch_size=6, verbose=0)
        histories.append([epoch["loss"] for epoch in run.history])
    np.testing.assert_allclose(*histories, rtol=1e-5)
    assert tltk.embed(run, source).features.shape == (8, 8)  # of one window, as for texts


def test_what_has_no_windows_is_refused_in_words():
    images = tltk.from_arrays(np.zeros((2, 8, 8, 3), "uint8"), ["a", "b"])
    with pytest.raises(ValueError, match="windows are cut out of sounds"):
        tltk.windows(images, seconds=1)
    with pytest.raises(ValueError, match=r"`overlap` must be at least 0 and at most 90% of a window of 1 s.*1"):
        tltk.windows(tltk.from_arrays(np.zeros((1, 80)), sample_rate=8000), seconds=1, overlap=1)
    with pytest.raises(ValueError, match="`per_window=True` needs recordings: pass a Source"):
        tltk.predict(rising(), tf.data.Dataset.from_tensors(np.zeros(4000, "float32")), per_window=True)
    from tests.conftest import squares, squares_model

    with pytest.raises(ValueError, match="`per_window=True` is for sounds; the model takes images"):
        tltk.predict(squares_model(), squares(2), per_window=True)
    with pytest.raises(ValueError, match="`overlap` is for texts and sounds; the model takes images"):
        tltk.evaluate(squares_model(), squares(2), overlap=0.5)
