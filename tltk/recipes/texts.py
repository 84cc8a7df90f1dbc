"""Recipes for texts: fine-tuning as in the BERT paper, and contrastive training with few labels."""

from tltk.foundation.errors import InvalidInput
from tltk.optimizers.spec import adamw
from tltk.recipes.general import linear_probe
from tltk.recipes.recipe import Phase, Recipe
from tltk.trainability import plan as plans


def few_shot(
    *,
    epochs: int = 20,
    probe_epochs: int = 40,
    learning_rate: float = 1e-4,
    temperature: float = 0.1,
    top_blocks: int | None = None,
) -> Recipe:
    """Train a sentence encoder with a contrastive loss, then train the head alone.

    For 4 to 64 labels per class, as in SetFit (Tunstall et al. 2022): n texts give n² / 2 training pairs. The loss uses
    all pairs of a batch (Khosla et al. 2020), so each text is encoded once per epoch. Larger batches have more pairs:
    `fit(..., batch_size=64)`.

    Args:
        epochs: Epochs of the contrastive phase.
        probe_epochs: Epochs of the phase that trains the head.
        learning_rate: Peak learning rate of the contrastive phase.
        temperature: Temperature of the loss; the lower it is, the more the most similar texts of other classes count.
        top_blocks: Number of transformer blocks to train, from the top; None trains all, embeddings included.

    Returns:
        A recipe of "contrastive" and "probe".

    Examples:
        >>> [phase.name for phase in few_shot().phases]
        ['contrastive', 'probe']
    """
    optimizer = adamw(learning_rate, weight_decay=1e-2, clip_norm=1.0)
    plan = plans.train_all() if top_blocks is None else plans.train_top(stages=top_blocks)
    contrastive = Phase("contrastive", plan, epochs, optimizer, schedule="linear", contrastive_temperature=temperature)
    return Recipe("few_shot", (contrastive, *linear_probe(epochs=probe_epochs).phases))


def bert(
    *,
    epochs: int = 3,
    learning_rate: float = 2e-5,
    weight_decay: float = 0.01,
    warmup: float | int = 0.1,
    layer_decay: float | None = None,
    top_blocks: int | None = None,
    patience: int | None = None,
) -> Recipe:
    """Train a text model and its head as in the BERT paper (Devlin et al. 2019, A.3).

    AdamW with weight decay on kernels only, gradients clipped at norm 1, linear warm-up and linear decay of the
    learning rate. Batches of 16 are usual: `fit(..., batch_size=16)`.

    Args:
        epochs: Passes over the training examples.
        learning_rate: Peak learning rate of AdamW; 2e-5 to 5e-5.
        weight_decay: Decoupled weight decay; not applied to biases and normalization weights.
        warmup: Steps in which the learning rate rises from 0: a fraction of all steps, or a number such as 500.
        layer_decay: Learning-rate factor from each layer to the one below it, such as 0.9 (see `tltk.layer_decay`);
            None trains all layers at one rate.
        top_blocks: Number of transformer blocks to train, from the top; None trains all, embeddings included.
        patience: Epochs without improvement on validation before training stops, see `Phase`.

    Returns:
        A recipe of one phase.

    Raises:
        InvalidInput: If both `layer_decay` and `top_blocks` are passed, or a number is out of range.

    Examples:
        >>> bert(warmup=500).phases[0].warmup_steps(10_000)
        500
    """
    if layer_decay is not None and top_blocks is not None:
        raise InvalidInput(
            "pass either `layer_decay` or `top_blocks`, not both. "
            f"Received: layer_decay={layer_decay}, top_blocks={top_blocks}"
        )
    plan = plans.train_all() if layer_decay is None else plans.layer_decay(layer_decay)
    if top_blocks is not None:
        plan = plans.train_top(stages=top_blocks)
    optimizer = adamw(learning_rate, weight_decay=weight_decay, clip_norm=1.0)
    phase = Phase("bert", plan, epochs, optimizer, schedule="linear", warmup=warmup, patience=patience)
    return Recipe("bert", (phase,))
