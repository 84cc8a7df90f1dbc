"""Recipes: a fine-tuning method as a list of phases, each one `model.fit` with one plan."""

from dataclasses import asdict, dataclass

from tltk import _check as check
from tltk.data.transforms import Augmentation, standard
from tltk.schedules import SCHEDULES
from tltk.trainability.optimizers import Optimizer, adamw, sgd
from tltk.trainability.plan import Plan, freeze, train_all, unfreeze_from


@dataclass(frozen=True)
class Phase:
    """One `model.fit` with one plan.

    Args:
        name: what tables and logs call it.
        plan: which layers learn.
        epochs: passes over the training examples.
        optimizer: built anew for this phase, for the layers that learn.
        schedule: "constant", "cosine", "linear" or "one_cycle".
        warmup: share of the phase's steps in which the rate rises from 0, in [0, 1).
        augment: applied to each batch while training, in order.
        patience: epochs without a better validation result before the phase ends; None runs them all.
            The best epoch's weights are kept either way.
    """

    name: str
    plan: Plan
    epochs: int
    optimizer: Optimizer
    schedule: str = "cosine"
    warmup: float = 0.1
    augment: tuple[Augmentation, ...] = ()
    patience: int | None = None

    def __post_init__(self) -> None:
        check.one_of("schedule", self.schedule, SCHEDULES)
        check.within("warmup", self.warmup, low=0, high=1, open_high=True)
        problems = check.Problems()
        for name, value in (("epochs", self.epochs), ("patience", self.patience)):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                problems.add(f"`{name}` must be a whole number above 0. Received: {value!r}")
        problems.raise_if_any()


@dataclass(frozen=True)
class Recipe:
    """Phases in order. A phase that does not beat the one before it on validation is undone.

    Args:
        name: "linear_probe", "fine_tune", "full" or your own.
        phases: at least one.
    """

    name: str
    phases: tuple[Phase, ...]

    def __post_init__(self) -> None:
        if not self.phases:
            raise ValueError("`phases` must hold at least one Phase. Received: ()")

    @property
    def epochs(self) -> int:
        """Passes over the training examples, all phases together."""
        return sum(phase.epochs for phase in self.phases)

    def to_config(self) -> dict:
        """Return the recipe as plain JSON values, for the run's record."""
        phases = []
        for phase in self.phases:
            config = asdict(phase)
            config["augment"] = [augmentation.to_config() for augmentation in phase.augment]
            phases.append(config)
        return {"name": self.name, "phases": phases}


def linear_probe(
    *,
    epochs: int = 40,
    learning_rate: float = 1e-3,
    augment: tuple[Augmentation, ...] = (),
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
        augment: none by default, so that the features of a picture are always the same.
        patience: epochs without a better validation result before it stops.

    Returns:
        A recipe of one phase.

    Example:
        >>> linear_probe(epochs=5).epochs
        5
    """
    optimizer = adamw(learning_rate, weight_decay=1e-2)
    phase = Phase("probe", freeze("backbone"), epochs, optimizer, augment=tuple(augment), patience=patience)
    return Recipe("linear_probe", (phase,))


def fine_tune(
    *,
    epochs: int = 10,
    probe_epochs: int = 40,
    learning_rate: float = 3e-4,
    unfreeze: str | None = None,
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
        unfreeze: lowest backbone stage that learns in the second phase; None trains all of them.
        augment: of the second phase; None means `tltk.data.transforms.standard()`.
        patience: of the second phase, see `Phase`.

    Returns:
        A recipe of two phases, "probe" and "fine_tune".

    Example:
        >>> [phase.name for phase in fine_tune(epochs=3).phases]
        ['probe', 'fine_tune']
    """
    augment = standard() if augment is None else tuple(augment)
    plan = unfreeze_from(unfreeze) if unfreeze else train_all()
    tuned = Phase(
        "fine_tune",
        plan,
        epochs,
        adamw(learning_rate, weight_decay=1e-2, clip_norm=1.0),
        augment=augment,
        patience=patience,
    )
    return Recipe("fine_tune", (*linear_probe(epochs=probe_epochs).phases, tuned))


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
        augment: None means `tltk.data.transforms.standard()`.
        patience: see `Phase`.

    Returns:
        A recipe of one phase.

    Example:
        >>> full(epochs=2).phases[0].optimizer.name
        'sgd'
    """
    augment = standard() if augment is None else tuple(augment)
    optimizer = sgd(learning_rate, weight_decay=1e-4, clip_norm=1.0)
    return Recipe(
        "full",
        (Phase("full", train_all(batch_norm=batch_norm), epochs, optimizer, augment=augment, patience=patience),),
    )
