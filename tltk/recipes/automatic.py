"""The recipe "auto": a tuned probe, then fine-tuning if it is worth it; what was decided, as values."""

from typing import Any

from tltk.foundation.errors import InvalidInput
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


def fine_tuning(
    *,
    epochs: int,
    learning_rate: float,
    fraction: float = 1.0,
    augment: bool = True,
    temperature: float = 1.0,
    l2_sp: float = 0.0,
) -> dict[str, Any]:
    """Describe a phase of fine-tuning after the probe, as JSON values, which a run stores.

    Args:
        epochs: Passes over the training examples.
        learning_rate: Peak learning rate.
        fraction: Fraction of the backbone's layers that are trained, from the top.
        augment: Whether examples are augmented, as is the default of the task. Without it, the outputs of the layers
            that are not trained are computed once.
        temperature: What the logits are divided by after the phase, see `Phase`.
        l2_sp: Strength of L2-SP, which replaces the weight decay of pretrained weights.
    """
    values = {"epochs": epochs, "learning_rate": learning_rate, "fraction": fraction}
    return {**values, "augment": augment, "temperature": temperature, "l2_sp": l2_sp}


def phase_of(settings: dict[str, Any]) -> Phase:
    """Build the phase that `fine_tuning` describes; options that an older run does not have are the defaults."""
    settings = fine_tuning(**settings)
    fraction = settings["fraction"]
    optimizer = adamw(settings["learning_rate"], weight_decay=1e-2, clip_norm=1.0, l2_sp=settings["l2_sp"])
    plan = train_all() if fraction >= 1 else train_top(fraction=fraction)
    augment: Any = None if settings["augment"] else ()
    options = {"augment": augment, "temperature": settings["temperature"]}
    return Phase("fine_tune", plan, settings["epochs"], optimizer, **options)


def automatic(settings: dict[str, Any] | None) -> Recipe:
    """Build what "auto" has decided: the tuned probe, and fine-tuning if `settings` is not None.

    Args:
        settings: From `fine_tuning`, or None.

    Examples:
        >>> [phase.name for phase in automatic(fine_tuning(epochs=3, learning_rate=1e-4)).phases]
        ['probe', 'fine_tune']
    """
    return Recipe(AUTO, (*tuned_probe().phases, *([] if settings is None else [phase_of(settings)])))


def seconds_of(budget: str | None) -> float | None:
    """Return the seconds of a budget such as "5 min"; None means no limit.

    Raises:
        InvalidInput: If it is not a time.
    """
    units = {"s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
    if budget is None:
        return None
    number, _, unit = budget.strip().lower().partition(" ") if isinstance(budget, str) else ("", "", "")
    try:
        seconds = float(number) * units[unit.strip().removesuffix("s") or "s"]
    except (ValueError, KeyError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InvalidInput(f"`budget` must be a time such as '5 min', '30 s' or '2 h', or None. Received: {budget!r}")
    return seconds
