"""Checks of the arguments of `tltk.fit`: everything that can be wrong is found before any training."""

import logging
from typing import Any

from tltk.foundation import checks as check
from tltk.foundation import duration
from tltk.foundation.errors import InvalidInput, InvalidType
from tltk.modalities.modality import modality_of
from tltk.models.transfer_model import TransferModel
from tltk.optimizers.state import require_unique_paths
from tltk.pipeline.batching import Budget, Size, budget_without_lengths, parse_batch_size
from tltk.recipes import fine_tune, one_phase, refine
from tltk.recipes.automatic import AUTO
from tltk.recipes.recipe import Recipe
from tltk.tasks.base import Task
from tltk.tasks.objective_check import without_weights
from tltk.trainability.apply import changing_variables
from tltk.trainability.plan import Plan
from tltk.training.auto import why_not_auto
from tltk.training.contrastive import phase_model
from tltk.training.custom_objects import why_unsavable
from tltk.training.probe_phase import require_logits
from tltk.training.user_callbacks import change_rate

log = logging.getLogger("tltk")

BUDGET, _USUAL_BUDGET = "auto", "10 min"  # of recipe="auto"


def is_automatic(
    recipe: Any,
    plan: Any,
    model: TransferModel,
    train: Any,
    *,
    budget: Any,
    balance: Any,
    epochs: Any,
    learning_rate: Any,
    callbacks: Any,
) -> bool:
    """Tell whether `fit` decides by itself how to train: recipe "auto", or no recipe where it can.

    Args:
        recipe: See `fit`.
        plan: See `fit`.
        model: The model to train.
        train: Training examples.
        budget: See `fit`.
        balance: See `fit`; needs a fixed recipe, as the next three.
        epochs: See `fit`.
        learning_rate: See `fit`.
        callbacks: See `fit`.

    Raises:
        InvalidType: If the recipe is another text.
        InvalidInput: If the recipe is "auto" together with such an option, or cannot decide; if the budget is no time,
            or nothing obeys it.
    """
    budget_seconds(budget)
    if isinstance(recipe, str) and recipe != AUTO:
        suggestion = check.did_you_mean(recipe, (AUTO,)) or " Pass tltk.fine_tune(), or another recipe."
        raise InvalidType(f'`recipe` must be Recipe. Received: str {recipe!r}; the only text is "auto".{suggestion}')
    options = {"epochs": epochs, "learning_rate": learning_rate, "callbacks": callbacks or None, "plan": plan}
    options["balance"] = balance
    given = [name for name, value in options.items() if value is not None]
    if recipe == AUTO and given:
        raise InvalidInput(
            f'recipe="auto" cannot be used with {check.listing(f"`{name}`" for name in given)}: pass a fixed recipe, '
            "such as tltk.fine_tune()."
        )
    passed = ["recipe", *given] if recipe not in (None, AUTO) else given
    why_not = f"{check.listing(f'`{name}`' for name in passed)} was passed" if passed else why_not_auto(model, train)
    if why_not and recipe == AUTO:
        raise InvalidInput(f'recipe="auto" cannot be used: {why_not}. Pass a fixed recipe, such as tltk.fine_tune().')
    if why_not and budget != BUDGET:
        raise InvalidInput(f'`budget` limits recipe="auto" alone, which is not used: {why_not}. Leave out `budget`.')
    if why_not and not passed:
        log.info("The fixed recipe is used: %s.", why_not)
    return not why_not


def budget_seconds(budget: Any) -> float | None:
    """Return the time that the recipe "auto" may take; None for any.

    Raises:
        InvalidInput: If it is not a duration.
    """
    return duration.budget_seconds(_USUAL_BUDGET if budget == BUDGET else budget)


def complete_recipe(
    recipe: Any,
    plan: Any,
    model: TransferModel,
    *,
    epochs: Any,
    learning_rate: Any,
    callbacks: Any,
) -> Recipe:
    """Return the recipe that `fit` runs.

    Args:
        recipe: Recipe of the user; None or "auto" for the fixed default one.
        plan: Plan of the user for a recipe of one phase, or None.
        model: The model to train, for the default learning rate and the augmentations of phases that leave them open.
        epochs: Epochs of the last phase; None leaves them as they are.
        learning_rate: Learning rate of the last phase, a number or a Keras schedule; None leaves it as it is.
        callbacks: Those of the user. If one changes the learning rate, the phase of `plan` has a constant one.

    Raises:
        InvalidType: If `recipe` or `plan` has the wrong type.
        InvalidInput: If both are passed, or a number is out of range.
    """
    modality = modality_of(model.input_spec)
    if recipe is not None and plan is not None:
        raise InvalidInput(
            "pass either `recipe` or `plan`: each phase of a recipe has a plan of its own; `plan` alone is one phase."
        )
    if isinstance(recipe, Plan):
        raise InvalidType("`recipe` must be Recipe. Received: Plan. Pass it as plan=, for one phase with this plan.")
    if plan is not None:
        check.instance_of("plan", plan, Plan, hint='Pass a plan such as tltk.unfreeze_from("conv5").')
        recipe = one_phase(plan, learning_rate=modality.learning_rate)
        if change_rate(callbacks):
            recipe = refine(recipe, schedule="constant", warmup=0, include_head=True)
    elif recipe in (None, AUTO):
        recipe = fine_tune(learning_rate=modality.learning_rate)
    hint = "Pass tltk.fine_tune(), tltk.linear_probe(), tltk.full() or your own Recipe."
    check.instance_of("recipe", recipe, Recipe, hint=hint)
    recipe = recipe.with_last_phase(epochs=epochs, learning_rate=learning_rate)
    return recipe.with_augmentation(model.task.default_augmentation(model.input_spec))


