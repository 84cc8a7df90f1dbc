"""Keras optimizers as data: the settings of a `keras.optimizers.Optimizer`, or of one that is given by its name."""

from inspect import signature

import keras
from keras.optimizers.schedules import LearningRateSchedule

from tltk.foundation import checks as check
from tltk.foundation import keras_private as private
from tltk.foundation.errors import InvalidInput
from tltk.optimizers.per_variable import KERAS_OPTIMIZERS
from tltk.optimizers.spec import Optimizer

# Names of weights that no optimizer of tltk decays, as guides exclude them.
_NAMES_IN_GUIDES = ("bias", "gamma", "beta", "layernorm")
_NEVER_DECAYED = {"", *_NAMES_IN_GUIDES, "layer_norm", "layernormalization", "layer_normalization", "batchnorm", "norm"}


def as_optimizer(optimizer: object, *, learning_rate: float | None = None) -> Optimizer:
    """Turn what `Phase(optimizer=)` takes into settings.

    Args:
        optimizer: Settings, a Keras optimizer, or the name of one.
        learning_rate: Learning rate for a name; None means the default of the Keras class.

    Returns:
        The settings.

    Raises:
        InvalidType: If it is something else.
        InvalidInput: If no optimizer has this name.

    Examples:
        >>> as_optimizer("lion").learning_rate, as_optimizer(keras.optimizers.SGD(0.5)).learning_rate
        (0.001, 0.5)
    """
    if isinstance(optimizer, str):
        check.one_of("optimizer", optimizer.lower(), KERAS_OPTIMIZERS)
        default = signature(KERAS_OPTIMIZERS[optimizer.lower()]).parameters["learning_rate"].default
        return Optimizer(optimizer.lower(), default if learning_rate is None else learning_rate)
    if isinstance(optimizer, keras.optimizers.Optimizer):
        return from_keras(optimizer)
    hint = 'Pass tltk.adamw(…), tltk.sgd(…), a name such as "lion", or a keras.optimizers.Optimizer.'
    check.instance_of("optimizer", optimizer, Optimizer, hint=hint)
    return optimizer  # type: ignore[return-value]


def from_keras(optimizer: keras.optimizers.Optimizer) -> Optimizer:
    """Take over the settings of a Keras optimizer, which is not changed and may be used elsewhere.

    Weight decay applies to the variables that tltk decays (`per_variable.decays`), not to biases and norms.

    Args:
        optimizer: Any optimizer that updates one variable at a time and whose `get_config` is complete.

    Returns:
        The settings, with those that have no field of their own in `options`.

    Raises:
        InvalidInput: If the optimizer wraps others, or its settings cannot be taken over; the message says what to do.

    Examples:
        >>> from_keras(keras.optimizers.AdamW(1e-4, weight_decay=0.01, beta_2=0.99)).weight_decay
        0.01
    """
    problem = _why_refused(optimizer)
    if problem:
        raise InvalidInput(problem)
    keras_class = type(optimizer)
    config = dict(optimizer.get_config())
    rate = private.learning_rate_of(optimizer)
    if not isinstance(rate, LearningRateSchedule):
        rate = float(str(keras.ops.convert_to_numpy(rate)))  # a float32: 0.1, and not 0.10000000149011612
    for name in ("name", "learning_rate"):
        config.pop(name)
    name = keras_class.__name__.lower()
    uses_average, average_momentum = config.pop("use_ema"), config.pop("ema_momentum")
    return Optimizer(
        name,
        rate,
        weight_decay=config.pop("weight_decay") or 0.0,
        clip_norm=config.pop("global_clipnorm"),
        ema_momentum=average_momentum if uses_average else None,
        gradient_accumulation_steps=config.pop("gradient_accumulation_steps") or 1,
        options=tuple(config.items()),
        keras_class=None if KERAS_OPTIMIZERS.get(name) is keras_class else keras_class,
    )


def _why_refused(optimizer: keras.optimizers.Optimizer) -> str:
    """Return why the settings of an optimizer cannot be taken over, and the way out; "" if they can."""
    name, rate = type(optimizer).__name__, private.learning_rate_of(optimizer)
    if hasattr(optimizer, "inner_optimizer"):
        return "pass the inner optimizer of the LossScaleOptimizer: tltk scales the loss of float16 models itself."
    if hasattr(optimizer, "optimizers"):
        return (
            f"{name} cannot be used: a phase has one optimizer. For learning rates of single layers use "
            "Rule(…, lr_multiplier=…) in a plan."
        )
    if not isinstance(rate, LearningRateSchedule | keras.Variable):
        return f"the learning rate of {name} must be a number or a LearningRateSchedule, not a function."
    has_variables, pattern = private.weight_decay_exclusions(optimizer)
    if has_variables or any(name.lower() not in _NEVER_DECAYED for name in pattern.split("|")):
        return (
            "exclude_from_weight_decay is taken over for biases and weights of normalization layers only, which tltk "
            f"never decays: var_names={_NAMES_IN_GUIDES!r}. Pass an optimizer without other exclusions."
        )
    try:
        type(optimizer).from_config(optimizer.get_config())
    except (TypeError, ValueError, NotImplementedError) as error:
        return (
            f"{name} cannot be rebuilt from its get_config, as every phase does: {error}. Add the missing arguments to "
            "get_config."
        )
    return ""
