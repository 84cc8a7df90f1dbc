"""Sounds from fit to a SavedModel, with a small network of the user's own."""

import io
import json
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tltk
from tests.commands import command
from tests.conftest import replaying_here
from tests.sounds import clips_folder, tone, wav
from tltk.errors import InvalidInput
from tltk.serving.replay import runtimes
from tltk.specs import AudioSpec

SPEC = AudioSpec(sample_rate=8000, seconds=0.4, trim_silence=40)


def network():
    """Build a small network: waveforms → features of frames [batch, frames, 8]."""
    waveform = keras.Input(SPEC.shape, name="waveform")
    real, imaginary = keras.ops.stft(waveform, 256, 128, 256)
    spectrum = keras.ops.log(real * real + imaginary * imaginary + 1e-3)
    x = keras.layers.Conv1D(8, 3, activation="relu", name="stem")(spectrum)
    return keras.Model(waveform, keras.layers.Conv1D(8, 3, activation="relu", name="body")(x))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return clips_folder(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    clips = tltk.from_folder(folder)
    model = tltk.assemble(tltk.backbone(network(), spec=SPEC), tltk.classification(clips.labels), precision="float32")
    options = {"plan": tltk.train_all(), "epochs": 12, "learning_rate": 1e-2, "batch_size": 4, "verbose": 0}
    return tltk.fit(model, clips, clips, out=tmp_path_factory.mktemp("run"), **options)


def test_pitches_are_told_apart_from_files_folders_and_samples(run, folder):
    assert tltk.evaluate(run, tltk.from_folder(folder)).metrics["accuracy"] == 1
    files = tltk.predict(run, [folder / "low" / "0.wav", folder / "high" / "0.wav"])
    assert list(files.labels) == ["low", "high"]
    assert list(tltk.predict(run, folder / "low").labels) == ["low"] * 6
    samples = [tone(pitch=300), tone(pitch=1500, seconds=0.3)]
    assert list(tltk.predict(run, samples).labels) == ["low", "high"]
    assert list(tltk.predict(run, samples[0]).labels) == ["low"]
    with pytest.raises(InvalidInput, match=r"one recording \[samples, channels\].*x.mean\(1\)"):
        tltk.predict(run, np.stack([samples[0]] * 2, 1))


def test_cached_features_and_augmented_sounds_are_trained_on(folder, tmp_path):
    clips, histories = tltk.from_folder(folder), {}
    network_of_both = network()  # the same weights: a linear probe does not change them
    noise = tltk.augment.add_noise(files=folder / "high", sample_rate=8000)
    room = tltk.augment.reverberation(sample_rate=8000)
    augmentations = (tltk.augment.time_shift(), tltk.augment.speed(), noise, room, tltk.augment.mixup())
    for cache, augment in (("memory", ()), ("off", ()), ("off", augmentations)):
        backbone = tltk.backbone(network_of_both, spec=SPEC, stages={"stem": "stem", "body": "body"})
        model = tltk.assemble(backbone, tltk.classification(clips.labels), precision="float32", seed=0)
        recipe = tltk.linear_probe(epochs=2, learning_rate=1e-2, augment=augment)
        run = tltk.fit(model, clips, clips, recipe=recipe, cache=cache, batch_size=4, verbose=0)
        histories[cache, augment] = [epoch["loss"] for epoch in run.history]
    cached, uncached, augmented = histories.values()
    np.testing.assert_allclose(cached, uncached, rtol=1e-5)
    assert augmented != uncached


def test_augmentations_of_images_are_refused(run, folder):
    augment = (tltk.augment.flip(), tltk.augment.gain())
    with pytest.raises(ValueError, match=r"flip cannot be applied to sounds. Those that can: .*time_shift"):
        tltk.from_folder(folder).to_dataset(run.model, augment=augment)
    images = tltk.from_arrays(np.zeros((2, 8, 8, 3), "uint8"), ["a", "b"])
    with pytest.raises(ValueError, match=r"gain cannot be applied to images"):
        images.to_dataset(tltk.ImageSpec(8, 8), augment=augment)


def test_files_and_rates_of_augmentations_are_checked_before_the_first_phase(run, folder):
    clips, a = tltk.from_folder(folder), tltk.augment
    augment = (a.add_noise(files=folder / "gone.wav", sample_rate=8000),)
    with pytest.raises(ValueError, match=r"(?s)phase '\w+': .*gone\.wav: missing"):
        tltk.fit(run.model, clips, recipe=tltk.fine_tune(epochs=1, augment=augment), verbose=0)
    with pytest.raises(ValueError, match=r"reverberation is for sounds at 16000 Hz, and the model takes 8000 Hz"):
        clips.to_dataset(run.model, augment=(a.gain(), a.reverberation()))


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    with replaying_here():
        return tltk.export(run, tmp_path_factory.mktemp("serving"))


def test_an_export_agrees_with_predict_and_one_bad_request_does_not_spoil_the_batch(exported, run, folder):
    assert max(exported.largest_differences.values()) < 1e-5
    serve = tf.saved_model.load(str(exported.path)).signatures["serving_default"]
    good, stereo = (folder / "low" / "1.wav").read_bytes(), wav(np.stack([tone(pitch=1500)] * 2, 1))
    answer = serve(audio_bytes=tf.constant([good, b"", good[:-7], stereo, b"fLaC"]))
    long = wav(np.pad(tone(pitch=1500), (9000, 3000)))  # without trimming, the model would get silence
    (folder.parent / "long.wav").write_bytes(long)
    trimmed = serve(audio_bytes=tf.constant([long]))
    assert trimmed["label"].numpy().tolist() == [b"high"]
    probabilities = tltk.predict(run, folder.parent / "long.wav").probabilities
    np.testing.assert_allclose(trimmed["probabilities"], probabilities, atol=1e-6)
    assert answer["valid"].numpy().tolist() == [True, False, False, True, False]
    assert answer["label"].numpy().tolist() == [b"low", b"", b"", b"high", b""]
    assert answer["error"].numpy().tolist() == [b"", b"0 bytes", b"truncated or damaged WAV", b"", b"not a WAV file"]
    predicted = tltk.predict(run, folder / "low" / "1.wav")
    np.testing.assert_allclose(answer["probabilities"][0], predicted.probabilities[0], atol=1e-6)


def test_an_export_takes_samples_of_any_rate_and_length(exported, run):
    signatures = tf.saved_model.load(str(exported.path)).signatures
    serve, serve_padded = signatures["predict_waveform"], signatures["predict_padded_waveform"]
    low, high = tone(pitch=300, rate=11_025), tone(pitch=1500, rate=11_025)
    samples = np.stack([low, np.full_like(low, np.nan), high])
    answer = serve(samples=tf.constant(samples), sample_rate=tf.constant(11_025))  # one rate for all
    assert answer["valid"].numpy().tolist() == [True, False, True]
    assert answer["label"].numpy().tolist() == [b"low", b"", b"high"]
    assert answer["error"].numpy().tolist() == [b"", b"NaN or infinite samples", b""]
    predicted = tltk.predict(run, tltk.from_arrays([low, high], sample_rate=11_025)).probabilities
    np.testing.assert_allclose(answer["probabilities"].numpy()[[0, 2]], predicted, atol=1e-6)
    answer = serve(samples=tf.constant(samples), sample_rate=tf.constant([11_025, 11_025, 7]))
    assert answer["error"].numpy().tolist() == [
        b"",
        b"NaN or infinite samples",
        b"a sample rate outside of 1000 to 384000 Hz",
    ]
    padded = np.pad(low[None], [[0, 1], [0, 4000]], constant_values=0.5)
    lengths = tf.constant([len(low), 0])
    answer = serve_padded(samples=tf.constant(padded), sample_rate=tf.constant(11_025), lengths=lengths)
    np.testing.assert_allclose(answer["probabilities"][0], predicted[0], atol=1e-6)
    assert answer["error"].numpy().tolist() == [b"", b"no samples"]
    for count, size in ((0, 100), (2, 0)):  # no request at all, and empty ones
        answer = serve(samples=tf.zeros([count, size]), sample_rate=tf.constant(8000))
        assert answer["error"].numpy().tolist() == [b"no samples"] * count


def test_a_certificate_holds_all_signatures(exported):
    names = {"serving_default", "predict_tensor", "embed", "predict_waveform", "predict_padded_waveform"}
    assert exported.differences.keys() == names
    verified = tltk.verify(exported.path, measure_latency=False, c_interface=True)
    assert verified.differences.keys() == names and max(verified.largest_differences.values()) < 1e-5


@pytest.mark.parametrize("file_format", ["onnx", "litert"])
def test_a_network_of_your_own_with_a_fourier_transform_is_exported_with_it(run, tmp_path, file_format):
    exported = tltk.export(run, tmp_path, format=file_format)  # verified in a process with the runtime alone
    assert exported.largest_differences["predict_tensor"] < 1e-4 and exported.answers.changed == 0
    described = json.loads((exported.path / "model.json").read_text())["input"]
    assert described["name"] == "waveform" and described["shape"] == [None, 3200]
    assert (described["sample_rate"], described["seconds"], described["crop"]) == (8000, 0.4, "center")
    network = runtimes.load(str(next(exported.path.glob("model.[ot]*"))))
    waveforms = np.stack([tone(pitch=pitch, seconds=0.4) for pitch in (300, 1500)])
    probabilities = tltk.predict(run, waveforms).probabilities
    np.testing.assert_allclose(network(waveforms)["probabilities"], probabilities, atol=1e-4)


def test_a_run_is_loaded_with_its_spec(run):
    loaded = tltk.load_run(run.folder)
    assert loaded.model.input_spec == SPEC
    assert tltk.predict(loaded, tone()) == tltk.predict(run, tone())


def test_a_run_without_the_newer_fields_of_a_spec_is_loaded(run, tmp_path):
    older = shutil.copytree(run.folder, tmp_path / "run")
    config = json.loads((older / "config.json").read_text())
    assert config["input"].pop("trim_silence") == 40
    del config["sha256"]  # it is edited on purpose
    (older / "config.json").write_text(json.dumps(config))
    assert tltk.load_run(older).model.input_spec == AudioSpec(sample_rate=8000, seconds=0.4)


def test_a_dataset_of_waveforms_is_trained_on(run):
    x = np.stack([tone(pitch=pitch, seconds=0.4) for pitch in (300, 1500)])
    dataset = tf.data.Dataset.from_tensor_slices((x, [1, 0]))
    assert tltk.evaluate(run, dataset).metrics["accuracy"] == 1
    with pytest.raises(ValueError, match=r"must yield waveforms \[3200\].*sample_rate=…"):
        tltk.evaluate(run, dataset.map(lambda x, y: (x[:100], y)))
    with pytest.raises(ValueError, match="samples reach 9830; divide 16-bit samples by 32768"):
        tltk.evaluate(run, dataset.map(lambda x, y: (x * 0 + 9830, y)))


def test_other_modalities_are_refused_in_words(run):
    with pytest.raises(ValueError, match="`data` holds images, but the model takes sounds"):
        tltk.evaluate(run, tltk.from_arrays(np.zeros((2, 8, 8, 3), "uint8"), [0, 1]))


def test_a_source_shows_its_sounds(folder):
    clips = tltk.from_folder(folder)
    assert clips[0].input.shape == (2400,) and clips[0].label == "high"
    assert "high/0.wav" in clips._repr_html_()


def test_the_report_shows_sounds_and_what_predictions_depend_on(run, folder, tmp_path):
    clips = tltk.from_folder(folder)
    wrong = replace(clips, targets=(1 - clips.targets.classes()).astype("int32"))
    report = tltk.evaluate(run, wrong, worst=3)
    assert {row["error"] for row in report.worst} <= {"high instead of low", "low instead of high"}
    assert list(report.drawings) == [row["example_id"] for row in report.mistakes[:3]]
    page = report.save(tmp_path / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 3 and "Grad-CAM" in page
    right = tltk.evaluate(run, clips, worst=2)
    assert [row["example_id"] for row in right.worst] == ["high/0.wav", "high/1.wav"]
    sizes = {Image.open(io.BytesIO(drawing)).size for drawing in right.drawings.values()}
    assert sizes == {(480, 480)}  # waveform, spectrogram, and the spectrogram where the prediction depends on it
    assert not tltk.evaluate(run, clips, worst=0).drawings
    long = tltk.evaluate(run, clips[:1], overlap=0.3, worst=1)
    assert list(long.drawings) == ["high/0.wav"]


def test_predictions_are_drawn_on_sounds(run, folder, tmp_path):
    process = command("predict", run.folder, folder / "low", "--draw", tmp_path / "drawn")
    assert process.returncode == 0, process.stderr
    with Image.open(tmp_path / "drawn" / "0.wav.png") as picture:
        assert picture.size == (480, 288)
