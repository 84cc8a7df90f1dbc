"""Applying a plan: the only place that sets `trainable` and enables LoRA, before `compile` with a new optimizer."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import keras
import numpy as np

from tltk.foundation import checks as check
from tltk.trainability.effects import Decision, effective_decision, effects
from tltk.trainability.layers import (
    HasStages,
    LayerRow,
    layer_rows,
    model_and_stages,
    own_trainable,
    set_trainable,
    sublayers,
)
from tltk.trainability.lora import weights as lora
from tltk.trainability.lora.weights import LoraWeights
from tltk.trainability.plan import Plan


@dataclass(frozen=True)
class AppliedPlan:
    """Effect of a plan on a model while it is applied.

    Args:
        decisions: Layer name → decision, as `plan.resolve` returns it, but "frozen" for every layer in which nothing
            is trained, such as a convolution without bias under "bias".
        lr_multipliers: Variable path → learning-rate multiplier, for every trained variable.
        updated_statistics: Paths of the variables that change without a gradient: moving statistics of batch norms in
            training mode.
        lora_weights: "layer:path of the sublayer" → what LoRA was trained to add there; empty until the plan is left.
    """

    decisions: dict[str, Decision]
    lr_multipliers: dict[str, float]
    updated_statistics: frozenset[str]
    lora_weights: dict[str, LoraWeights] = field(default_factory=dict)


@contextmanager
def apply_plan(plan: Plan, model: keras.Model | HasStages, *, seed: int = 0) -> Iterator[AppliedPlan]:
    """Freeze and unfreeze layers according to a plan; on leaving, merge LoRA and restore every flag.

    Build the optimizer, compile, fit and restore weights (of early stopping) inside the block: there the list of
    weights includes those of LoRA. Outside, the model has its former list of weights and its former flags, even if the
    block has raised.

    Args:
        plan: Which layers are trained.
        model: A `keras.Model`, or the result of `tltk.assemble`.
        seed: Seed of the first weights of LoRA.

    Yields:
        The decisions; `lora_weights` is filled on leaving.

    Raises:
        InvalidInput: As `plan.resolve`, or if a layer has LoRA already; the model is unchanged then.

    Examples:
        >>> from tltk.trainability.plan import Rule
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="out")])
        >>> with apply_plan(Plan((Rule("out", "bias", lr_multiplier=2.0),)), model) as effect:
        ...     [(variable.name, effect.lr_multipliers[variable.path]) for variable in model.trainable_variables]
        [('bias', 2.0)]
        >>> len(model.trainable_variables)
        2
    """
    decisions = plan.resolve(model)
    keras_model, _ = model_and_stages(model)
    rows = layer_rows(model)
    targets = _lora_targets(rows, decisions)
    lora_weights: dict[str, LoraWeights] = {}
    layer_flags, variable_flags = _flags(keras_model)
    try:
        seeds = np.random.SeedSequence(seed).generate_state(max(len(targets), 1)).tolist()
        for (sublayer, rank), lora_seed in zip(targets.values(), seeds, strict=False):
            lora.enable(sublayer, rank, seed=lora_seed)
        lr_multipliers = _set_flags(keras_model, rows, decisions, plan.batch_norm)
        if targets:
            keras_model.predict_function = None  # if traced without LoRA, it would keep predicting without it
        effective = {row.name: effective_decision(row, decisions[row.name], plan.batch_norm) for row in rows}
        statistics = _updated_statistics(rows, decisions, plan.batch_norm)
        yield AppliedPlan(effective, lr_multipliers, statistics, lora_weights)
    finally:
        for path, (sublayer, _) in targets.items():
            if sublayer.lora_enabled:
                lora_weights[path] = lora.merge(sublayer)
        set_trainable(layer_flags)
        for variable, flag in variable_flags:
            variable.trainable = flag


def _set_flags(
    keras_model: keras.Model, rows: list[LayerRow], decisions: dict[str, Decision], batch_norm: str
) -> dict[str, float]:
    """Set every flag and return the learning-rate multiplier of every trained variable.

    The model itself is set trainable first: a frozen container hides its children from `trainable_weights`, while a
    child that is set trainable afterwards is still trained.
    """
    keras_model.trainable = True
    pairs = [(row, effect) for row in rows for effect in effects(row, decisions[row.name], batch_norm)]
    set_trainable([(effect.sublayer, effect.trainable) for _, effect in pairs])
    lr_multipliers: dict[str, float] = {}
    problems = check.Problems()
    for row, effect in pairs:
        # Variables after layers: setting a layer's flag overwrites those of its variables. Batch norm needs them to
        # differ: with its layer frozen it is in inference mode, and its scale and shift may be trained all the same.
        trained_ids = {id(variable) for variable in effect.trained_variables}
        for variable in own_trainable(effect.sublayer):
            variable.trainable = id(variable) in trained_ids
        for variable in effect.trained_variables:
            multiplier = decisions[row.name].lr_multiplier
            if lr_multipliers.setdefault(variable.path, multiplier) != multiplier:
                problems.add(f"two variables have the path {variable.path!r} and different learning-rate multipliers")
    problems.raise_if_any()
    return lr_multipliers


def changing_variables(plan: Plan, model: keras.Model | HasStages) -> list[keras.Variable]:
    """List the variables that may change under a plan, moving statistics included.

    Raises:
        InvalidInput: As `plan.resolve`.
    """
    decisions = plan.resolve(model)
    per_layer = (effects(row, decisions[row.name], plan.batch_norm) for row in layer_rows(model))
    return [
        variable for layer_effects in per_layer for effect in layer_effects for variable in effect.changing_variables
    ]


def _updated_statistics(rows: list[LayerRow], decisions: dict[str, Decision], batch_norm: str) -> frozenset[str]:
    all_effects = [effect for row in rows for effect in effects(row, decisions[row.name], batch_norm)]
    trained_paths = {variable.path for effect in all_effects for variable in effect.trained_variables}
    changing_paths = {variable.path for effect in all_effects for variable in effect.changing_variables}
    return frozenset(changing_paths - trained_paths)


def _lora_targets(rows: list[LayerRow], decisions: dict[str, Decision]) -> dict[str, tuple[keras.Layer, int]]:
    """Find the sublayers that LoRA is applied to: name → sublayer and rank, each sublayer once."""
    targets: dict[str, tuple[keras.Layer, int]] = {}
    visited: set[int] = set()
    problems = check.Problems()
    for row in rows:
        if decisions[row.name].action != "lora":
            continue
        for path, sublayer in lora.targeted_sublayers(row, decisions[row.name].target).items():
            if sublayer.lora_enabled:
                problems.add(f"{row.name}:{path} has LoRA already; build the model without it")
            if id(sublayer) not in visited:
                visited.add(id(sublayer))
                targets[f"{row.name}:{path}"] = sublayer, decisions[row.name].rank
    problems.raise_if_any()
    return targets


def _flags(
    keras_model: keras.Model,
) -> tuple[list[tuple[keras.Layer, bool]], list[tuple[keras.Variable, bool]]]:
    layers = sublayers(keras_model)
    variables = [variable for layer in layers for variable in own_trainable(layer)]
    return [(layer, layer.trainable) for layer in layers], [(variable, variable.trainable) for variable in variables]
