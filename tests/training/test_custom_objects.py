import logging

import keras
import numpy as np
import pytest
from keras.src.saving.serialization_lib import SafeModeScope

import tltk
from tests.conftest import squares
from tltk.training.custom_objects import custom_objects_of, why_unloadable, why_unsavable
from tltk.training.run import Run

layers = keras.layers


class Doubled(layers.Layer):
    """A layer that is not registered."""

    def call(self, inputs):
        return inputs * 2.0


@keras.saving.register_keras_serializable(package="tests")
class Registered(Doubled):
    pass


class Unsavable(Doubled):
    def get_config(self):
        raise NotImplementedError("Object Unsavable has no config.")


def half(x):
    return 0.5 * x


def model_with(layer):
    pixels = keras.Input((16, 16, 3))
    return keras.Model(pixels, layers.Dense(3, "softmax", name="out")(layers.Flatten()(layer(pixels))), name="own")


def config_with(layer):
    return keras.saving.serialize_keras_object(model_with(layer))


def adopted(layer):
    return tltk.adopt(model_with(layer), tltk.classification(("red", "green", "blue")))


def test_only_what_keras_cannot_rebuild_is_listed():
    for layer in (layers.Rescaling(2.0), Registered(), layers.Conv2D(3, 1, activation="relu")):
        assert custom_objects_of(config_with(layer)) == ((), (), ())
    assert custom_objects_of(config_with(Doubled())).names == ("Doubled",)
    assert custom_objects_of(config_with(layers.Conv2D(3, 1, activation=half))).names == ("half",)
    assert custom_objects_of(config_with(Doubled()), {"Doubled": Doubled}).names == ()
    assert custom_objects_of(config_with(layers.Lambda(lambda x: x, name="twice"))) == ((), ("twice",), ())


def test_an_unregistered_layer_is_said_before_training_and_loaded_by_name(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        run = tltk.fit(adopted(Doubled()), squares(6), plan=tltk.train_all(), epochs=1, out=tmp_path / "run")
    assert "Doubled is not registered" in caplog.text and 'custom_objects={"Doubled": Doubled}' in caplog.text
    with pytest.raises(ValueError, match=r"contains Doubled, unknown to Keras: .*register_keras_.*custom_objects="):
        tltk.load_run(tmp_path / "run")
    loaded = tltk.load_run(tmp_path / "run", custom_objects={"Doubled": Doubled})
    assert tltk.predict(loaded, squares(3)) == tltk.predict(run, squares(3))


def test_a_lambda_layer_is_refused_before_training_and_said_by_load_run(tmp_path):
    model = adopted(layers.Lambda(lambda x: x, name="twice"))
    with pytest.raises(ValueError, match=r"`out`: .*layer 'twice' holds a Python lambda.*registered.*out=None"):
        tltk.fit(model, squares(6), plan=tltk.train_all(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    Run(model).save(tmp_path / "run")
    with pytest.raises(ValueError, match=r"layer 'twice' holds a Python lambda.*enable_unsafe_deserialization"):
        tltk.load_run(tmp_path / "run")


@pytest.mark.parametrize(
    ("layer", "argument"),
    [
        (layers.Activation(lambda x: x * 2, name="own_layer"), "activation"),
        (layers.Conv2D(3, 1, activation=lambda x: x, name="own_layer"), "activation"),
        (layers.Conv2D(3, 1, kernel_initializer=lambda shape, dtype: np.ones(shape), name="own_layer"), "kernel_init"),
        (
            layers.Conv2D(3, 1, kernel_regularizer=lambda w: 0.1 * keras.ops.sum(w), name="own_layer"),
            "kernel_regularizer",
        ),
        (layers.TimeDistributed(layers.Dense(3, bias_constraint=lambda w: w, name="own_layer")), "bias_constraint"),
    ],
    ids=["Activation", "activation", "initializer", "regularizer", "nested"],
)
def test_a_lambda_as_an_argument_is_refused_before_training(layer, argument):
    reason = why_unsavable(model_with(layer))
    assert f"`{argument}" in reason and "of layer 'own_layer' is a Python lambda" in reason
    assert "a function of your own (def), registered with" in reason


def test_load_run_says_where_a_lambda_is(tmp_path):
    with pytest.warns(UserWarning, match="includes a `lambda`"):
        Run(adopted(layers.Activation(lambda x: x, name="own_layer"))).save(tmp_path / "run")
    with pytest.raises(ValueError, match="`activation` of layer 'own_layer' is a Python lambda, which Keras does not"):
        tltk.load_run(tmp_path / "run")


def test_lambda_layers_may_be_trained_where_keras_loads_them(tmp_path, caplog):
    model = adopted(layers.Lambda(lambda x: x, name="twice"))
    with SafeModeScope(False):  # as keras.config.enable_unsafe_deserialization(), which cannot be undone
        assert why_unsavable(model.keras) == ""
    assert "layer 'twice' holds a Python lambda" in caplog.text
    assert why_unsavable(model.keras)


def test_a_layer_that_cannot_be_saved_is_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match=r"`out`: the model cannot be saved: .*Give the layer a `get_config`"):
        tltk.fit(adopted(Unsavable()), squares(6), plan=tltk.train_all(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_damaged_file_needs_no_objects(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"PK")
    assert why_unloadable(tmp_path / "model.keras", None) == ""


def test_a_complete_run_of_a_layer_that_is_not_registered_is_resumed(tmp_path, caplog):
    def train():
        keras.utils.set_random_seed(5)
        options = {"plan": tltk.train_all(), "epochs": 1, "out": tmp_path / "run", "resume": True, "verbose": 0}
        return tltk.fit(adopted(Doubled()), squares(6), **options)

    with caplog.at_level(logging.INFO, "tltk"):
        first, second = train(), train()
    assert "Doubled is not registered" in caplog.text
    assert "is complete: nothing is left to train" in caplog.text
    np.testing.assert_array_equal(second.model.keras.get_weights()[0], first.model.keras.get_weights()[0])
    assert second.history == first.history
