"""Recipes for every backbone: train the head, then the layers below it."""

from dataclasses import replace

from tltk.foundation import checks as check
from tltk.modalities.image.augment import Augmentation
from tltk.optimizers.spec import adamw, sgd, validated
from tltk.recipes.recipe import Phase, Recipe
from tltk.trainability.plan import Plan, freeze, train_all, train_top, unfreeze_from


def linear_probe(
    *,
    epochs: int = 40,
    learning_rate: float = 1e-3,
    augment: tuple[Augmentation, ...] = (),
    augmentations_per_example: int = 0,
    patience: int | None = None,
) -> Recipe:
    """Train the head alone on a frozen backbone.

    The cheapest method and a hard one to beat with few labels; it also tells how good the features are.
    It stays behind fine-tuning where the pictures look unlike what the backbone was trained on.

    Args:
        epochs: passes over the training examples; the default is 120 steps for 90 pictures in batches of 32, after
            which more steps change little.
        learning_rate: highest rate of AdamW under a cosine. From a zero head, a short way keeps the weights small:
            three times this rate lost 1.4 points on stored features of Fashion-MNIST with ten labels a class.
        augment: None by default, so that the features of an image are always the same.
        augmentations_per_example: Fixed augmented copies of each image, see `Phase`; 10 bring most of what new
            augmentation in every epoch does.
        patience: epochs without a better validation result before it stops.

    Returns:
        A recipe of one phase.

    Example:
        >>> linear_probe(epochs=5).epochs
        5
    """
    optimizer = adamw(learning_rate, weight_decay=1e-2)
    phase = Phase(
        "probe",
        freeze("backbone"),
        epochs,
        optimizer,
        augment=tuple(augment),
        augmentations_per_example=augmentations_per_example,
        patience=patience,
    )
    return Recipe("linear_probe", (phase,))


def fine_tune(
    *,
    epochs: int = 10,
    probe_epochs: int = 40,
    learning_rate: float = 3e-4,
    unfreeze: str | tuple[str, ...] | None = None,
    augment: tuple[Augmentation, ...] | None = None,
    patience: int | None = None,
) -> Recipe:
    """Train the head first, then the backbone with it, gently.

    A random head sends noise into pretrained layers; a trained one sends what is left to learn (Kumar et al.
    2022, linear probing then fine-tuning). The second phase counts only if it beats the first on validation.

    Args:
        epochs: of the second phase.
        probe_epochs: of the first, as `linear_probe` has them.
        learning_rate: highest rate of the second phase; a tenth of the one at which EfficientNet-Lite0 forgot what it
            knew (3e-3 from conv4 up, ten labels a class). Transformers want less: 2e-5 to
            5e-5 (Devlin et al. 2019, A.3).
        unfreeze: lowest backbone stage that learns in the second phase; None or "all" trains all of them. Several make
            a phase each, at a third of the rate of the one before: ("conv5", "all") is probe, partial, full.
        augment: of the phases after the probe; None means `tltk.augment.standard()` for pictures.
        patience: likewise, see `Phase`.

    Returns:
        A recipe of "probe" and "fine_tune" (or "fine_tune_1", "fine_tune_2" …); `refine` adds averages and the like.

    Example:
        >>> [phase.name for phase in fine_tune(epochs=3).phases]
        ['probe', 'fine_tune']
    """
    stages = (unfreeze or "all",) if isinstance(unfreeze, str | None) else tuple(unfreeze)
    plans = [train_all() if stage == "all" else unfreeze_from(stage) for stage in stages]
    tuned = _one_by_one("fine_tune", plans, epochs, learning_rate, augment=augment, patience=patience)
    return Recipe("fine_tune", (*linear_probe(epochs=probe_epochs).phases, *tuned))


