"""The encoders of Whisper and Moonshine as backbones, on small random configurations."""

import keras
import keras_hub
import numpy as np
import pytest

import tltk
from tests.conftest import weights_as_bytes
from tests.sounds import tone
from tltk.backbones.audio.kerashub import PRESETS
from tltk.backbones.connect import connect
from tltk.recipes import Phase, Recipe

MODELS = keras_hub.models


def whisper():
    """Return a small recognizer that takes 2 s at 16 kHz, with its converter."""
    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32, "num_mels": 20}
    body = MODELS.WhisperBackbone(
        vocabulary_size=11, **sizes, max_encoder_sequence_length=200, max_decoder_sequence_length=8
    )
    return body, keras_hub.layers.WhisperAudioConverter(num_mels=20, max_audio_length=2)


def moonshine():
    sizes = {"filter_dim": 16, "hidden_dim": 16, "intermediate_dim": 32}
    counts = {"encoder_num_layers": 2, "decoder_num_layers": 1, "encoder_num_heads": 2, "decoder_num_heads": 2}
    body = MODELS.MoonshineBackbone(vocabulary_size=11, **sizes, **counts)
    return body, keras_hub.layers.MoonshineAudioConverter()


FAMILIES = {"whisper": whisper, "moonshine": moonshine}


@pytest.fixture(scope="module", params=FAMILIES)
def preset(request, tmp_path_factory):
    """The name of a family, its recognizer with weights of ordinary size, its converter, and their folder."""
    body, converter = FAMILIES[request.param]()
    generator = np.random.default_rng(0)
    for weight in body.trainable_weights:
        weight.assign(weight + generator.normal(0, 0.2, weight.shape))
    folder = tmp_path_factory.mktemp(request.param) / "small"
    body.save_to_preset(str(folder))
    converter.save_to_preset(str(folder))
    return request.param, body, converter, folder


def reference(body, converter, samples):
    """Compute the features of KerasHub's own encoder."""
    decoder = {"decoder_token_ids": np.ones((len(samples), 1)), "decoder_padding_mask": np.ones((len(samples), 1))}
    if isinstance(body, MODELS.WhisperBackbone):
        inputs = {"encoder_features": np.asarray(converter(samples))}
    else:
        mask = np.ones(samples.shape, "bool")
        inputs = {"encoder_input_values": np.asarray(converter(samples)), "encoder_padding_mask": mask}
    return body({**inputs, **decoder})["encoder_sequence_output"]


def test_features_are_those_of_kerashub(preset):
    name, body, converter, folder = preset
    backbone = tltk.backbone(folder, spec=tltk.AudioSpec(seconds=2, crop="start"))
    samples = np.stack([tone(pitch=pitch, seconds=2, rate=16_000) for pitch in (300, 1500)])
    network = connect(backbone, ("stem", "block1", "block2")).network
    features = network(samples)
    np.testing.assert_allclose(features["block2"], reference(body, converter, samples), rtol=1e-4, atol=1e-4)
    frames = {"whisper": 100, "moonshine": 82}[name]
    assert backbone.modality == "audio" and features["stem"].shape == features["block1"].shape == (2, frames, 16)
    assert backbone.endpoints()["block2"].channels == 16
    assert backbone.parameters == sum(np.prod(weight.shape) for weight in network.weights)
    assert not any("decoder" in layer.name for layer in network.layers)


def test_other_lengths_are_taken_within_the_positions_of_the_model(preset):
    name, _, _, folder = preset
    default = tltk.backbone(folder, weights="random").input_spec
    assert (
        default
        == {
            "whisper": tltk.AudioSpec(seconds=2.0, crop="start"),
            "moonshine": tltk.AudioSpec(seconds=4.0),
        }[name]
    )
    short = tltk.backbone(folder, spec=tltk.AudioSpec(seconds=0.5))
    assert connect(short).network.input_shape == (None, 8000)
    with pytest.raises(ValueError, match=r"takes sounds at 16000 Hz. Received: AudioSpec at 8000 Hz"):
        tltk.backbone(folder, spec=tltk.AudioSpec(sample_rate=8000))
    if name == "whisper":
        with pytest.raises(ValueError, match=r"takes at most 2 s. Received: 3 s"):
            tltk.backbone(folder, spec=tltk.AudioSpec(seconds=3))
    else:
        with pytest.raises(ValueError, match=r"takes at least 895 samples. Received: 800"):
            tltk.backbone(folder, spec=tltk.AudioSpec(seconds=0.05)).build()