def check_options(model: TransferModel, recipe: Recipe, *, batch_size: Any, seed: Any, out: Any) -> Size:
    """Check options and phases.

    Args:
        model: The model to train.
        recipe: All of its phases are checked.
        batch_size: See `fit`.
        seed: See `fit`.
        out: See `fit`.

    Returns:
        The parsed batch size.

    Raises:
        InvalidType: If `out` is not a path.
        InvalidInput: Naming everything that is wrong.
    """
    if out is not None:
        check.path("out", out, hint="Pass the folder of the run, or None to save nothing.")
    problems = check.Problems()
    size: Size = 1
    try:
        size = parse_batch_size(batch_size)
    except ValueError as error:
        problems.add(str(error))
    try:
        check.seed(seed)
    except ValueError as error:
        problems.add(str(error))
    if isinstance(size, Budget) and not modality_of(model.input_spec).has_lengths:
        problems.add(budget_without_lengths(size))
    objective = model.task.to_config().get("objective")
    for problem in (_monitor_problem(model.task), "" if out is None else why_unsavable(model.keras, objective)):
        if problem:
            problems.add(problem)
    for phase in recipe.phases:
        try:
            modality_of(model.input_spec).check_augmentation(phase.augment or (), model.input_spec)
            trained_model = phase_model(model, phase)
            require_unique_paths(changing_variables(phase.plan, trained_model), among=trained_model.keras.weights)
            if phase.temperature != 1:
                require_logits(model, phase.plan)
        except ValueError as error:
            problems.add(f"phase {phase.name!r}: {error}")
    problems.raise_if_any()
    return size


def warn_without_validation(recipe: Recipe) -> None:
    """Log a warning if the recipe has options that need validation data, which was not passed."""
    if any(phase.wise_ft or phase.patience for phase in recipe.phases):
        log.warning("`wise_ft` and `patience` need validation data: without `val` they have no effect.")


def require_weighted_metrics(task: Task) -> None:
    """Raise if a training metric takes no sample weights; called if the data has some."""
    names = without_weights(task)
    if names:
        raise InvalidInput(
            f"the data has sample weights, which the metrics {check.listing(map(repr, names))} do not take: give their "
            "`update_state` an argument `sample_weight`, or train without weights."
        )


def metric_names(task: Task) -> tuple[str, ...]:
    """Return the names under which Keras reports the loss and the metrics of a task.

    Examples:
        >>> import tltk
        >>> metric_names(tltk.classification(["cat", "dog"]))
        ('loss', 'accuracy')
    """
    metrics, outputs = task.training_metrics(), tuple(task.describe_outputs())
    if not isinstance(metrics, dict):
        return ("loss", *map(_metric_name, metrics))
    by_output = {output: metric if isinstance(metric, list | tuple) else [metric] for output, metric in metrics.items()}
    prefixes = {output: f"{output}_" if len(outputs) > 1 else "" for output in by_output}
    names = [f"{prefixes[output]}{_metric_name(metric)}" for output, listed in by_output.items() for metric in listed]
    losses = [f"{output}_loss" for output in outputs] if len(outputs) > 1 else []
    return ("loss", *losses, *names)


def _metric_name(metric: Any) -> str:
    return metric if isinstance(metric, str) else getattr(metric, "name", None) or metric.__name__


def _monitor_problem(task: Task) -> str:
    """Return what is wrong with the metric that decides between epochs; "" if nothing is."""
    metric, mode = task.monitor
    names = metric_names(task)
    if metric not in names:
        hint = check.did_you_mean(metric, names)
        return (
            f"`{type(task).__name__}.monitor` must be one of the task's metrics: {check.listing(names)}. "
            f"Received: {metric!r}.{hint}"
        )
    if mode not in ("min", "max"):
        return f"the mode of `{type(task).__name__}.monitor` must be 'min' or 'max'. Received: {mode!r}"
    return ""
