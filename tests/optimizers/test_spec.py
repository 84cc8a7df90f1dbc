import json

import keras
import numpy as np
import pytest

from tests.conftest import conv_net
from tltk.optimizers.per_variable import KERAS_OPTIMIZERS
from tltk.optimizers.spec import Optimizer, adamw, build, sgd


def one_step(spec, value, gradient, name="kernel", rate=0.1, steps=1):
    variable = keras.Variable(np.array(value, "float32"), name=name)
    optimizer = build(spec, rate, [variable])
    for _ in range(steps):
        optimizer.apply([keras.ops.convert_to_tensor(np.array(gradient, "float32"))])
    return np.array(variable.value)


def test_adamw_takes_the_hand_computed_step():
    # m̂ = g, v̂ = g², so the step is rate · g / (|g| + ε), after a decay of rate · decay · value
    value = one_step(adamw(0.1, weight_decay=0.5), [2.0, -4.0], [3.0, -1.0])
    np.testing.assert_allclose(value, [2 - 0.1 * 0.5 * 2 - 0.1, -4 + 0.1 * 0.5 * 4 + 0.1], rtol=1e-5)


def test_sgd_takes_the_hand_computed_steps_with_momentum():
    # v₁ = −0.1·1, v₂ = 0.9·v₁ − 0.1·1
    np.testing.assert_allclose(one_step(sgd(0.1, momentum=0.9), [1.0], [1.0], steps=2), [1 - 0.1 - 0.19], rtol=1e-6)


@pytest.mark.parametrize("name", ["bias", "gamma", "beta"])
def test_biases_and_norms_do_not_decay(name):
    assert one_step(adamw(0.1, weight_decay=0.5), [2.0], [0.0], name=name) == 2.0
    assert one_step(adamw(0.1, weight_decay=0.5), [2.0], [0.0]) < 2.0


def test_clipping_is_by_the_global_norm():
    np.testing.assert_allclose(
        one_step(sgd(0.1, momentum=0.0, clip_norm=1.0), [0.0, 0.0], [3.0, 4.0]), [-0.06, -0.08], rtol=1e-5
    )


def test_loss_scaling_wraps_the_optimizer():
    variable = keras.Variable(np.ones(2, "float32"), name="kernel")
    built = build(adamw(), 0.1, [variable], loss_scaling=True)
    assert isinstance(built, keras.optimizers.LossScaleOptimizer)


def test_an_optimizer_has_state_for_trainable_variables_only():
    model = conv_net()
    for layer in model.layers[:4]:
        layer.trainable = False
    optimizer = build(adamw(ema_momentum=0.9, l2_sp=0.1), 0.1, model.trainable_variables, anchors={})
    names = {variable.path.replace("/", "_") for variable in model.trainable_variables}
    with_state = [
        variable.name for variable in optimizer.variables if len(variable.shape) and variable.name != "steps_before"
    ]
    assert len(with_state) == 3 * len(names)
    assert {name.rsplit("_", 1)[0] for name in with_state} == names


def test_all_arguments_that_do_not_fit_the_variables_are_listed_at_once():
    frozen, free = (keras.Variable(np.ones(2), name=name) for name in ("frozen", "kernel"))
    frozen.trainable = False
    with pytest.raises(
        ValueError,
        match=r"(?s)`frozen` is frozen.*names 'kernal', which is not among.*Did you mean 'kernel'.*above 0. "
        r"Received: 0 for 'kernel'.*`kernel` has the shape \(2,\), its anchor has \(3,\)",
    ):
        build(
            sgd(l2_sp=0.1), 0.1, [frozen, free],
            lr_multipliers={"kernal": 1.0, "kernel": 0}, anchors={"kernel": np.ones(3), "elsewhere": np.ones(1)},
        )  # fmt: skip


def test_l2_sp_requires_anchors():
    with pytest.raises(ValueError, match=r"`l2_sp` \(0.1\) requires `anchors`"):
        build(sgd(l2_sp=0.1), 0.1, [keras.Variable(np.ones(2), name="kernel")])


def test_all_invalid_values_are_listed_at_once():
    with pytest.raises(ValueError, match=r"(?s)`learning_rate`.*Received: 0.*`momentum`.*Received: 1.*`clip_norm`"):
        sgd(0, momentum=1, clip_norm=-1)
    with pytest.raises(
        ValueError,
        match=r"(?s)`ema_momentum`.*Received: 1.*`l2_sp`.*Received: -1.*`gradient_accumulation_steps`.*Received: 0",
    ):
        adamw(ema_momentum=1, l2_sp=-1, gradient_accumulation_steps=0)
    with pytest.raises(ValueError, match=r"`weight_decay` must be at least 0"):
        adamw(weight_decay=-1)


def test_every_optimizer_of_keras_can_be_named_and_an_unknown_name_is_an_error():
    assert Optimizer("lion", 1e-4).optimizer_class is keras.optimizers.Lion
    with pytest.raises(ValueError, match=r"`optimizer` must be one of .*Received: 'adamx'. Did you mean 'adamax'"):
        Optimizer("adamx", 1e-4)
    with pytest.raises(ValueError, match=r"(?s)Lion has no option 'beta_3'. Did.*no option 'momentum'"):
        Optimizer("lion", 1e-4, momentum=0.9, options=(("beta_3", 0.5),))


def test_an_optimizer_may_have_a_schedule_of_keras_and_is_stored_as_json():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, decay_steps=10)
    spec = adamw(schedule)
    assert spec.has_schedule
    assert json.loads(json.dumps(spec.to_config()))["learning_rate"]["class_name"] == "CosineDecay"
    with pytest.raises(ValueError, match="`learning_rate` must be a number above 0, or a Keras schedule"):
        adamw("fast")


@pytest.mark.parametrize("name", sorted(set(KERAS_OPTIMIZERS) - {"ftrl"}))
def test_multipliers_scale_the_first_step(name):
    variables = [keras.Variable(np.ones((2, 2), "float32"), name=name) for name in ("low", "high")]
    optimizer = build(Optimizer(name, 1e-3), 1e-3, variables, lr_multipliers={"low": 0.5})
    optimizer.apply([keras.ops.convert_to_tensor(np.array([[1.0, -2.0], [3.0, 0.5]], "float32"))] * 2)
    low, high = (variable.numpy() - 1 for variable in variables)
    assert np.abs(high).min() > 0
    np.testing.assert_allclose(low, high / 2, rtol=2e-3)


def test_ftrl_refuses_multipliers():
    variable = keras.Variable(np.ones(2, "float32"), name="low")
    with pytest.raises(ValueError, match=r"Ftrl.*cannot have learning rates of their own. Use another"):
        build(Optimizer("ftrl", 1e-3), 1e-3, [variable], lr_multipliers={"low": 0.5})
    build(Optimizer("ftrl", 1e-3), 1e-3, [variable], lr_multipliers={"low": 1.0})
