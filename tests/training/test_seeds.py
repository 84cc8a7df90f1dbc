import keras
import numpy as np

import tltk
from tests.conftest import STAGES, conv_net, squares, weights_as_bytes
from tltk.training.seeds import set_seeds


def draws(model):
    """Return the outputs of a dropout network for ones, twice."""
    ones = np.ones((2, 16, 16, 3), "float32")
    return [keras.ops.convert_to_numpy(model(ones, training=True)) for _ in range(2)]


def dropouts(count=2):
    """Build nested dropout layers that get their seeds from the clock."""
    inner = keras.Sequential([keras.layers.Dropout(0.5) for _ in range(count)])
    return keras.Sequential([keras.Input((16, 16, 3)), inner, keras.layers.GaussianNoise(0.1)])


def test_models_with_equal_seeds_draw_equal_numbers():
    first, second = dropouts(), dropouts()
    assert np.any(draws(first)[0] != draws(second)[0])
    for model in (first, second):
        set_seeds(model, seed=1, phase=0)
    drawn = draws(first)
    np.testing.assert_array_equal(drawn, draws(second))
    assert np.any(drawn[0] != drawn[1])
    set_seeds(first, seed=1, phase=0)
    np.testing.assert_array_equal(drawn, draws(first))
    set_seeds(first, seed=1, phase=1)
    assert np.any(draws(first)[0] != drawn[0])


def test_layers_draw_different_numbers():
    model = keras.Sequential([keras.Input((100,)), keras.layers.Dropout(0.5), keras.layers.Dropout(0.5)])
    set_seeds(model, seed=0, phase=0)
    outputs = [keras.ops.convert_to_numpy(layer(np.ones((1, 100)), training=True)) for layer in model.layers]
    assert np.any(outputs[0] != outputs[1])


def test_a_fit_with_dropout_in_the_backbone_depends_on_its_seed_alone():
    def trained(weights, seed):
        network = conv_net(dropout=0.3)
        network = keras.models.clone_model(network, clone_function=with_seed_from_the_clock)
        network.set_weights(weights)
        model = tltk.assemble(tltk.backbone(network, stages=STAGES), tltk.classification(("red", "green", "blue")))
        tltk.fit(model, squares(), plan=tltk.train_all(), epochs=1, batch_size=8, seed=seed)
        return weights_as_bytes(model.keras, "_")

    def with_seed_from_the_clock(layer):
        config = layer.get_config()
        return layer.__class__.from_config({**config, "seed": None} if "seed" in config else config)

    weights = conv_net().get_weights()
    first = trained(weights, seed=1)
    assert trained(weights, seed=1) == first
    assert trained(weights, seed=2) != first
