"""Image backbones on log-mel pictures."""

import keras
import numpy as np
import pytest

import tltk
from tests.sounds import tone
from tltk.backbones.audio.pictures import SpectrogramPicture
from tltk.modalities.audio.mel import MelSpectrogram

SPEC = tltk.AudioSpec(sample_rate=8000, seconds=0.3)


def test_a_picture_shows_80_decibels_below_its_loudest_band():
    picture = SpectrogramPicture(sample_rate=8000, bands=32)
    loud = tone(seconds=0.3, pitch=1000)
    quiet, silent = loud * 0.1, np.zeros_like(loud)
    shown = np.array(picture.picture(np.stack([loud, quiet, silent])))
    assert shown.shape == (3, *picture.size(2400), 3) == (3, 32, 38, 3)
    assert shown[0].max() == 255 and shown.min() >= 0
    np.testing.assert_allclose(shown[0], shown[1], atol=0.05)  # loudness does not matter
    assert shown[2].max() < 1e-3  # silence is black
    mel = np.array(picture.mel().apply(loud[None]))[0]
    decibels = 10 * np.log10(np.maximum(mel, 1e-10))
    expected = np.clip(255 + (decibels - decibels.max()) * 255 / 80, 0, 255).T
    np.testing.assert_allclose(shown[0, ..., 0], expected, atol=1e-2)
    assert abs(int(shown[0, :, 19, 0].argmax()) - 14) <= 1  # 1 kHz is band 14 of 32, up to 4 kHz
    assert picture.mel() == MelSpectrogram(8000, 256, 64, 512, 32)


def test_an_image_backbone_is_made_one_of_sounds():
    backbone = tltk.backbone("efficientnet_lite0", weights="random", spec=SPEC, image_size=(64, 48))
    assert (backbone.modality, backbone.input_spec, backbone.name) == ("audio", SPEC, "efficientnet_lite0")
    assert backbone.preprocessing.size(SPEC.samples) == (64, 48)
    default = tltk.backbone("log_mel_efficientnet_lite0", weights="random")
    assert default.preprocessing.size(16_000) == (128, 126)
    assert [stage.name for stage in default.stages] == ["stem", "conv2", "conv3", "conv4", "conv5"]
    longer = tltk.backbone("log_mel_efficientnet_lite0", weights="random", spec=tltk.AudioSpec(seconds=2))
    assert longer.preprocessing.size(longer.input_spec.samples) == (128, 251)
    trimmed = tltk.backbone("log_mel_efficientnet_lite0", weights="random", trim_silence=60, spectrogram="pcen")
    assert trimmed.input_spec == tltk.AudioSpec(trim_silence=60.0) and trimmed.preprocessing.spectrogram == "pcen"


def test_what_cannot_be_made_a_backbone_of_sounds_is_refused():
    with pytest.raises(ValueError, match=r"at least 32 pixels a side, and those of 0\.1 s at 16 kHz have 13"):
        tltk.backbone("efficientnet_lite0", weights="random", spec=tltk.AudioSpec(seconds=0.1))
    with pytest.raises(
        ValueError, match=r"at least 32 pixels a side, and those of 0\.1 s .* have 13: pass more seconds\."
    ):
        tltk.backbone("log_mel_efficientnet_lite0", weights="random", spec=tltk.AudioSpec(seconds=0.1))
    for name in ("log_mel_efficientnet_lite0", "speaker_encoder"):
        with pytest.raises(ValueError, match=f"`image_size` does not apply to {name}"):
            tltk.backbone(name, weights="random", spec=tltk.AudioSpec(seconds=2), image_size=64)
    with pytest.raises(TypeError, match=r"`spec`.*AudioSpec"):
        tltk.backbone("efficientnet_lite0", weights="random", spec=tltk.ImageSpec(8, 8))
    for name, options in (("efficientnet_lite0", {}), ("speaker_encoder", {"spec": tltk.AudioSpec(seconds=2)})):
        with pytest.raises(ValueError, match=f"`spectrogram` is for image backbones on sounds.*{name} is none"):
            tltk.backbone(name, weights="random", spectrogram="pcen", **options)
    with pytest.raises(ValueError, match=r"`spectrogram` must be one of.*Did you mean 'pcen'"):
        tltk.backbone("log_mel_efficientnet_lite0", weights="random", spectrogram="pcem")
    with pytest.raises(ValueError, match="`trim_silence` does not apply to efficientnet_lite0"):
        tltk.backbone("efficientnet_lite0", weights="random", trim_silence=60)
    with pytest.raises(ValueError, match="needs a named backbone that takes images"):
        tltk.backbone("all_minilm_l6_v2_en", weights="random", spec=SPEC)


def test_a_model_of_pictures_is_saved_as_stock_layers_and_operations(tmp_path):
    backbone = tltk.backbone("efficientnet_lite0", weights="random", spec=SPEC, image_size=32, spectrogram="pcen")
    model = tltk.assemble(backbone, tltk.classification(("low", "high")), precision="float32", seed=0)
    model.keras.save(tmp_path / "model.keras")
    waveforms = tone(seconds=0.3)[None]
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(waveforms), model.keras(waveforms), atol=1e-6)


def test_a_picture_has_at_least_the_frames_that_were_asked_for():
    spec = tltk.AudioSpec(seconds=0.3)
    backbone = tltk.backbone("efficientnet_lite0", weights="random", spec=spec, image_size=32)
    assert backbone.preprocessing.size(spec.samples) == (32, 32)
