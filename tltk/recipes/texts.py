"""Recipes for texts: what BERT's authors do, and contrastive learning from a few labels."""

from tltk.optimizers.spec import adamw
from tltk.recipes.general import linear_probe
from tltk.recipes.recipe import Phase, Recipe
from tltk.trainability.plan import layer_decay, train_all, train_top


def few_shot(
    *,
    epochs: int = 20,
    probe_epochs: int = 40,
    learning_rate: float = 1e-4,
    temperature: float = 0.1,
    blocks: int | None = None,
) -> Recipe:
    """Teach a sentence encoder which texts belong together, then train the head alone.

    As SetFit does (Tunstall et al. 2022), for 4 to 64 labels a class: of n texts there are n² / 2 pairs to learn from.
    All pairs of a batch count at once (Khosla et al. 2020), so that no text is encoded again for each of its pairs.
    Larger batches hold more pairs: `fit(..., batch_size=64)`.

    Args:
        epochs: of the contrastive phase.
        probe_epochs: of the head's phase.
        learning_rate: highest rate of the contrastive phase.
        temperature: the lower, the more the nearest wrong neighbours count.
        blocks: how many of the uppermost blocks learn; None trains all, embeddings included.

    Returns:
        A recipe of "contrastive" and "probe".

    Example:
        >>> [phase.name for phase in few_shot().phases]
        ['contrastive', 'probe']
    """
    optimizer = adamw(learning_rate, weight_decay=1e-2, clip_norm=1.0)
    plan = train_all() if blocks is None else train_top(stages=blocks)
    contrastive = Phase("contrastive", plan, epochs, optimizer, schedule="linear", contrastive_temperature=temperature)
    return Recipe("few_shot", (contrastive, *linear_probe(epochs=probe_epochs).phases))


def bert(
    *,
    epochs: int = 3,
    learning_rate: float = 2e-5,
    weight_decay: float = 0.01,
    warmup: float | int = 0.1,
    decay: float | None = None,
    blocks: int | None = None,
    patience: int | None = None,
) -> Recipe:
    """Train a text model and its head as BERT's authors do (Devlin et al. 2019, A.3).

    AdamW with decay on kernels alone, gradients clipped at 1, a linear warm-up and a linear way down. Batches of 16
    are usual: `fit(..., batch_size=16)`.

    Args:
        epochs: passes over the training examples.
        learning_rate: highest rate of AdamW; 2e-5 to 5e-5.
        weight_decay: decoupled, not on biases and norms.
        warmup: share of all steps, or a number of steps such as 500.
        decay: factor from each layer to the one below it, such as 0.9 (see `layer_decay`); None trains all at one rate.
        blocks: how many of the uppermost blocks learn; None trains all, embeddings included.
        patience: see `Phase`.

    Returns:
        A recipe of one phase.

    Raises:
        ValueError: if both `decay` and `blocks` are given, or a number is out of range.

    Example:
        >>> bert(warmup=500).phases[0].warmup_steps(10_000)
        500
    """
    if decay is not None and blocks is not None:
        raise ValueError(f"`decay` and `blocks` are two plans: give one. Received: decay={decay}, blocks={blocks}")
    plan = train_all() if decay is None else layer_decay(decay)
    if blocks is not None:
        plan = train_top(stages=blocks)
    optimizer = adamw(learning_rate, weight_decay=weight_decay, clip_norm=1.0)
    phase = Phase("bert", plan, epochs, optimizer, schedule="linear", warmup=warmup, patience=patience)
    return Recipe("bert", (phase,))
