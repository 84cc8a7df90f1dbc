import keras
import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.conftest import STAGES, conv_net, squares, squares_model
from tests.images import class_folder, damaged_png


def test_features_are_the_pooled_outputs_of_the_backbone():
    net = conv_net()
    source = squares(7)
    features = tltk.embed(tltk.backbone(net, stages=STAGES), source, batch_size=4)
    expected = keras.ops.convert_to_numpy(net(source.examples.astype("float32"), training=False))
    np.testing.assert_allclose(features.features, expected.mean((1, 2)), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(features.targets, source.targets)
    assert features.ids == tuple(source.id_of(number) for number in range(7))


@pytest.mark.parametrize(("pooling", "shape"), [("max", (5, 8)), ("concat", (5, 16)), (None, (5, 4, 4, 8))])
def test_pooling_determines_the_shape(pooling, shape):
    features = tltk.embed(tltk.backbone(conv_net(), stages=STAGES), squares(5).examples, pooling=pooling)
    assert features.features.shape == shape
    assert features.targets is None


@pytest.mark.parametrize("as_dataset", [False, True])
def test_features_have_unit_length_on_request(as_dataset):
    backbone, images = tltk.backbone(conv_net(), stages=STAGES), squares(5).examples
    inputs = tf.data.Dataset.from_tensor_slices(images).batch(2) if as_dataset else images
    plain, scaled = (tltk.embed(backbone, inputs, unit_length=unit).features for unit in (False, True))
    lengths = np.linalg.norm(plain, axis=1, keepdims=True)
    assert not np.allclose(lengths, 1)
    np.testing.assert_allclose(scaled, plain / lengths, rtol=1e-4, atol=1e-5)


def test_features_of_a_model_are_the_inputs_of_its_head():
    model, source = squares_model(), squares(6)
    features = tltk.embed(model, source)
    pooled = keras.Model(model.keras.input, model.keras.get_layer("head_pool").output)
    expected = pooled(source.examples.astype("float32"), training=False)
    np.testing.assert_allclose(features.features, expected, rtol=1e-5, atol=1e-5)


def test_features_of_an_adopted_model_are_the_inputs_of_its_last_layer():
    pixels = keras.Input((16, 16, 3))
    hidden = keras.layers.Dense(4, name="hidden")(keras.layers.Flatten()(pixels))
    plain = keras.Model(pixels, keras.layers.Dense(3, activation="softmax", name="out")(hidden))
    adopted = tltk.adopt(plain, tltk.classification(squares().labels))
    assert tltk.embed(adopted, squares(5)).features.shape == (5, 4)


def test_an_unreadable_image_has_no_row_and_is_listed_as_invalid(tmp_path):
    class_folder(tmp_path / "set", count=3)
    damaged_png(tmp_path / "set" / "dog" / "0001.png")
    source = tltk.from_folder(tmp_path / "set")
    features = tltk.embed(tltk.backbone("mobilenet_v2", weights="random", image_size=32), source, batch_size=2)
    assert len(features.features) == len(features.ids) == len(features.targets) == 5
    assert [example.example_id for example in features.invalid] == ["dog/0001.png"]
    assert "dog/0001.png" not in features.ids


def test_features_stored_in_a_folder_are_read_by_the_next_call(tmp_path, monkeypatch):
    from tltk.feature_cache import compute as compute_module

    backbone = tltk.backbone(conv_net(), stages=STAGES)
    first = tltk.embed(backbone, squares(6), cache=tmp_path / "cache")
    monkeypatch.setattr(compute_module._Computation, "fill", None)  # would fail if it were called
    second = tltk.embed(backbone, squares(6), cache=tmp_path / "cache")
    np.testing.assert_array_equal(first.features, second.features)


def test_wrong_arguments_are_rejected():
    backbone = tltk.backbone(conv_net(), stages=STAGES)
    with pytest.raises(TypeError, match=r"`model` is a plain Keras model, .*tltk.adopt"):
        tltk.embed(conv_net(), squares(5))
    with pytest.raises(ValueError, match=r"`pooling` must be one of 'avg'.*Received: 'average'"):
        tltk.embed(backbone, squares(5), pooling="average")
    with pytest.raises(ValueError, match=r"`cache` must be 'auto', .*Received: 'disk'"):
        tltk.embed(backbone, tf.data.Dataset.from_tensor_slices(squares(5).examples), cache="disk")
    with pytest.raises(ValueError, match=r"`inputs`, batch 0: pixels lie between 0 and 0\.\d"):
        tltk.embed(backbone, tf.data.Dataset.from_tensor_slices(squares(5).examples / 255))


def test_features_of_a_dataset_are_those_of_its_images():
    backbone, source = tltk.backbone(conv_net(), stages=STAGES), squares(7)
    expected = tltk.embed(backbone, source).features
    images = tf.data.Dataset.from_tensor_slices(source.examples)
    labelled = tf.data.Dataset.from_tensor_slices((source.examples, source.targets.values, np.ones(7)))
    features = tltk.embed(backbone, images, batch_size=4)
    np.testing.assert_allclose(features.features, expected, rtol=1e-5, atol=1e-5)
    assert features.targets is None and features.ids[6] == "example 6"
    features = tltk.embed(backbone, labelled.batch(3), batch_size=4)
    np.testing.assert_allclose(features.features, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(features.targets, source.targets)


@pytest.mark.parametrize("cache", ["auto", "off", "memory"])
def test_names_of_storages_are_not_used_as_folders(cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tltk.embed(tltk.backbone(conv_net(), stages=STAGES), squares(5), cache=cache)
    assert list(tmp_path.iterdir()) == []
