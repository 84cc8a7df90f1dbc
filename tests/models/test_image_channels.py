"""Models of grey, RGBA and multispectral images are trained, evaluated, saved and exported like those of RGB."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tltk
from tests.conftest import STAGES, coloured_squares, conv_net, squares
from tltk.serving.signatures import build_signatures

COLOURS = ("red", "green", "blue")


def model_of(channels):
    backbone = tltk.backbone(conv_net(channels=channels), stages=STAGES)
    task = tltk.classification(COLOURS, head=tltk.head(zero_init=False))
    return tltk.assemble(backbone, task, precision="float32")


def images_of(channels, count=12):
    return np.random.default_rng(0).integers(0, 255, (count, 16, 16, channels)).astype("uint8")


@pytest.mark.parametrize("channels", [1, 4, 6])
def test_they_are_trained_with_augmentation_and_loaded(channels, tmp_path):
    source = tltk.from_arrays(images_of(channels), np.arange(12) % 3, labels=COLOURS)
    run = tltk.fit(model_of(channels), source, recipe=tltk.full(epochs=1), batch_size=6, out=tmp_path / "run")
    expected = tltk.predict(run, source).probabilities
    loaded = tltk.load_run(tmp_path / "run")
    assert loaded.model.input_spec.shape == (16, 16, channels)
    np.testing.assert_allclose(tltk.predict(loaded, source.examples).probabilities, expected, atol=1e-5)


def test_an_rgb_source_trains_a_model_of_grey_images(tmp_path):
    tltk.fit(model_of(1), squares(12), recipe=tltk.linear_probe(epochs=1), batch_size=6)
    Image.fromarray(coloured_squares(1)[0][0]).save(tmp_path / "image.png")
    (prediction,) = tltk.predict(model_of(1), tmp_path / "image.png")
    assert prediction.label in COLOURS


def test_channels_that_do_not_fit_say_how_to_build_the_model(tmp_path):
    source = tltk.from_arrays(images_of(6), np.arange(12) % 3, labels=COLOURS)
    with pytest.raises(ValueError, match=r"takes images of 3 channels.*images of 6 channels.*channels=6"):
        tltk.fit(model_of(3), source, recipe=tltk.linear_probe(epochs=1))
    Image.fromarray(coloured_squares(1)[0][0]).save(tmp_path / "image.png")
    with pytest.raises(ValueError, match=r"image files are read as grey, RGB or RGBA.*takes 6.*from_arrays"):
        tltk.predict(model_of(6), tmp_path / "image.png")


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_rgba_models_serve_image_files(channels, tmp_path):
    model = model_of(channels)
    image = Image.fromarray(images_of(4, count=1)[0])
    image.save(tmp_path / "image.png")
    (prediction,) = tltk.predict(model, tmp_path / "image.png")
    signatures = build_signatures(model)
    assert set(signatures) == {"serving_default", "predict_tensor", "embed"}
    outputs = signatures["serving_default"].run(tf.constant([(tmp_path / "image.png").read_bytes()]))
    np.testing.assert_allclose(outputs["probability"][0], prediction.probability, atol=1e-5)


def test_a_multispectral_model_is_exported_with_predict_tensor_alone(tmp_path, replay_here):
    model = model_of(6)
    exported = tltk.export(model, tmp_path / "serving")
    assert set(exported.differences) == {"predict_tensor"} and exported.largest_differences["predict_tensor"] <= 1e-5
    signatures = tf.saved_model.load(str(exported.path)).signatures
    assert set(signatures) == {"predict_tensor", "serving_default"}, "the default is the only one, under another name"
    assert list(signatures["serving_default"].structured_input_signature[1]) == ["pixels"]
    images = images_of(6, count=2)
    outputs = signatures["predict_tensor"](tf.constant(images, tf.float32))
    np.testing.assert_allclose(outputs["probabilities"], tltk.predict(model, images).probabilities, atol=1e-5)
    with pytest.raises(ValueError, match=r"`requests` does not apply.*predict_tensor only"):
        tltk.export(model, tmp_path / "serving", requests=[b"image"])
