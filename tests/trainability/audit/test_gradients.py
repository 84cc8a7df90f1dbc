import keras
import numpy as np
import pytest

from tltk.trainability.audit.gradients import got_gradient, moves_without_gradient


@pytest.mark.parametrize("options", [{"ema_momentum": 0.9}, {"l2_sp": 0.1}])
def test_averages_and_anchors_do_not_count_as_a_gradient(options):
    from tltk.optimizers.spec import adamw, build

    variables = [keras.Variable(np.ones(3, "float32"), name=name) for name in ("alive", "dead")]
    anchors = {"alive": np.ones(3, "float32"), "dead": np.ones(3, "float32")}
    optimizer = build(adamw(0.1, **options), 0.1, variables, anchors=anchors)
    optimizer.apply([keras.ops.ones(3), keras.ops.zeros(3)], variables)
    assert got_gradient(optimizer) == {id(variables[0]): True, id(variables[1]): False}


def test_a_layer_whose_name_starts_like_another_weight_is_not_confused_with_it():
    pixels = keras.Input((3,))
    short = keras.layers.Dense(2, use_bias=False, name="a")(keras.ops.stop_gradient(pixels)) * 0.0
    long = keras.layers.Dense(2, use_bias=False, name="a_kernel")(pixels)
    model = keras.Model(pixels, short + long)
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    model.fit(np.ones((8, 3)), np.ones((8, 2)), verbose=0)
    had_gradient = got_gradient(model.optimizer)
    seen = {weight.path: had_gradient[id(weight)] for weight in model.trainable_variables}
    assert seen == {"a/kernel": False, "a_kernel/kernel": True}


def test_similar_paths_are_distinguished():
    pixels = keras.Input((3,))
    nested = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="conv")], name="block")
    out = keras.layers.Dense(2, name="block_conv")(nested(pixels))
    model = keras.Model(pixels, out)
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    model.fit(np.ones((8, 3)), np.ones((8, 2)), verbose=0)
    assert set(got_gradient(model.optimizer).values()) == {True}


OPTIMIZERS = ("Adam", "AdamW", "Adamax", "Adagrad", "Adadelta", "RMSprop", "Nadam", "Ftrl", "Lion", "Lamb")


@pytest.mark.parametrize("name", [*OPTIMIZERS, "Muon", "SGD"])
@pytest.mark.parametrize("shape", [(), (3,), (3, 2)])
def test_every_optimizer_of_keras_shows_which_variable_had_a_gradient(name, shape):
    options = {"momentum": 0.9} if name == "SGD" else {}
    optimizer = getattr(keras.optimizers, name)(0.1, **options)
    variables = [keras.Variable(np.ones(shape, "float32"), name=name) for name in ("alive", "dead")]
    for _ in range(3):
        optimizer.apply([keras.ops.ones(shape), keras.ops.zeros(shape)], variables)
    had_gradient = got_gradient(optimizer)
    assert had_gradient[id(variables[0])] is True
    assert had_gradient[id(variables[1])] is False


def test_loss_scaling_shows_the_gradients_of_the_inner_optimizer():
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.1))
    variable = keras.Variable(np.ones(3, "float32"), name="v")
    optimizer.apply([keras.ops.ones(3)], [variable])
    assert got_gradient(optimizer) == {id(variable): True}


def test_plain_sgd_shows_no_gradients_even_if_it_accumulates_them():
    variable = keras.Variable(np.ones(3, "float32"), name="v")
    for options in ({}, {"gradient_accumulation_steps": 2}):
        optimizer = keras.optimizers.SGD(**options)
        optimizer.apply([keras.ops.ones(3)], [variable])
        assert got_gradient(optimizer) == {}
    assert got_gradient(None) == {}


def test_momentum_fades_and_the_state_of_adam_does_not():
    for optimizer_name, shown in (("SGD", False), ("AdamW", True)):
        optimizer = getattr(keras.optimizers, optimizer_name)(
            0.1, **({"momentum": 0.9} if optimizer_name == "SGD" else {})
        )
        variables = [keras.Variable(np.ones(3, "float32"), name=name) for name in ("alive", "dead")]
        optimizer.apply([keras.ops.ones(3), keras.ops.zeros(3)], variables)
        optimizer.iterations.assign(2000)
        assert got_gradient(optimizer)[id(variables[0])] is True
        assert (id(variables[1]) in got_gradient(optimizer)) == shown


def test_decays_recognizes_weight_decay_and_l2_sp():
    from tltk.optimizers.spec import adamw, build

    variable = keras.Variable(np.ones(3, "float32"), name="v")
    assert moves_without_gradient(keras.optimizers.SGD(weight_decay=0.1))
    assert moves_without_gradient(keras.optimizers.LossScaleOptimizer(keras.optimizers.AdamW(0.1)))
    assert moves_without_gradient(build(adamw(0.1, l2_sp=0.1), 0.1, [variable], anchors={}))
    assert not moves_without_gradient(keras.optimizers.Adam(0.1))
    assert not moves_without_gradient(None)
