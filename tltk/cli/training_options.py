"""Turns the options of `tltk train` into recipes, class weights and tasks, and describes what will be trained."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput

if TYPE_CHECKING:
    from tltk.balancing.record import Balance
    from tltk.data.source import Source
    from tltk.models.transfer_model import TransferModel
    from tltk.recipes import Recipe
    from tltk.recipes.recipe import Phase
    from tltk.tasks.base import Task

LABEL_TYPES = ("categorical", "multilabel", "regression", "entities")
RECIPES = ("auto", "fine_tune", "linear_probe", "full", "bert", "few_shot")
_WITH_PROBE = ("fine_tune", "few_shot")
_PROBE = "probe"  # name of the phase that trains the head alone


def check_recipe(name: str | None, *, unfreeze: str | None, probe_epochs: int | None = None) -> None:
    """Check the options of a recipe before any data is read.

    Args:
        name: Value of `--recipe`; None for the default recipe.
        unfreeze: Value of `--unfreeze`.
        probe_epochs: Value of `--probe-epochs`.

    Raises:
        InvalidInput: If the name is unknown, or the recipe does not have the option.
    """
    if name is not None:
        check.one_of("recipe", name, RECIPES)
    if unfreeze and name not in (None, "fine_tune"):
        raise InvalidInput(f"`--unfreeze` requires --recipe fine_tune. Received: --recipe {name}")
    if probe_epochs is not None and name not in (None, *_WITH_PROBE):
        raise InvalidInput(f"`--probe-epochs` requires --recipe fine_tune or few_shot. Received: --recipe {name}")


def check_budget(budget: str | None, recipe: "Recipe | str | None") -> None:
    """Raise if a budget was given, and the recipe is not "auto", which alone obeys it.

    Args:
        budget: Value of `--budget`; None if it was not given.
        recipe: From `recipe`.
    """
    if budget is not None and recipe is not None and not isinstance(recipe, str):
        raise InvalidInput(
            f"`--budget` limits the recipe auto. Received: {budget!r} with options of a fixed recipe, {recipe.name}. "
            "Leave out --budget, or --recipe and options such as --epochs."
        )


def checkpoint(text: str) -> str | None:
    """Return the argument `checkpoint` of `tltk.fit` for the value of `--checkpoint`, which may be "off"."""
    return None if text == "off" else text


def recipe(
    name: str | None,
    *,
    epochs: int | None = None,
    probe_epochs: int | None = None,
    learning_rate: float | None = None,
    warmup: float | None = None,
    patience: int | None = None,
    accumulate: int | None = None,
    unfreeze: str | None = None,
    default_rate: float | None = None,
) -> "Recipe | str | None":
    """Build a recipe from its name and options. None keeps the default of the recipe.

    Args:
        name: Name of the recipe; None for the default of `tltk.fit`: "auto" if it can be, and without other options.
        epochs: Epochs of the last phase.
        probe_epochs: Epochs of the phase that trains the head alone.
        learning_rate: Highest learning rate of the last phase.
        warmup: Warm-up of the last phase: a fraction of its steps, or from 1 a number of steps.
        patience: Patience of the last phase.
        accumulate: Batches whose gradients make one step of the last phase.
        unfreeze: Lowest stage that is trained.
        default_rate: Learning rate of the default recipe, see `Modality.learning_rate`.

    Returns:
        The recipe; "auto" or None, by which `tltk.fit` chooses one.

    Raises:
        InvalidInput: If the name is unknown, the recipe does not have an option, or a number is out of range.
    """
    from tltk import recipes

    check_recipe(name, unfreeze=unfreeze, probe_epochs=probe_epochs)
    options = (epochs, probe_epochs, learning_rate, warmup, patience, accumulate, unfreeze)
    if name in (None, "auto") and all(value is None for value in options):
        return name
    if name == "auto":
        raise InvalidInput("--recipe auto chooses epochs and rates by itself: leave out these options, or the recipe.")
    arguments: dict[str, Any] = {} if unfreeze is None else {"unfreeze": unfreeze}
    if name is None and default_rate is not None:
        arguments["learning_rate"] = default_rate
    built: Recipe = getattr(recipes, name or "fine_tune")(**arguments)
    if probe_epochs is not None:
        phases = (replace(item, epochs=probe_epochs) if item.name == _PROBE else item for item in built.phases)
        built = replace(built, phases=tuple(phases))
    built = built.with_last_phase(epochs=epochs, learning_rate=learning_rate)
    last = _with_options(built.phases[-1], warmup=warmup, patience=patience, accumulate=accumulate)
    return replace(built, phases=(*built.phases[:-1], last))


def _with_options(phase: "Phase", *, warmup: float | None, patience: int | None, accumulate: int | None) -> "Phase":
    """Return a phase with other options; None keeps an option."""
    if warmup is not None:
        phase = replace(phase, warmup=int(warmup) if warmup >= 1 and warmup == int(warmup) else warmup)
    if patience is not None:
        phase = replace(phase, patience=patience)
    if accumulate is not None:
        phase = replace(phase, optimizer=replace(phase.optimizer, gradient_accumulation_steps=accumulate))
    return phase


def class_weight(text: str | None) -> str | dict[str, float] | None:
    """Parse `--class-weight`: "balanced", or a weight for each class such as "spam=5,ham=1".

    Raises:
        InvalidInput: If it is something else.

    Examples:
        >>> class_weight("spam=5, ham=0.5")
        {'spam': 5.0, 'ham': 0.5}
    """
    if text is None or text == "balanced":
        return text
    weights = {}
    for part in text.split(","):
        name, equals, number = part.rpartition("=")
        try:
            weights[name.strip()] = float(number)
        except ValueError:
            equals = ""
        if not equals:
            raise InvalidInput(
                f"`--class-weight` must be balanced, or the weights of classes such as spam=5,ham=1. Received: {text!r}"
            )
    return weights


def balance(
    method: str | None, *, thresholds: str | None, calibrate: bool, class_weight: str | None = None
) -> "Balance | None":
    """Return the argument `balance` of `tltk.fit` for the values of its options; None if none was given.

    Args:
        method: Value of `--balance`.
        thresholds: Value of `--tune-thresholds`.
        calibrate: Value of `--calibrate`.
        class_weight: Value of `--class-weight`, which leaves nothing to balance.

    Raises:
        InvalidInput: If a name is unknown, or class weights are passed too.
    """
    if method is None and thresholds is None and not calibrate:
        return None
    if class_weight is not None:
        raise InvalidInput(
            "`--balance`, `--tune-thresholds` and `--calibrate` cannot be used with `--class-weight`. Weights by "
            "frequency are `--balance inverse`."
        )
    import tltk
    from tltk.balancing.record import METHODS

    if method is not None:
        check.one_of("--balance", method, METHODS)
    return tltk.balance(method or "nothing", thresholds=thresholds, calibrate=calibrate)


def with_threshold(task: "Task", threshold: float | None) -> "Task":
    """Return a task with another threshold; None keeps it.

    Raises:
        InvalidInput: If the task has no threshold, or it is not in [0, 1].
    """
    if threshold is None:
        return task
    check.within("threshold", threshold, low=0, high=1)
    if not is_dataclass(task) or "threshold" not in {field.name for field in fields(task)}:
        raise InvalidInput(f"`--threshold` requires --label-type multilabel. Received: the task {task.name}")
    return replace(task, threshold=threshold)


def describe_training(model: "TransferModel", recipe: "Recipe | str | None") -> str:
    """Return the model, the origin of its weights, and the epochs of the recipe if they are known."""
    weights = f"weights: {model.origin.kind} {model.origin.path or ''}"
    if recipe is None or isinstance(recipe, str):
        return f"{model.describe()}\n{weights}\nrecipe: {recipe or 'auto, or fine_tune where it cannot decide'}"
    return f"{model.describe()}\n{weights}\n{describe_epochs(recipe)}"


def validation_fraction(
    val: float | None, recipe: "Recipe | str | None", *, label_type: str, is_balanced: bool = False
) -> float:
    """Return the fraction of examples for validation.

    Args:
        val: Value of `--val`; None if it was not given: 0 where the recipe "auto" holds out training
            examples by itself; else 0.15.
        recipe: From `recipe`.
        label_type: Value of `--label-type`.
        is_balanced: Whether classes are balanced, thresholds tuned or probabilities calibrated, which the recipe "auto"
            does not do.
    """
    if val is not None:
        return val
    is_auto = (
        not is_balanced
        and (recipe is None or recipe == "auto")
        and label_type in ("categorical", "multilabel", "regression")
    )
    return 0.0 if is_auto else 0.15


def describe_epochs(recipe: "Recipe") -> str:
    """Return the epochs of all phases together and of each.

    Examples:
        >>> import tltk
        >>> describe_epochs(tltk.fine_tune(epochs=3))
        'fine_tune: 43 epochs in all (probe 40, fine_tune 3)'
    """
    phases = ", ".join(f"{phase.name} {phase.epochs}" for phase in recipe.phases)
    return f"{recipe.name}: {recipe.epochs} epochs in all ({phases})"


def describe_parts(parts: "Mapping[str, Source]") -> list[str]:
    """Return one line for each part of a split, with the examples of each class, and one for each class that is absent.

    Args:
        parts: "train", "val" and "test" → examples.
    """
    lines = []
    for name, part in parts.items():
        counts = part.counts()
        listed = check.listing(f"{label} {count:,}" for label, count in counts.items())
        lines.append(
            f"{name:<5}  {len(part):,} {check.plural(part.modality)}" + (f": {listed}" if listed and len(part) else "")
        )
    for name, part in parts.items():
        absent = [repr(label) for label, count in part.counts().items() if not count]
        if absent and len(part):
            lines.append(f"{name} has no example of {check.listing(absent)}: its result says nothing about that.")
    return lines
