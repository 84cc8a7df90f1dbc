import keras
import numpy as np
import pytest

import tltk
from tests import texts
from tests.conftest import STAGES, conv_net, squares, squares_model
from tltk.models.features import backbone_extractor, endpoints, extractor, features

IDS = np.array([[2, 5, 11, 3, 0], [2, 8, 12, 19, 3]], "int32")
PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype("float32")


def test_endpoints_are_the_inputs_of_the_head_by_stage():
    model = squares_model()
    assert list(endpoints(model)) == ["conv3"]
    assert features(model) is model.keras.get_layer("conv3_relu").output


@pytest.mark.parametrize("pooling", ["avg", "max", "concat", "first", "last", "attention"])
def test_masks_are_not_endpoints(tmp_path, pooling):
    model = texts.text_model(texts.tiny_preset(tmp_path), head=tltk.head(pooling=pooling))
    assert {name: tensor.shape for name, tensor in endpoints(model).items()} == {"block2": (None, None, 16)}


def test_endpoints_of_a_loaded_run_are_the_same(tmp_path):
    model = texts.text_model(texts.tiny_preset(tmp_path / "preset"), head=tltk.head(pooling="max"))
    tltk.fit(model, texts.texts(1), recipe=tltk.linear_probe(epochs=1), batch_size=4, out=tmp_path / "run")
    loaded = tltk.load_run(tmp_path / "run").model
    assert list(endpoints(loaded)) == ["block2"]
    keras.utils.clear_session(free_memory=False)  # Keras counts names from 0 again, as in a new process
    expected, loaded_features = (np.asarray(extractor(network, "max")(IDS)) for network in (model, loaded))
    np.testing.assert_array_equal(loaded_features, expected)


def test_the_endpoint_of_an_adopted_model_is_the_input_of_its_last_layer_with_weights():
    pixels = keras.Input((16, 16, 3))
    hidden = keras.layers.Dense(4, name="hidden")(keras.layers.Flatten()(pixels))
    plain = keras.Model(pixels, keras.layers.Dense(3, activation="softmax", name="out")(hidden))
    adopted = tltk.adopt(plain, tltk.classification(squares().labels))
    assert endpoints(adopted) == {"": hidden}


def test_an_extractor_shares_the_weights_and_does_not_change_the_model():
    model = squares_model()
    before = model.keras.get_config()
    expected = keras.Model(model.keras.input, model.keras.get_layer("head_pool").output)(PIXELS)
    np.testing.assert_array_equal(extractor(model, "avg")(PIXELS), expected)
    assert extractor(model, None).output.shape == (None, 4, 4, 8)
    assert model.keras.get_config() == before


def test_a_backbone_extractor_gives_the_features_of_an_assembled_model():
    net = conv_net()
    backbone = tltk.backbone(net, stages=STAGES)
    model = tltk.assemble(backbone, tltk.classification(squares().labels), precision="float32")
    from_backbone = backbone_extractor(backbone, "max", precision="float32")
    np.testing.assert_array_equal(from_backbone(PIXELS), extractor(model, "max")(PIXELS))
