"""Effect of a decision inside one layer: which variables are trained, and which sublayers are flagged trainable."""

import math
from dataclasses import dataclass

import keras

from tltk.trainability.layers import (
    HEAD,
    LayerRow,
    is_normalization,
    is_normalization_with_statistics,
    own_state,
    own_trainable,
    sublayers,
)
from tltk.trainability.lora import weights as lora


@dataclass(frozen=True)
class Decision:
    """Decision of a plan about one layer.

    Args:
        action: "frozen", "train", "lora", "bias" or "norm", see `tltk.trainability.plan.Rule`.
        lr_multiplier: Factor of the learning rate, layer decay included.
        rank: Rank of LoRA.
        target: Sublayers that LoRA is applied to, see `tltk.trainability.plan.Rule`.
    """

    action: str
    lr_multiplier: float = 1.0
    rank: int = 8
    target: str = "*"


@dataclass(frozen=True, eq=False)
class Effect:
    """Effect on one sublayer of a layer, or on the layer itself.

    Args:
        sublayer: The Keras layer.
        trainable: Its `trainable` flag; for batch norm also whether it updates its statistics.
        trained_variables: Those of its own variables that get a gradient, including the weights of LoRA once they
            exist.
    """

    sublayer: keras.Layer
    trainable: bool
    trained_variables: tuple[keras.Variable, ...]

    @property
    def changing_variables(self) -> list[keras.Variable]:
        """Own variables that a phase may change: the trained ones, and state such as moving statistics."""
        return [*self.trained_variables, *(own_state(self.sublayer) if self.trainable else ())]


def effects(row: LayerRow, decision: Decision, batch_norm: str) -> list[Effect]:
    """Determine the effect of a decision on each sublayer of a layer, without changing it.

    Args:
        row: A top-level layer.
        decision: The plan's decision about it.
        batch_norm: The plan's policy; batch norm of the head is always trained where the head is.

    Returns:
        One effect per sublayer, outermost first.
    """
    policy = "train" if row.stage == HEAD else batch_norm
    targets = _lora_targets(row, decision)
    inner = sublayers(row.layer)
    trained = {id(sublayer): _trained(sublayer, decision.action, policy, targets) for sublayer in inner}
    return [
        Effect(sublayer, _flag(sublayer, decision.action, policy, targets, trained), trained[id(sublayer)])
        for sublayer in inner
    ]


def effective_decision(row: LayerRow, decision: Decision, batch_norm: str) -> Decision:
    """Replace a decision by "frozen" if it trains nothing, as a convolution without bias under "bias".

    Layers without weights keep their decision: dropout between trained layers is active.
    """
    all_effects = effects(row, decision, batch_norm)
    learnable = [
        effect
        for effect in all_effects
        if own_trainable(effect.sublayer) or is_normalization_with_statistics(effect.sublayer)
    ]
    if decision.action == "frozen" or not row.parameters or (decision.action == "train" and not learnable):
        return decision
    has_lora = decision.action == "lora" and bool(_lora_targets(row, decision))
    return decision if has_lora or any(effect.changing_variables for effect in learnable) else Decision("frozen")


def trained_parameters(row: LayerRow, decision: Decision, batch_norm: str) -> int:
    """Count the parameters of a layer that get a gradient under a decision, those that LoRA adds included."""
    if decision.action == "lora":
        targets = lora.targeted_sublayers(row, decision.target).values()
        return sum(lora.parameter_count(sublayer, decision.rank) for sublayer in targets)
    return sum(
        math.prod(variable.shape)
        for effect in effects(row, decision, batch_norm)
        for variable in effect.trained_variables
    )


def has_variables_for(row: LayerRow, action: str) -> bool:
    """Tell whether a layer has any variables that "bias" or "norm" trains, under any policy for batch norm."""
    return any(_trained(sublayer, action, "train", set()) for sublayer in sublayers(row.layer))


def state(row: LayerRow, decision: Decision, batch_norm: str) -> str:
    """Describe in a few words what happens to a layer, for the table of a plan."""
    norms = [sublayer for sublayer in sublayers(row.layer) if is_normalization_with_statistics(sublayer)]
    restricted = bool(norms) and row.stage != HEAD and batch_norm != "train" and decision.action != "frozen"
    if effective_decision(row, decision, batch_norm) != decision:
        return f"frozen ({'batch norm' if restricted else f'no {decision.action}'})"
    text = f"lora, rank {decision.rank}" if decision.action == "lora" else decision.action
    return f"{text} (batch norm {batch_norm})" if restricted and decision.action != "lora" else text


def _lora_targets(row: LayerRow, decision: Decision) -> set[int]:
    if decision.action != "lora":
        return set()
    return {id(sublayer) for sublayer in lora.targeted_sublayers(row, decision.target).values()}


def _trained(sublayer: keras.Layer, action: str, policy: str, targets: set[int]) -> tuple[keras.Variable, ...]:
    variables = own_trainable(sublayer)
    if action == "lora":
        return tuple(v for v in variables if id(sublayer) in targets and v.name.startswith(lora.PREFIX))
    if action == "frozen" or (policy == "frozen" and is_normalization_with_statistics(sublayer)):
        return ()
    if action == "bias":
        return tuple(v for v in variables if v.name == "bias" or (v.name == "beta" and is_normalization(sublayer)))
    if action == "norm":
        return tuple(variables) if is_normalization(sublayer) else ()
    return tuple(variables)


def _flag(sublayer: keras.Layer, action: str, policy: str, targets: set[int], trained: dict[int, tuple]) -> bool:
    """Return the `trainable` flag of a sublayer."""
    if action == "frozen":
        return False
    if is_normalization_with_statistics(sublayer):
        return action != "lora" and policy == "train"
    if action == "train":
        return True
    inner = sublayers(sublayer)
    updates = action != "lora" and policy == "train" and any(map(is_normalization_with_statistics, inner))
    return updates or any(trained[id(layer)] or id(layer) in targets for layer in inner)
