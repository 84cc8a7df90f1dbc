"""Recipes for every backbone: linear probe, fine-tuning, gradual unfreezing and full training."""

from dataclasses import replace
from typing import Any

from keras.optimizers.schedules import LearningRateSchedule

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.optimizers.from_keras import as_optimizer
from tltk.optimizers.spec import adamw, sgd
from tltk.recipes.recipe import Phase, Recipe
from tltk.trainability.plan import Plan, freeze, train_all, train_top, unfreeze_from

# BiT-HyperRule: up to this number of examples (exclusive), so many steps, of which so many warm up.
_HYPERRULE_STEPS = ((20_000, 500, 100), (500_000, 10_000, 500), (float("inf"), 20_000, 500))
_HYPERRULE_BATCH = 512


def linear_probe(
    *,
    epochs: int = 40,
    learning_rate: float = 1e-3,
    augment: Any = (),
    augmentations_per_example: int = 0,
    patience: int | None = None,
) -> Recipe:
    """Train the head alone on a frozen backbone.

    The cheapest method, and hard to beat with few labels. It also shows how good the features are. Fine-tuning is
    better if the images differ from those that the backbone was trained on.

    Args:
        epochs: Passes over the training examples; the default is 120 steps for 90 images in batches of 32, after which
            more steps change little.
        learning_rate: Peak learning rate of AdamW with a cosine schedule. A low rate keeps the weights of the head,
            which start at zero, small: three times this rate lost 1.4 points of accuracy on cached features of
            Fashion-MNIST with ten labels per class.
        augment: Augmentations, see `Phase`; none by default, so that the features of an image do not change and can be
            cached.
        augmentations_per_example: Number of fixed augmented copies of each image, see `Phase`; 10 give most of the
            benefit of new augmentations in every epoch.
        patience: Epochs without improvement on validation before training stops; None runs all epochs.

    Returns:
        A recipe of one phase.

    Examples:
        >>> linear_probe(epochs=5).epochs
        5
    """
    optimizer = adamw(learning_rate, weight_decay=1e-2)
    phase = Phase(
        "probe",
        freeze("backbone"),
        epochs,
        optimizer,
        augment=augment,
        augmentations_per_example=augmentations_per_example,
        patience=patience,
    )
    return Recipe("linear_probe", (phase,))


def tuned_probe() -> Recipe:
    """Fit the last linear layer to the features of the frozen backbone: a tuned, calibrated linear probe, in seconds.

    Logistic regression (ridge for numbers). How strongly it is regularized, and whether channels are scaled, is chosen
    by five-fold cross-validation on the training examples; the temperature of the probabilities is that of the
    out-of-fold predictions (Guo et al. 2017). No learning rate, no epochs, no validation data.

    For `classification` and `regression` with a head without hidden layers.

    Returns:
        A recipe of the phase "probe".

    Examples:
        >>> tuned_probe().phases[0].solver
        'probe'
    """
    return Recipe("tuned_probe", (Phase("probe", freeze("backbone"), 1, adamw(1e-3), solver="probe"),))


def fine_tune(
    *,
    epochs: int = 10,
    probe_epochs: int = 40,
    learning_rate: float = 3e-4,
    probe_learning_rate: float = 1e-3,
    unfreeze: str | tuple[str, ...] | None = None,
    augment: Any = None,
    augmentations_per_example: int = 0,
    patience: int | None = None,
) -> Recipe:
    """Train the head first, then the head and the backbone at a low learning rate.

    The gradients of an untrained head would damage pretrained layers, so the head is trained first (Kumar et al. 2022,
    linear probing then fine-tuning). The second phase is undone unless it beats the first on validation.

    Args:
        epochs: Epochs of the second phase.
        probe_epochs: Epochs of the first phase, see `linear_probe`.
        learning_rate: Peak learning rate of the second phase. The default is a tenth of the rate that destroyed the
            pretrained features of EfficientNet-Lite0 (3e-3 from conv4 up, ten labels per class). Transformers need
            less: 2e-5 to 5e-5 (Devlin et al. 2019, A.3).
        probe_learning_rate: Peak learning rate of the first phase, see `linear_probe`. Heads of many layers, those of
            detection and segmentation, learn faster at 4e-3.
        unfreeze: Lowest backbone stage that is trained in the second phase; None or "all" trains all stages. A tuple
            gives one phase per stage, each at a third of the rate of the phase before: ("conv5", "all") is probe,
            partial, full.
        augment: Augmentations of the phases after the probe, see `Phase`; None means `tltk.augment.standard()` for
            images.
        augmentations_per_example: Number of fixed augmented copies of each image in the probe, see `Phase`; 0 trains
            it on the images as they are. Heads of many layers need some.
        patience: Patience of the phases after the probe, see `Phase`.

    Returns:
        A recipe of "probe" and "fine_tune" (or "fine_tune_1", "fine_tune_2" …). `refine` changes its options.

    Examples:
        >>> [phase.name for phase in fine_tune(epochs=3).phases]
        ['probe', 'fine_tune']
    """
    stages = (unfreeze or "all",) if isinstance(unfreeze, str | None) else tuple(unfreeze)
    plans = [train_all() if stage == "all" else unfreeze_from(stage) for stage in stages]
    phases = _phases_at_falling_rates("fine_tune", plans, epochs, learning_rate, augment=augment, patience=patience)
    probe = linear_probe(
        epochs=probe_epochs,
        learning_rate=probe_learning_rate,
        augment=augment if augmentations_per_example else (),
        augmentations_per_example=augmentations_per_example,
    )
    return Recipe("fine_tune", (*probe.phases, *phases))


