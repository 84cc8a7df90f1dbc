"""Relative gradient norms of the layers of a backbone: how much the training examples ask each of them to change."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.feature_cache.storage import Cache
from tltk.models.transfer_model import TransferModel
from tltk.pipeline.loader import trace
from tltk.trainability.apply import changing_variables
from tltk.trainability.layers import HEAD, layer_rows
from tltk.trainability.plan import Plan, train_all
from tltk.training.phase_data import Feed

_BATCHES = 4


def relative_gradient_norms(
    model: TransferModel, source: Source, *, batch_size: int, seed: int = 0
) -> dict[str, float]:
    """Return ‖gradient‖ / ‖weights‖ of the layers of the backbone (Auto-RGN, Lee et al. 2023, section 4).

    The gradient is that of the mean loss of up to four batches, in inference mode.

    Args:
        model: The model, with a trained head.
        source: Training examples.
        batch_size: Examples per batch.
        seed: Seed of the examples that are drawn.

    Returns:
        Layer name → relative norm, in graph order. Layers that are never trained, such as batch norms in inference
        mode, and those whose weights get no gradient, are left out.
    """
    batches = min(_BATCHES, max(len(source) // batch_size, 1))
    rows = np.random.default_rng(seed).permutation(len(source))[: batches * batch_size]
    trained = {id(variable) for variable in changing_variables(train_all(), model)}  # no batch norm in inference mode
    layers = [row for row in layer_rows(model) if row.stage != HEAD]
    weights = [(row.name, weight) for row in layers for weight in getattr(row.layer, "weights", ())]
    owners = [(name, weight) for name, weight in weights if id(weight) in trained]
    gradients = _gradients(model, source.subset(np.sort(rows)), [weight for _, weight in owners], batch_size=batch_size)
    squares: dict[str, np.ndarray] = {}
    for (name, weight), gradient in zip(owners, gradients, strict=True):
        if gradient is not None:
            values = np.asarray(weight, np.float64)
            squares.setdefault(name, np.zeros(2))
            squares[name] += (np.square(gradient).sum(), np.square(values).sum())
    return {name: float(np.sqrt(pair[0] / pair[1])) for name, pair in squares.items() if pair.all()}


def mean_of_trained(norms: Mapping[str, float], plan: Plan, model: TransferModel) -> float:
    """Return the mean relative gradient norm of the layers that a plan trains; 0 if none of them has one.

    Args:
        norms: From `relative_gradient_norms`.
        plan: Which layers are trained.
        model: The model.
    """
    decisions = plan.resolve(model)
    trained = [norm for name, norm in norms.items() if decisions[name].action != "frozen"]
    return float(np.mean(trained)) if trained else 0.0


def _gradients(
    model: TransferModel, source: Source, variables: list[Any], *, batch_size: int
) -> list[np.ndarray | None]:
    """Return the gradient of the mean loss by each variable, float64; None without one."""
    loss_of, values = model.task.training_loss(), [variable.value for variable in variables]

    def run(inputs: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(targets, model.keras(inputs, training=False))
        return tape.gradient(loss, values)

    sums: list[Any] = [None] * len(values)
    feed = Feed(model, source, None, batch_size=batch_size, seed=0, cache=Cache("off"), folder=None)
    count = 0
    with feed:
        batches = feed.train.batches().dataset()
        compute = trace(run, *batches.element_spec[:2])
        for inputs, targets, *_ in batches:
            size = int(targets.shape[0])
            count += size
            for index, gradient in enumerate(compute(inputs, targets)):
                if gradient is not None:
                    part = size * np.asarray(tf.convert_to_tensor(gradient), np.float64)
                    sums[index] = part if sums[index] is None else sums[index] + part
    return [None if total is None else total / count for total in sums]
