"""The one place that sets `trainable` and puts LoRA on: immediately before a new optimizer and `compile`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import keras

from tltk.foundation import checks as check
from tltk.trainability.effects import Decision, effective, effects
from tltk.trainability.layers import (
    HasStages,
    LayerRow,
    model_and_stages,
    own_trainable,
    rows,
    set_trainable,
    sublayers,
)
from tltk.trainability.lora import weights as low_rank
from tltk.trainability.lora.weights import Matrices
from tltk.trainability.plan import Plan


@dataclass(frozen=True)
class Applied:
    """What a plan does to a model while it is applied.

    Args:
        decided: layer name → what happens to it, as `plan.resolve` gives it, but "frozen" for every layer in which
            nothing learns, such as a convolution without bias that shall train its bias.
        multipliers: path of a variable → multiplier of its learning rate, for every variable that learns.
        drifting: paths of the state that may change without learning: moving statistics of batch norms that train.
        matrices: "layer:path of the sublayer in it" → what LoRA learned there; empty until the plan is left.
    """

    decided: dict[str, Decision]
    multipliers: dict[str, float]
    drifting: frozenset[str]
    matrices: dict[str, Matrices] = field(default_factory=dict)


@contextmanager
def applied(plan: Plan, model: keras.Model | HasStages) -> Iterator[Applied]:
    """Set what learns as a plan says; on leaving, merge LoRA and put every flag back.

    Build the optimizer, compile and fit inside, and put weights back (an early stop's) inside: the list of weights
    has LoRA's matrices in it there. Outside the model has its old list of weights and its old flags,
    whatever happened.

    Args:
        plan: which layers learn.
        model: a `keras.Model`, or what `tltk.assemble` returned.

    Yields:
        What was decided; its `matrices` are filled on leaving.

    Raises:
        ValueError: as `plan.resolve`, or if a layer already has LoRA of somebody else's; nothing is changed then.

    Example:
        >>> from tltk.trainability.plan import Rule
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="out")])
        >>> with applied(Plan((Rule("out", "bias", multiplier=2.0),)), model) as found:
        ...     [(variable.name, found.multipliers[variable.path]) for variable in model.trainable_variables]
        [('bias', 2.0)]
        >>> len(model.trainable_variables)
        2
    """
    decided = plan.resolve(model)
    plain, _ = model_and_stages(model)
    found = rows(model)
    targets = _lora_targets(found, decided)
    matrices: dict[str, Matrices] = {}
    layer_flags, variable_flags = _flags(plain)
    try:
        for part, rank in targets.values():
            low_rank.enable(part, rank)
        multipliers = _set_flags(plain, found, decided, plan.batch_norm)
        if targets:
            plain.predict_function = None  # traced without LoRA, it would go on predicting without it
        kept = {row.name: effective(row, decided[row.name], plan.batch_norm) for row in found}
        yield Applied(kept, multipliers, _drifting(found, decided, plan.batch_norm), matrices)
    finally:
        for path, (part, _) in targets.items():
            if part.lora_enabled:
                matrices[path] = low_rank.merge(part)
        set_trainable(layer_flags)
        for variable, flag in variable_flags:
            variable.trainable = flag


def _set_flags(
    plain: keras.Model, found: list[LayerRow], decided: dict[str, Decision], batch_norm: str
) -> dict[str, float]:
    """Set every flag and return the multiplier of every variable that learns.

    The model itself is opened first: a frozen container hides its children from `trainable_weights`, while a child
    set trainable under it still learns.
    """
    plain.trainable = True
    planned = [(row, effect) for row in found for effect in effects(row, decided[row.name], batch_norm)]
    set_trainable([(effect.part, effect.on) for _, effect in planned])
    multipliers: dict[str, float] = {}
    problems = check.Problems()
    for row, effect in planned:
        # Variables after layers: setting a layer's flag overwrites those of its variables. Batch norm needs the two
        # to differ: its layer off is inference mode, its scale and shift may learn all the same.
        learning = {id(variable) for variable in effect.learning}
        for variable in own_trainable(effect.part):
            variable.trainable = id(variable) in learning
        for variable in effect.learning:
            multiplier = decided[row.name].multiplier
            if multipliers.setdefault(variable.path, multiplier) != multiplier:
                problems.add(f"two variables are called {variable.path!r} and have different multipliers")
    problems.raise_if_any()
    return multipliers


def changing(plan: Plan, model: keras.Model | HasStages) -> list[keras.Variable]:
    """List the variables that a plan would let change, moving statistics included.

    Raises:
        ValueError: as `plan.resolve`.
    """
    decided = plan.resolve(model)
    planned = (effects(row, decided[row.name], plan.batch_norm) for row in rows(model))
    return [variable for parts in planned for effect in parts for variable in effect.changing]


def _drifting(found: list[LayerRow], decided: dict[str, Decision], batch_norm: str) -> frozenset[str]:
    planned = [effect for row in found for effect in effects(row, decided[row.name], batch_norm)]
    learning = {variable.path for effect in planned for variable in effect.learning}
    return frozenset({variable.path for effect in planned for variable in effect.changing} - learning)


def _lora_targets(found: list[LayerRow], decided: dict[str, Decision]) -> dict[str, tuple[keras.Layer, int]]:
    """Find what LoRA goes on: name → sublayer and rank, each sublayer once."""
    targets: dict[str, tuple[keras.Layer, int]] = {}
    seen: set[int] = set()
    problems = check.Problems()
    for row in found:
        if decided[row.name].action != "lora":
            continue
        for path, part in low_rank.chosen(row, decided[row.name].target).items():
            if part.lora_enabled:
                problems.add(f"{row.name}:{path} already has LoRA; make the model anew without it")
            if id(part) not in seen:
                seen.add(id(part))
                targets[f"{row.name}:{path}"] = part, decided[row.name].rank
    problems.raise_if_any()
    return targets


def _flags(
    plain: keras.Model,
) -> tuple[list[tuple[keras.Layer, bool]], list[tuple[keras.Variable, bool]]]:
    layers = sublayers(plain)
    variables = [variable for layer in layers for variable in own_trainable(layer)]
    return [(layer, layer.trainable) for layer in layers], [(variable, variable.trainable) for variable in variables]