def one_phase(plan: Plan, *, epochs: int = 10, learning_rate: float = 3e-4) -> Recipe:
    """Train one phase with a plan, as `fit(plan=…)` does.

    Args:
        plan: Which layers are trained. `freeze("backbone")` gives `linear_probe()`, with its epochs and learning rate.
        epochs: Passes over the training examples.
        learning_rate: Peak learning rate of AdamW with a cosine schedule.

    Returns:
        A recipe of the phase "train", or of "probe".

    Examples:
        >>> [phase.name for phase in one_phase(unfreeze_from("conv5")).phases]
        ['train']
    """
    if plan == freeze("backbone"):
        return linear_probe()
    optimizer = adamw(learning_rate, weight_decay=1e-2, clip_norm=1.0)
    return Recipe("one_phase", (Phase("train", plan, epochs, optimizer, augment=None),))


def gradual_unfreeze(
    *,
    stages: int = 4,
    epochs: int = 3,
    probe_epochs: int = 40,
    learning_rate: float = 3e-4,
    augment: Any = None,
    patience: int | None = None,
) -> Recipe:
    """Train the head, then one more backbone stage in each phase, from the top down.

    The method of ULMFiT (Howard and Ruder 2018, section 3.3). It takes longer than `fine_tune` and is more stable with
    few labels.

    Args:
        stages: Number of backbone stages that are trained in the last phase.
        epochs: Epochs of each phase after the probe.
        probe_epochs: Epochs of the first phase.
        learning_rate: Peak learning rate of the phase after the probe; each later phase has a third of the rate before.
        augment: Augmentations of the phases after the probe, see `Phase`; None means `tltk.augment.standard()` for
            images.
        patience: Patience of the phases after the probe, see `Phase`.

    Returns:
        A recipe of "probe" and one phase per stage.

    Examples:
        >>> [phase.name for phase in gradual_unfreeze(stages=2).phases]
        ['probe', 'unfreeze_1', 'unfreeze_2']
    """
    check.positive(stages=stages)
    plans = [train_top(stages=count) for count in range(1, stages + 1)]
    phases = _phases_at_falling_rates("unfreeze", plans, epochs, learning_rate, augment=augment, patience=patience)
    return Recipe("gradual_unfreeze", (*linear_probe(epochs=probe_epochs).phases, *phases))


def refine(
    recipe: Recipe,
    *,
    optimizer: Any = None,
    schedule: str | None = None,
    warmup: float | None = None,
    ema_momentum: float | None = None,
    l2_sp: float | None = None,
    wise_ft: bool | None = None,
    include_head: bool = False,
) -> Recipe:
    """Change options of all phases of a recipe that train the backbone. None leaves an option unchanged.

    Args:
        recipe: Any recipe.
        optimizer: Name of a Keras optimizer, such as "lion", for which learning rate, weight decay and the other
            settings stay as they are; or an optimizer with its own settings, see `Phase`.
        schedule: "constant", "cosine", "linear", "one_cycle" or "step".
        warmup: Steps in which the learning rate rises from 0, see `Phase`.
        ema_momentum: Momentum of a moving average of the weights, such as 0.99, see `adamw`.
        l2_sp: Strength of L2-SP, such as 0.01: weights decay towards the pretrained weights instead of zero.
        wise_ft: Whether to interpolate between the weights at the start and end of each phase (WiSE-FT), see `Phase`.
        include_head: Whether phases that train only the head are changed as well.

    Returns:
        A new recipe.

    Raises:
        InvalidInput: If an option is out of range, or no optimizer has this name.

    Examples:
        >>> refine(fine_tune(), ema_momentum=0.99, wise_ft=True).phases[1].wise_ft
        True
        >>> refine(fine_tune(), optimizer="lion", include_head=True).phases[0].optimizer.name
        'lion'
    """
    phase_options = _without_none({"schedule": schedule, "warmup": warmup, "wise_ft": wise_ft})
    optimizer_options = _without_none({"ema_momentum": ema_momentum, "l2_sp": l2_sp})

    def refined(phase: Phase) -> Phase:
        if phase.plan == freeze("backbone") and not include_head:
            return phase
        settings = phase.optimizer
        if isinstance(optimizer, str):
            renamed = as_optimizer(optimizer).name
            settings = replace(settings, name=renamed, momentum=0.0, options=(), keras_class=None)
        elif optimizer is not None:
            settings = as_optimizer(optimizer)
        return replace(phase, optimizer=replace(settings, **optimizer_options), **phase_options)

    return Recipe(recipe.name, tuple(refined(phase) for phase in recipe.phases))


