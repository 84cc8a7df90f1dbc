import keras
import numpy as np
import pytest
from keras.optimizers.schedules import CosineDecay

from tltk.optimizers.from_keras import as_optimizer, from_keras
from tltk.optimizers.per_variable import KERAS_OPTIMIZERS
from tltk.optimizers.spec import Optimizer, adamw, build

INSTANCES = [
    keras.optimizers.AdamW(0.1, weight_decay=0.1, beta_1=0.8, clipnorm=0.5),
    keras.optimizers.SGD(0.1, momentum=0.5, nesterov=True, global_clipnorm=0.5),
    keras.optimizers.Lion(0.01, beta_2=0.9, clipvalue=0.5),
    keras.optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    keras.optimizers.Adam(CosineDecay(0.1, 5), amsgrad=True, gradient_accumulation_steps=2),
    keras.optimizers.Muon(0.01, weight_decay=0.1, adam_weight_decay=0.2, momentum=0.5),
    *(keras_class() for name, keras_class in sorted(KERAS_OPTIMIZERS.items()) if name not in ("adamw", "sgd", "lion")),
]


def trained(optimizer, variables):
    gradients = np.random.default_rng(0).normal(size=(6, 3, 2)).astype("float32")
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)] * len(variables), variables)
    return [variable.numpy() for variable in variables]


@pytest.mark.parametrize("optimizer", INSTANCES, ids=lambda optimizer: type(optimizer).__name__)
def test_the_settings_of_an_optimizer_take_the_steps_that_it_takes(optimizer):
    spec, config = from_keras(optimizer), optimizer.get_config()
    variables = [[keras.Variable(np.ones((3, 2), "float32"), name="kernel")] for _ in range(2)]
    ours = trained(build(spec, spec.learning_rate, variables[0]), variables[0])
    assert optimizer.get_config() == config
    assert not optimizer.built
    theirs = trained(type(optimizer).from_config(config), variables[1])
    np.testing.assert_allclose(ours, theirs, rtol=2e-6)


def test_settings_with_a_field_of_their_own_and_the_others():
    optimizer = keras.optimizers.Adam(1e-4, beta_2=0.5, use_ema=True, ema_momentum=0.9, gradient_accumulation_steps=3)
    spec = from_keras(optimizer)
    assert (spec.name, spec.learning_rate, spec.weight_decay, spec.ema_momentum) == ("adam", 1e-4, 0.0, 0.9)
    assert spec.gradient_accumulation_steps == 3
    assert dict(spec.options)["beta_2"] == 0.5


def test_a_name_means_the_optimizer_of_keras_with_its_default_learning_rate():
    assert as_optimizer("Lion") == Optimizer("lion", 0.001)
    assert as_optimizer("sgd", learning_rate=0.5) == Optimizer("sgd", 0.5)
    assert as_optimizer(adamw(0.5)) == adamw(0.5)
    with pytest.raises(ValueError, match=r"`optimizer` must be one of 'ad.*Received: 'lyon'. Did you mean 'lion'"):
        as_optimizer("lyon")
    with pytest.raises(TypeError, match=r"`optimizer` must be Optimizer. Received: float. Pass tltk.adamw"):
        as_optimizer(0.1)


def test_what_cannot_be_taken_over_is_refused_with_the_way_out():
    inner = keras.optimizers.Adam()
    excluding = keras.optimizers.AdamW()
    excluding.exclude_from_weight_decay(var_names=["bias", "LayerNorm", "norm", "gamma", "beta"])
    assert from_keras(excluding).name == "adamw"  # what no optimizer of tltk decays
    excluding.exclude_from_weight_decay(var_names=["bias", "embeddings"])
    for optimizer, expected in (
        (keras.optimizers.LossScaleOptimizer(inner), "pass the inner optimizer"),
        (keras.optimizers.SGD(lambda: 0.1), "must be a number or a LearningRateSchedule"),
        (excluding, "exclude_from_weight_decay is taken over for biases"),
    ):
        with pytest.raises(ValueError, match=expected):
            from_keras(optimizer)
    if hasattr(keras.optimizers, "MultiOptimizer"):  # Keras 3.13 has none
        several = keras.optimizers.MultiOptimizer(lambda variable: inner)
        with pytest.raises(ValueError, match=r"a phase has one optimizer.*lr_multiplier"):
            from_keras(several)


def test_an_optimizer_class_of_the_user_needs_a_complete_config():
    class Scaled(keras.optimizers.SGD):
        def __init__(self, scale, **options):
            super().__init__(**options)
            self.scale = scale

    class Complete(Scaled):
        def get_config(self):
            return {**super().get_config(), "scale": self.scale}

        def update_step(self, gradient, variable, learning_rate):
            super().update_step(gradient * self.scale, variable, learning_rate)

    with pytest.raises(ValueError, match="Scaled cannot be rebuilt from its get_config"):
        from_keras(Scaled(3.0, learning_rate=0.1))
    spec = from_keras(Complete(3.0, learning_rate=0.1))
    variable = keras.Variable(np.zeros(1, "float32"), name="w")
    build(spec, 0.1, [variable], lr_multipliers={"w": 0.5}).apply([keras.ops.ones(1)])
    np.testing.assert_allclose(variable.numpy(), [-0.15], rtol=1e-6)
