import keras
import numpy as np
import pytest

from tltk.trainability.gradients import got_gradient, remembers_gradients


@pytest.mark.parametrize("options", [{"ema": 0.9}, {"pull": 0.1}])
def test_an_average_and_an_anchor_are_no_sign_of_a_gradient(options):
    from tltk.trainability.optimizers import adamw, build

    variables = [keras.Variable(np.ones(3, "float32"), name=name) for name in ("alive", "dead")]
    anchors = {"alive": np.ones(3, "float32"), "dead": np.ones(3, "float32")}
    optimizer = build(adamw(0.1, **options), 0.1, variables, anchors=anchors)
    optimizer.apply([keras.ops.ones(3), keras.ops.zeros(3)], variables)
    assert got_gradient(optimizer, variables) == {"alive"}


def test_a_layer_whose_name_begins_like_another_s_weight_is_not_taken_for_it():
    pixels = keras.Input((3,))
    short = keras.layers.Dense(2, use_bias=False, name="a")(keras.ops.stop_gradient(pixels)) * 0.0
    long = keras.layers.Dense(2, use_bias=False, name="a_kernel")(pixels)
    model = keras.Model(pixels, short + long)
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    model.fit(np.ones((8, 3)), np.ones((8, 2)), verbose=0)
    assert got_gradient(model.optimizer, model.trainable_variables) == {"a_kernel/kernel"}


def test_plain_sgd_remembers_nothing():
    variable = keras.Variable(np.ones(3, "float32"), name="v")
    for optimizer, remembers in (
        (keras.optimizers.SGD(), False),
        (keras.optimizers.SGD(momentum=0.9), True),
        (keras.optimizers.AdamW(), True),
    ):
        optimizer.build([variable])
        assert remembers_gradients(optimizer) == remembers
    assert not remembers_gradients(None)
