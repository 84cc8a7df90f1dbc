import keras
import pytest

from tests.conftest import conv_net
from tests.test_trainability_plan import Staged
from tltk.trainability.apply import applied
from tltk.trainability.plan import freeze, train_all


def test_a_plan_that_does_not_resolve_changes_nothing():
    model = Staged()
    model.keras.get_layer("conv2_conv").trainable = False
    before = [layer.trainable for layer in model.keras.layers]
    with pytest.raises(ValueError, match="matches no layer"):
        applied(freeze("conv9"), model).__enter__()
    assert [layer.trainable for layer in model.keras.layers] == before


def test_a_model_that_was_frozen_whole_is_opened_first():
    model = Staged()
    model.keras.trainable = False
    with applied(freeze("backbone"), model):
        learning = {variable.path.split("/")[0] for variable in model.keras.trainable_variables}
    assert learning == {"head_norm", "head_output"}
    assert not model.keras.trainable_variables


def test_a_nested_model_is_frozen_to_its_last_weight():
    inner = conv_net()
    x = keras.Input((16, 16, 3))
    model = keras.Model(x, keras.layers.Dense(2, name="top")(keras.layers.Flatten(name="flat")(inner(x))))
    inner.get_layer("conv2_conv").trainable = True
    with applied(freeze("conv_net"), model):
        assert {variable.path.split("/")[0] for variable in model.trainable_variables} == {"top"}
    with applied(train_all(), model):
        assert not any("_bn" in variable.path for variable in model.trainable_variables)


def test_a_layer_with_weights_and_sublayers_of_its_own_is_frozen_whole():
    class Composite(keras.layers.Layer):
        def build(self, shape):
            self.token = self.add_weight(shape=(shape[-1],), name="token")
            self.dense = keras.layers.Dense(shape[-1])
            self.dense.build(shape)

        def call(self, x):
            return self.dense(x + self.token)

    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dense(1, name="top")(Composite(name="composite")(x)))
    with applied(freeze("composite"), model):
        assert len(model.trainable_variables) == 2
    with applied(train_all(), model):
        assert len(model.trainable_variables) == 5


def test_flags_come_back_even_after_an_error():
    model = Staged()
    model.keras.get_layer("conv2_conv").trainable = False
    before = [layer.trainable for layer in model.keras.layers]
    with pytest.raises(RuntimeError), applied(freeze("backbone"), model):
        raise RuntimeError
    assert [layer.trainable for layer in model.keras.layers] == before