def gradual_unfreeze(
    *,
    stages: int = 4,
    epochs: int = 3,
    probe_epochs: int = 40,
    learning_rate: float = 3e-4,
    augment: tuple[Augmentation, ...] | None = None,
    patience: int | None = None,
) -> Recipe:
    """Train the head, then one backbone stage more each phase, top down (Howard and Ruder 2018, ULMFiT, section 3.3).

    It takes longer than `fine_tune` and is steadier where there are few labels.

    Args:
        stages: how many of the backbone's stages learn in the end.
        epochs: of each phase after the probe.
        probe_epochs: of the first phase.
        learning_rate: highest rate of the first stage's phase; each one after has a third of the rate before it.
        augment: of the phases after the probe; None means `tltk.augment.standard()` for pictures.
        patience: likewise, see `Phase`.

    Returns:
        A recipe of "probe" and one phase a stage.

    Example:
        >>> [phase.name for phase in gradual_unfreeze(stages=2).phases]
        ['probe', 'unfreeze_1', 'unfreeze_2']
    """
    check.positive(stages=stages)
    plans = [train_top(stages=count) for count in range(1, stages + 1)]
    tuned = _one_by_one("unfreeze", plans, epochs, learning_rate, augment=augment, patience=patience)
    return Recipe("gradual_unfreeze", (*linear_probe(epochs=probe_epochs).phases, *tuned))


def refine(
    recipe: Recipe,
    *,
    schedule: str | None = None,
    ema_momentum: float | None = None,
    l2_sp: float | None = None,
    wise_ft: bool | None = None,
) -> Recipe:
    """Change how the phases of a recipe in which the backbone learns go about it; None leaves a thing as it is.

    Args:
        recipe: any; its probe stays as it is.
        schedule: "constant", "cosine", "linear" or "one_cycle".
        ema_momentum: momentum of a moving average of the weights, such as 0.99, see `adamw`.
        l2_sp: strength of L2-SP, such as 0.01: weights are pulled to the pretrained ones instead of to zero.
        wise_ft: keep the mixture with the phase's start that is best on validation (WiSE-FT), see `Phase`.

    Returns:
        A new recipe.

    Example:
        >>> refine(fine_tune(), ema_momentum=0.99, wise_ft=True).phases[1].wise_ft
        True
    """
    changes = {"schedule": schedule, "wise_ft": wise_ft}
    numbers = {"ema_momentum": ema_momentum, "l2_sp": l2_sp}

    def changed(phase: Phase) -> Phase:
        if phase.plan == freeze("backbone"):
            return phase
        return replace(phase, optimizer=validated(replace(phase.optimizer, **_given(numbers))), **_given(changes))

    return Recipe(recipe.name, tuple(changed(phase) for phase in recipe.phases))


def _given(values: dict) -> dict:
    return {name: value for name, value in values.items() if value is not None}


def _one_by_one(
    name: str,
    plans: list[Plan],
    epochs: int,
    learning_rate: float,
    *,
    augment: tuple[Augmentation, ...] | None,
    patience: int | None,
) -> list[Phase]:
    """Make a phase a plan, each at a third of the rate of the one before: the deeper, the more there is to lose."""
    names = [name] if len(plans) == 1 and name == "fine_tune" else [f"{name}_{n}" for n in range(1, len(plans) + 1)]
    rates = [learning_rate / 3**number for number in range(len(plans))]
    return [
        Phase(
            label,
            plan,
            epochs,
            adamw(rate, weight_decay=1e-2, clip_norm=1.0),
            augment=None if augment is None else tuple(augment),
            patience=patience,
        )
        for label, plan, rate in zip(names, plans, rates, strict=True)
    ]


def full(
    *,
    epochs: int = 30,
    learning_rate: float = 1e-2,
    batch_norm: str = "train",
    augment: tuple[Augmentation, ...] | None = None,
    patience: int | None = None,
) -> Recipe:
    """Train every layer at once with SGD and momentum, batch norm included.

    For large data sets, for pictures unlike the pretraining's, and for training from scratch, where there is
    nothing to lose. With few labels `fine_tune` is the safer choice.

    Args:
        epochs: passes over the training examples.
        learning_rate: highest rate of SGD with momentum 0.9 under a cosine.
        batch_norm: "train" or "frozen", see `Plan`.
        augment: None means `tltk.augment.standard()` for pictures.
        patience: see `Phase`.

    Returns:
        A recipe of one phase.

    Example:
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
                augment=None if augment is None else tuple(augment),
                patience=patience,
            ),
        ),
    )