def test_an_encoder_is_trained_from_a_block_on_and_exported(preset, tmp_path, replay_here):
    name, *_, folder = preset
    pitches = np.tile((300.0, 1500.0), 4) * np.linspace(0.9, 1.1, 8)
    x = [tone(pitch=pitch, seconds=0.5, rate=16_000, seed=row) for row, pitch in enumerate(pitches)]
    clips = tltk.from_arrays(x, ["low", "high"] * 4, sample_rate=16_000)
    backbone = tltk.backbone(folder, spec=tltk.AudioSpec(seconds=0.5))
    model = tltk.assemble(backbone, tltk.classification(clips.labels), precision="float32", seed=0)
    before = weights_as_bytes(model.keras, "")
    phase = Phase("last block", tltk.unfreeze_from("block2"), epochs=8, optimizer=tltk.adamw(1e-2), augment=())
    run = tltk.fit(model, clips, recipe=Recipe("one", (phase,)), batch_size=4, out=tmp_path / "run", verbose=0)
    changed = {name for name, data in weights_as_bytes(model.keras, "").items() if data != before[name]}
    stages = {model.stages[name.split("/")[0]] for name in changed}
    assert stages == {"block2", "head"}
    predicted = tltk.predict(run, x)
    assert list(predicted.labels) == ["low", "high"] * 4
    loaded = tltk.load_run(run.folder)
    np.testing.assert_allclose(tltk.predict(loaded, x[:2]).probabilities, predicted.probabilities[:2], atol=1e-6)
    for file_format in ("saved_model", {"whisper": "onnx", "moonshine": "litert"}[name]):
        exported = tltk.export(run, tmp_path / file_format, format=file_format)
        assert max(exported.largest_differences.values()) <= 1e-4


def test_encoders_run_under_a_mixed_policy(preset):
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = connect(tltk.backbone(preset[3], spec=tltk.AudioSpec(seconds=0.5))).network
    layers = [layer for layer in network.layers if layer.name.endswith(("_0", "_1")) and layer.weights]
    precision = {"whisper": "bfloat16", "moonshine": "float32"}[preset[0]]
    assert layers and {layer.compute_dtype for layer in layers} == {precision}
    assert np.isfinite(np.array(network(np.zeros((1, 8000), "float32"))["block2"], "float32")).all()


def test_named_presets_are_listed_and_say_where_their_weights_can_be_had(monkeypatch, tmp_path):
    monkeypatch.setattr("tltk.backbones.audio.kerashub._download", lambda name: (tmp_path / "no hub").read_bytes())
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    assert {"whisper_tiny_en", "whisper_large_multi_v2", "moonshine_base_en"} <= set(PRESETS)
    with pytest.raises(
        tltk.errors.NotFound, match=r"(?s)no pretrained weights found for 'whisper_tiny_en'.*the folder"
    ):
        tltk.backbone("whisper_tiny_en")


def test_a_named_preset_is_read_from_the_cache(preset, monkeypatch, tmp_path):
    name, *_, folder = preset
    named = {"whisper": "whisper_tiny_en", "moonshine": "moonshine_tiny_en"}[name]
    place = tmp_path / "models" / PRESETS[named].removeprefix("kaggle://")
    place.mkdir(parents=True)
    (place / "1").symlink_to(folder, target_is_directory=True)
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    backbone = tltk.backbone(named, spec=tltk.AudioSpec(seconds=0.5))
    assert backbone.name == named and backbone.build()[1].kind == "kerashub cache"