def _without_none(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _phases_at_falling_rates(
    name: str,
    plans: list[Plan],
    epochs: int,
    learning_rate: float,
    *,
    augment: Any,
    patience: int | None,
) -> list[Phase]:
    """Make one phase per plan, each at a third of the previous rate: lower layers need smaller changes."""
    is_single = len(plans) == 1 and name == "fine_tune"
    names = [name] if is_single else [f"{name}_{number}" for number in range(1, len(plans) + 1)]
    if len(plans) > 1 and isinstance(learning_rate, LearningRateSchedule):
        raise InvalidInput(
            f"`learning_rate` of {len(plans)} phases must be a number, which falls to a third from phase to phase; a "
            "schedule fits one phase. Build the phases with tltk.Phase instead, each with its own schedule."
        )
    rates: list[Any] = [learning_rate] if len(plans) == 1 else [learning_rate / 3**index for index in range(len(plans))]
    return [
        Phase(
            phase_name,
            plan,
            epochs,
            adamw(rate, weight_decay=1e-2, clip_norm=1.0),
            augment=augment,
            patience=patience,
        )
        for phase_name, plan, rate in zip(names, plans, rates, strict=True)
    ]


def full(
    *,
    epochs: int = 30,
    learning_rate: float = 1e-2,
    batch_norm: str = "train",
    augment: Any = None,
    patience: int | None = None,
) -> Recipe:
    """Train all layers at once with SGD and momentum, batch norm included.

    For large data sets, for images unlike those of the pretraining, and for training from scratch. With few labels
    `fine_tune` is the safer choice.

    Args:
        epochs: Passes over the training examples.
        learning_rate: Peak learning rate of SGD with momentum 0.9 and a cosine schedule.
        batch_norm: "train" or "frozen", see `Plan`.
        augment: Augmentations, see `Phase`; None means `tltk.augment.standard()` for images.
        patience: Epochs without improvement on validation before training stops, see `Phase`.

    Returns:
        A recipe of one phase.

    Examples:
        >>> full(epochs=2).phases[0].optimizer.name
        'sgd'
    """
    optimizer = sgd(learning_rate, weight_decay=1e-4, clip_norm=1.0)
    return Recipe(
        "full",
        (
            Phase(
                "full",
                train_all(batch_norm=batch_norm),
                epochs,
                optimizer,
                augment=augment,
                patience=patience,
            ),
        ),
    )


def bit_hyperrule(
    examples: int,
    *,
    batch_size: int = 32,
    learning_rate: float = 0.003,
    augment: Any = None,
    patience: int | None = None,
) -> Recipe:
    """Train all layers at once by BiT-HyperRule, whose numbers follow from the size of the data alone.

    A baseline without tuning (Kolesnikov et al. 2020, "Big Transfer", section 3.3, and big_transfer's
    `bit_hyperrule.py`), made for images: SGD with momentum 0.9 and without weight decay, 500 steps of 512 examples
    below 20,000 examples, 10,000 below 500,000, and 20,000 from there on; in smaller batches as many more steps, at a
    rate that is smaller by the same factor. For a hundred images that is thousands of epochs. The rate rises for 100
    (500) steps, and is then divided by ten after each quarter of the other steps: below 20,000 examples exactly where
    big_transfer does it, above at about 28, 52 and 76 % of the steps instead of 30, 60 and 90 %. The head is trained
    with the rest, without a probe before.

    Two parts of the rule are left out: the resolution, which the backbone has already, and MixUp from 20,000 examples
    on, for which `augment=(tltk.augment.standard(), tltk.augment.mixup(0.1))` can be passed. Phases count epochs, so
    that the steps are rounded up to whole epochs; the schedule fits the rounded number.

    Args:
        examples: Number of training examples.
        batch_size: Examples per batch; the same must be passed to `fit`.
        learning_rate: Peak learning rate for batches of 512; it is scaled by `batch_size / 512`.
        augment: Augmentations, see `Phase`; None means `tltk.augment.standard()` for images.
        patience: Epochs without improvement on validation before training stops, see `Phase`.

    Returns:
        A recipe of one phase.

    Raises:
        InvalidInput: If a number is out of range.

    Examples:
        >>> phase = bit_hyperrule(1000, batch_size=64).phases[0]
        >>> phase.epochs, phase.optimizer.learning_rate
        (250, 0.000375)
    """
    check.counts(examples=examples, batch_size=batch_size)
    check.positive(learning_rate=learning_rate)
    steps, warmup = next(row[1:] for row in _HYPERRULE_STEPS if examples < row[0])
    phase = Phase(
        "bit_hyperrule",
        train_all(),
        -(-steps * _HYPERRULE_BATCH // (batch_size * -(-examples // batch_size))),
        sgd(learning_rate * batch_size / _HYPERRULE_BATCH, momentum=0.9),
        schedule="step",
        warmup=warmup / steps,
        augment=augment,
        patience=patience,
    )
    return Recipe("bit_hyperrule", (phase,))
