"""16-bit and float images are mapped to the range of the weights by the preprocessing, in training and in serving."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.conftest import STAGES, conv_net
from tltk.backbones import Preprocessing
from tltk.backbones.connect import connect
from tltk.modalities.image.modality import ImageModality
from tltk.serving.signatures import build_signatures

COLOURS = ("red", "green", "blue")
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3)).astype("float32")
RANGES = {"16 bits": (0, 65535), "floats": (0, 1), "signed": (-1, 1)}


def in_range(images, low, high):
    return images / 255 * (high - low) + low


def model_of(value_range, channels=3):
    backbone = tltk.backbone(conv_net(channels=channels), stages=STAGES, value_range=value_range)
    task = tltk.classification(COLOURS, head=tltk.head(zero_init=False))
    return tltk.assemble(backbone, task, precision="float32")


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "mobilenet_v2", "mobilenet_v3_small"])
@pytest.mark.parametrize("value_range", RANGES.values(), ids=RANGES)
def test_preprocessed_pixels_are_those_of_8_bit_images(name, value_range):
    for channels in (3, 1):
        options = {"weights": "random", "channels": channels}
        backbone, other = (tltk.backbone(name, value_range=chosen, **options) for chosen in (None, value_range))
        images = IMAGES[..., :channels]
        expected, pixels = (
            keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(network.preprocess(x)))
            for network, x in ((backbone, images), (other, in_range(images, *value_range)))
        )
        np.testing.assert_allclose(pixels, expected, rtol=1e-4, atol=2e-4 * np.abs(expected).max())
        assert other.input_spec.value_range == value_range


def test_your_own_model_gets_values_as_they_are():
    assert tltk.backbone(conv_net(), value_range=(0, 1)).preprocessing.is_identity
    given = Preprocessing(scale=(2.0,))
    assert tltk.backbone(conv_net(), value_range=(0, 1), preprocessing=given).preprocessing == given


def test_a_network_of_16_bit_grey_images_equals_that_of_8_bits():
    networks = []
    for value_range in (None, (0, 65535)):
        keras.utils.set_random_seed(1)
        options = {"weights": "random", "channels": 1, "image_size": 32, "value_range": value_range}
        networks.append(connect(tltk.backbone("mobilenet", **options)).network)
    images = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 1)).astype("float32")
    expected, features = (
        keras.ops.convert_to_numpy(next(iter(network(x, training=False).values())))
        for network, x in zip(networks, (images, images * 257), strict=True)
    )
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(("value_range", "size"), [((0, 65535), 20), ((-1, 1), 16)])
def test_images_in_memory_are_trained_predicted_and_loaded(value_range, size, tmp_path):
    images = in_range(np.random.default_rng(0).integers(0, 256, (12, size, size, 3)), *value_range)
    images = images.astype("uint16" if value_range[1] > 1 else "float32")
    source = tltk.from_arrays(images, np.arange(12) % 3, labels=COLOURS, value_range=value_range)
    out = tmp_path / "run"
    run = tltk.fit(model_of(value_range), source, recipe=tltk.full(epochs=1), batch_size=6, out=out)
    loaded = tltk.load_run(out).model
    assert loaded.input_spec.value_range == value_range
    np.testing.assert_allclose(
        tltk.predict(loaded, images).probabilities, tltk.predict(run, source[:]).probabilities, atol=1e-5
    )
    train, _, _ = tltk.split(source, val=0.5, test=0, seed=0)
    assert train.value_range == value_range


def test_the_ranges_of_source_and_model_must_agree():
    source = tltk.from_arrays(IMAGES / 255, np.arange(12) % 3, labels=COLOURS, value_range=(0, 1))
    with pytest.raises(ValueError, match=r"values in \(0, 1\).*model takes \(0, 255\).*value_range=\(0, 1\)"):
        tltk.fit(model_of(None), source, recipe=tltk.linear_probe(epochs=1))
    with pytest.raises(ValueError, match=r"must lie in `value_range`, 0 to 1. Received: .* to 255"):
        tltk.predict(model_of((0, 1)), IMAGES)


def test_files_have_8_or_16_bits(tmp_path):
    for row in range(4):
        pixels = np.random.default_rng(row).integers(0, 65536, (16, 16, 3)).astype("uint16")
        (tmp_path / f"{row}.png").write_bytes(tf.io.encode_png(pixels).numpy())
    files = [tmp_path / f"{row}.png" for row in range(4)]
    model = model_of((0, 65535))
    (prediction,) = tltk.predict(model, files[3:])
    served = build_signatures(model)["serving_default"].run(tf.constant([files[3].read_bytes()]))
    np.testing.assert_allclose(served["probability"][0], prediction.probability, atol=1e-5)
    direct = tltk.predict(model, pixels[None]).probabilities
    np.testing.assert_allclose(served["probabilities"], direct, atol=1e-5)
    with pytest.raises(ValueError, match=r"values in \(0, 255\) or \(0, 65535\).*values in \(0, 1\)"):
        tltk.predict(model_of((0, 1)), files)
    assert set(build_signatures(model_of((0, 1)))) == {"predict_tensor"}
    images, source = ImageModality(), tltk.from_folder(tmp_path, unlabelled=True)
    note = images.training_note(source, model_of(None).input_spec)
    assert "4 of 4 examined files have 16 bits" in note and "value_range=(0, 65535)" in note
    assert images.training_note(source, model.input_spec) == ""


def test_a_dataset_is_checked_against_the_range():
    dataset = tf.data.Dataset.from_tensor_slices((IMAGES / 255, np.arange(12) % 3)).batch(6)
    tltk.fit(model_of((0, 1)), dataset, recipe=tltk.full(epochs=1))
    with pytest.raises(ValueError, match=r"between .* and .*, but the model expects \[0, 65535\]"):
        wrong = tf.data.Dataset.from_tensor_slices((IMAGES * 400, np.arange(12) % 3)).batch(6)
        tltk.fit(model_of((0, 65535)), wrong, recipe=tltk.full(epochs=1))
