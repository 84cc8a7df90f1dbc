"""The recipe "auto": a tuned probe, then fine-tuning if it is worth it; what was decided, as a value."""

from dataclasses import dataclass
from typing import Any

from tltk.optimizers.spec import adamw
from tltk.recipes.general import tuned_probe
from tltk.recipes.recipe import Phase, Recipe
from tltk.trainability.plan import train_all, train_top

AUTO = "auto"
_STEPS, _EPOCHS = 40, (3, 6)
LEAST_STEPS = 24  # with half as many, sets of 30 to 60 images ended up to 40 points below the probe


def epochs_for(steps_per_epoch: int) -> int:
    """Return the epochs of fine-tuning after a tuned probe: as many as 40 steps need, but 3 to 6; at least 24 steps.

    Examples:
        >>> [epochs_for(steps) for steps in (2, 5, 13, 200)]
        [12, 6, 4, 3]
    """
    steps = max(steps_per_epoch, 1)
    return max(min(max(-(-_STEPS // steps), _EPOCHS[0]), _EPOCHS[1]), least_epochs(steps))


def least_epochs(steps_per_epoch: int) -> int:
    """Return the epochs of 24 steps, below which fine-tuning damages more than it repairs."""
    return -(-LEAST_STEPS // max(steps_per_epoch, 1))


@dataclass(frozen=True)
class FineTuning:
    """A phase of fine-tuning after the probe.

    Args:
        epochs: Passes over the training examples.
        learning_rate: Peak learning rate.
        fraction: Fraction of the backbone's layers that are trained, from the top.
        augment: Whether examples are augmented, as is the default of the task. Without it, the outputs of the layers
            that are not trained are computed once.
        temperature: What the logits are divided by after the phase, see `Phase`.
        l2_sp: Strength of L2-SP, which replaces the weight decay of pretrained weights.

    Examples:
        >>> FineTuning(epochs=3, learning_rate=1e-4).phase().name
        'fine_tune'
    """

    epochs: int
    learning_rate: float
    fraction: float = 1.0
    augment: bool = True
    temperature: float = 1.0
    l2_sp: float = 0.0

    def phase(self) -> Phase:
        """Build the phase."""
        optimizer = adamw(self.learning_rate, weight_decay=1e-2, clip_norm=1.0, l2_sp=self.l2_sp)
        plan = train_all() if self.fraction >= 1 else train_top(fraction=self.fraction)
        augment: Any = None if self.augment else ()
        return Phase("fine_tune", plan, self.epochs, optimizer, augment=augment, temperature=self.temperature)


def automatic(fine_tuning: FineTuning | None) -> Recipe:
    """Build what "auto" has decided: the tuned probe, and fine-tuning unless it is None.

    Args:
        fine_tuning: The second phase.

    Examples:
        >>> [phase.name for phase in automatic(FineTuning(epochs=3, learning_rate=1e-4)).phases]
        ['probe', 'fine_tune']
    """
    return Recipe(AUTO, (*tuned_probe().phases, *([] if fine_tuning is None else [fine_tuning.phase()])))
