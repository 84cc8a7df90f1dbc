"""The phases of a training, one after the other, from the start or from a checkpoint."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

import keras
import numpy as np

from tltk.models.transfer_model import TransferModel
from tltk.optimizers.state import OptimizerState
from tltk.recipes.recipe import Recipe
from tltk.trainability.layers import HEAD
from tltk.training.balanced_task import balanced_model
from tltk.training.checkpoints import Checkpoints, State
from tltk.training.contrastive import phase_model
from tltk.training.phase import PhaseResult, PhaseStart, TrainedPhase, train_phase
from tltk.training.phase_data import Feed
from tltk.training.probe_phase import divide_logits, train_probe
from tltk.training.seeds import set_seeds
from tltk.training.stop_request import TrainingStopped
from tltk.training.user_callbacks import UserCallbacks


def train_phases(
    model: TransferModel,
    recipe: Recipe,
    feed: Feed,
    write: Callable[[dict[str, Any]], None],
    user_callbacks: UserCallbacks | None,
    checkpoints: Checkpoints,
) -> Iterator[TrainedPhase]:
    """Train the phases in order, each from the weights and the optimizer state of the previous phase.

    Args:
        model: Trained in place.
        recipe: Its phases.
        feed: Gives the batches of each phase.
        write: Receives one history row after each epoch.
        user_callbacks: Callbacks of the user, or None.
        checkpoints: Writes checkpoints; if it has one to resume from, the phases before it are not trained again.

    Yields:
        The result of each phase that is trained now.
    """
    resumed = checkpoints.resumed
    before = resumed.pop("before") if resumed else _before_training(model, recipe)
    if resumed:
        model.keras.set_weights(before["weights"])
    first = resumed["phase"] if resumed else 0
    for index, phase in enumerate(recipe.phases[first:], first):
        phase_checkpoints = checkpoints.phase(index, before)
        phase_checkpoints.begin()
        trained_model = phase_model(model, phase)
        set_seeds(trained_model.keras, feed.seed, index)
        is_contrastive = trained_model is not model
        balancing = feed.balancing
        if not is_contrastive and balancing is not None and balancing.changes_training:
            trained_model = balanced_model(model, balancing.terms)
        start = _start(before, trained_model if is_contrastive else None, seed=(feed.seed, index))
        try:
            options: dict[str, Any] = {"start": start, "write": write}
            if phase.solver == "probe":
                trained = train_probe(model, phase, index, feed, **options)
            else:
                options |= {"user_callbacks": user_callbacks, "checkpoints": phase_checkpoints}
                trained = train_phase(trained_model, phase, partial(feed.phase_data, phase, index), **options)
                if phase.temperature != 1 and trained.result.kept:
                    divide_logits(model, phase.temperature)
        except TrainingStopped:
            phase_checkpoints.stopped()
            raise
        before = {
            "weights": model.keras.get_weights(),
            "results": [*before["results"], asdict(trained.result)],
            "score": None if is_contrastive else trained.result.score,
            "optimizer_state": None if trained.optimizer_state is None else vars(trained.optimizer_state),
            "anchors": before["anchors"],
            "user_callbacks": user_callbacks.get_state() if user_callbacks and checkpoints.folder else None,
        }
        yield trained
    checkpoints.stop_request.raise_if_any()


def _start(before: State, contrastive_model: TransferModel | None, *, seed: tuple[int, int]) -> PhaseStart:
    """Return what a phase takes over from the previous state; scores of different tasks cannot be compared."""
    optimizer_state = before["optimizer_state"]
    return PhaseStart(
        weights=contrastive_model.keras.get_weights() if contrastive_model else before["weights"],
        score_to_beat=None if contrastive_model else before["score"],
        optimizer_state=None if optimizer_state is None else OptimizerState(**optimizer_state),
        anchors=before["anchors"],
        seed=int(np.random.SeedSequence(seed).generate_state(1)[0]),
    )


def _before_training(model: TransferModel, recipe: Recipe) -> State:
    """Return the state before the first phase, as a checkpoint holds it."""
    return {
        "weights": model.keras.get_weights(),
        "results": [],
        "score": None,
        "optimizer_state": None,
        "anchors": _pretrained_weights(model) if any(phase.optimizer.l2_sp for phase in recipe.phases) else None,
        "user_callbacks": None,  # they have not begun
    }


def earlier_results(state: State | None) -> list[PhaseResult]:
    """Return the results of the phases that ended before a checkpoint; none if there is no checkpoint."""
    results = state["before"]["results"] if state else []
    return [PhaseResult(**result) for result in results]


def _pretrained_weights(model: TransferModel) -> dict[str, np.ndarray]:
    """Copy the weights of the backbone before training, towards which `l2_sp` regularizes: variable path → values."""
    backbone_layers = [layer for layer in model.keras.layers if model.stages.get(layer.name, "") != HEAD]
    return {
        weight.path: keras.ops.convert_to_numpy(weight).copy() for layer in backbone_layers for weight in layer.weights
    }
