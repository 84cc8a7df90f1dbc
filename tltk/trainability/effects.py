"""What a decision means inside one layer: which of its variables learn, and which of its parts are switched on."""

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
from tltk.trainability.lora import weights as low_rank


@dataclass(frozen=True)
class Decision:
    """What happens to one layer.

    Args:
        action: "frozen", "train", "lora", "bias" or "norm", see `tltk.trainability.plan.Rule`.
        multiplier: of the learning rate, layer decay included.
        rank: of LoRA.
        target: where inside the layer LoRA goes.
    """

    action: str
    multiplier: float = 1.0
    rank: int = 8
    target: str = "*"


@dataclass(frozen=True, eq=False)
class Effect:
    """What happens to one part of a layer: the layer itself, or a layer inside it.

    Args:
        part: the Keras layer.
        on: its `trainable` flag; for batch norm that is also whether it updates its statistics.
        learning: those of its own variables that get a gradient. LoRA's are among them once they exist.
    """

    part: keras.Layer
    on: bool
    learning: tuple[keras.Variable, ...]

    @property
    def changing(self) -> list[keras.Variable]:
        """Everything of this part that a phase may change: what learns, and state such as moving statistics."""
        return [*self.learning, *(own_state(self.part) if self.on else ())]


def effects(row: LayerRow, decision: Decision, batch_norm: str) -> list[Effect]:
    """Say what a decision does to each part of a layer, without touching it.

    Args:
        row: a top-level layer.
        decision: what the plan decided for it.
        batch_norm: the plan's policy; the head's own batch norm always learns where the head does.

    Returns:
        One effect a part, outermost first.
    """
    policy = "train" if row.stage == HEAD else batch_norm
    targets = _targets(row, decision)
    learning = {id(part): _learning(part, decision.action, policy, targets) for part in sublayers(row.layer)}
    return [
        Effect(part, _is_on(part, decision.action, policy, targets, learning), learning[id(part)])
        for part in sublayers(row.layer)
    ]


def effective(row: LayerRow, decision: Decision, batch_norm: str) -> Decision:
    """Call a layer frozen if nothing of it learns, such as a convolution without bias that shall train its bias.

    Layers without weights keep their decision: a dropout among layers that learn drops.
    """
    parts = effects(row, decision, batch_norm)
    could = [effect for effect in parts if own_trainable(effect.part) or is_normalization_with_statistics(effect.part)]
    if decision.action == "frozen" or not row.parameters or (decision.action == "train" and not could):
        return decision
    learns = decision.action == "lora" and bool(_targets(row, decision))
    return decision if learns or any(effect.changing for effect in could) else Decision("frozen")


def learning_parameters(row: LayerRow, decision: Decision, batch_norm: str) -> int:
    """Count the parameters of a layer that get a gradient under a decision, those of LoRA to come included."""
    if decision.action == "lora":
        return sum(low_rank.size(part, decision.rank) for part in low_rank.chosen(row, decision.target).values())
    found = effects(row, decision, batch_norm)
    return sum(math.prod(variable.shape) for effect in found for variable in effect.learning)


def could_learn(row: LayerRow, action: str) -> bool:
    """Tell whether a layer has anything that "bias" or "norm" speaks of, under any policy of batch norm."""
    return any(_learning(part, action, "train", set()) for part in sublayers(row.layer))


def state(row: LayerRow, decision: Decision, batch_norm: str) -> str:
    """Say in a few words what becomes of a layer, for the table that people read."""
    norms = [part for part in sublayers(row.layer) if is_normalization_with_statistics(part)]
    held = bool(norms) and row.stage != HEAD and batch_norm != "train" and decision.action != "frozen"
    if effective(row, decision, batch_norm) != decision:
        return f"frozen ({'batch norm' if held else f'no {decision.action}'})"
    shown = f"lora, rank {decision.rank}" if decision.action == "lora" else decision.action
    return f"{shown} (batch norm {batch_norm})" if held and decision.action != "lora" else shown


def _targets(row: LayerRow, decision: Decision) -> set[int]:
    if decision.action != "lora":
        return set()
    return {id(part) for part in low_rank.chosen(row, decision.target).values()}


def _learning(part: keras.Layer, action: str, policy: str, targets: set[int]) -> tuple[keras.Variable, ...]:
    own = own_trainable(part)
    if action == "lora":
        return tuple(v for v in own if id(part) in targets and v.name.startswith(low_rank.PREFIX))
    if action == "frozen" or (policy == "frozen" and is_normalization_with_statistics(part)):
        return ()
    if action == "bias":
        return tuple(v for v in own if v.name == "bias" or (v.name == "beta" and is_normalization(part)))
    if action == "norm":
        return tuple(own) if is_normalization(part) else ()
    return tuple(own)


def _is_on(part: keras.Layer, action: str, policy: str, targets: set[int], learning: dict[int, tuple]) -> bool:
    if action == "frozen":
        return False
    if is_normalization_with_statistics(part):
        return action != "lora" and policy == "train"
    if action == "train":
        return True
    inside = sublayers(part)
    updates = action != "lora" and policy == "train" and any(is_normalization_with_statistics(one) for one in inside)
    return updates or any(learning[id(one)] or id(one) in targets for one in inside)
