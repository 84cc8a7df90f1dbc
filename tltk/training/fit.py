"""Fit: a model, data and a recipe become a run."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltk.data.invalid import Invalid
from tltk.data.source import Source
from tltk.feature_cache.policy import Cache
from tltk.foundation import checks as check
from tltk.foundation import files
from tltk.modalities.modality import Modality, drop_invalid, modality_of
from tltk.models.transfer_model import TransferModel
from tltk.optimizers.state import OptimizerState, require_unique_paths
from tltk.pipeline.batching import Budget, Size, parse_batch_size
from tltk.recipes import fine_tune
from tltk.recipes.recipe import Phase, Recipe
from tltk.tasks.registry import require_task
from tltk.tasks.sources import require_labels
from tltk.trainability.apply import changing
from tltk.trainability.layers import HEAD
from tltk.trainability.lora import file as lora_file
from tltk.training.callbacks import Score
from tltk.training.contrastive import phase_model
from tltk.training.phase import Trained, train_phase
from tltk.training.phase_data import Data, Feed
from tltk.training.run import Run, model_bytes

log = logging.getLogger("tltk")


def fit(
    model: TransferModel,
    train: Data,
    val: Data | None = None,
    *,
    recipe: Recipe | None = None,
    out: str | Path | None = None,
    batch_size: int | str = 32,
    seed: int = 0,
    cache: str | Path | Cache = "auto",
    max_invalid_fraction: float = 0.1,
) -> Run:
    """Train a model by a recipe, phase by phase, and keep the best it ever was on validation.

    Args:
        model: from `assemble`; trained in place.
        train: examples to learn from: a source, or a `tf.data.Dataset` of (pixels, targets).
        val: examples to judge epochs and phases by. Without them every phase runs to its end and none can be undone.
        recipe: the default is `fine_tune()`; of text, `fine_tune(learning_rate=1e-4)`.
        out: folder for the run; None saves nothing.
        batch_size: examples a step; of texts also a budget such as "2048 tokens", padding included.
        seed: of the order and of the augmentation; equal seeds give equal batches.
        cache: where what is computed once is kept: "auto", "memory", "disk", "off", a folder, or a
            `tltk.Cache`. That is what crosses the frozen boundary; in phases with fresh augmentation or
            nothing frozen, the decoded pictures. The weights that come out are the same. "auto" leaves nothing behind.
        max_invalid_fraction: share of unreadable examples above which training is refused.

    Returns:
        The run. Files that could not be read are in `run.invalid`.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if data and model do not fit together, or too many examples are unreadable.
        OSError: if `out` cannot be written or its disk has no room for the model.
        FloatingPointError: if the loss is no number any more.
    """
    check.kind_of("model", model, TransferModel, hint="Pass what tltk.assemble or tltk.adopt returned.")
    require_task(model.task)
    modality = modality_of(model.input)
    recipe = _default(recipe, modality)
    if out is not None:
        files.make_folder(Path(out), needs=model_bytes(model))
    size = _check_numbers(model, recipe, batch_size=batch_size, seed=seed)
    invalid = Invalid()
    train = _usable(train, model, "train", max_invalid_fraction, invalid)
    val = None if val is None else _usable(val, model, "val", max_invalid_fraction, invalid)
    _warn_without_validation(recipe, val)
    recorder = _Recorder(Path(out) if out is not None else None)
    feed = Feed(
        model,
        train,
        val,
        batch_size=size,
        seed=seed,
        cache=cache if isinstance(cache, Cache) else Cache(cache),
        folder=Path(out) if out is not None else None,
    )
    feed.check_batches()
    trained: list[Trained] = []
    config = {"recipe": recipe.to_config(), "seed": seed, "batch_size": batch_size}
    try:
        with feed:
            for each in _phases(model, recipe, feed, recorder.write):
                trained.append(each)
                _keep_lora(model, recipe.phases[len(trained) - 1], each, out)
    finally:
        # Also after Ctrl-C: the model holds the best weights so far, and they are saved.
        phases = tuple(each.result for each in trained)
        config["interrupted"] = len(phases) < len(recipe.phases)
        invalid.extend(feed.invalid())
        run = Run(model, phases, tuple(recorder.rows), tuple(invalid), config)
        # A fit that fails before its first epoch leaves the run that was there before alone.
        run = run.save(out) if out is not None and recorder.rows else run
    if len(invalid):
        log.warning("%d invalid examples were left out: %s", len(invalid), invalid.listing(limit=5))
    return run


def _warn_without_validation(recipe: Recipe, val: Data | None) -> None:
    if val is None and any(phase.wise_ft or phase.patience for phase in recipe.phases):
        log.warning("`wise_ft` and `patience` choose by validation: without `val` they do nothing.")


def _default(recipe: Recipe | None, modality: Modality) -> Recipe:
    """Choose the default recipe, and leave no augmentation open."""
    chosen = fine_tune(learning_rate=modality.learning_rate) if recipe is None else recipe
    check.kind_of(
        "recipe", chosen, Recipe, hint="Pass tltk.fine_tune(), tltk.linear_probe(), tltk.full() or your own Recipe."
    )
    return chosen.with_augmentation(modality.default_augmentation())


def _check_numbers(model: TransferModel, recipe: Recipe, *, batch_size: int | str, seed: int) -> Size:
    """List what is wrong with any phase before the first one is trained."""
    size = parse_batch_size(batch_size)
    problems = check.Problems()
    if isinstance(size, Budget) and not modality_of(model.input).has_lengths:
        problems.add(
            "a budget of tokens needs examples that differ in length; `batch_size` of this model is a number. "
            f"Received: {batch_size!r}"
        )
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**31:
        problems.add(f"`seed` must be a whole number in [0, 2**31). Received: {seed!r}")
    for phase in recipe.phases:
        try:
            subject = phase_model(model, phase)
            require_unique_paths(changing(phase.plan, subject), among=subject.keras.weights)
        except ValueError as error:
            problems.add(f"phase {phase.name!r}: {error}")
    problems.raise_if_any()
    return size


def _phases(
    model: TransferModel, recipe: Recipe, feed: Feed, write: Callable[[dict[str, Any]], None]
) -> Iterator[Trained]:
    """Train phase by phase, each from what the one before it handed on."""
    anchors = _anchors(model) if any(phase.optimizer.l2_sp for phase in recipe.phases) else None
    score: Score | None = None
    previous_state: OptimizerState | None = None
    for number, phase in enumerate(recipe.phases):
        subject = phase_model(model, phase)
        data_for = partial(feed.of_phase, phase, number)
        before = score if subject is model else None  # scores of different tasks cannot be compared
        each = train_phase(
            subject, phase, data_for, before=before, write=write, previous_state=previous_state, anchors=anchors
        )
        score, previous_state = each.result.score if subject is model else None, each.optimizer_state
        yield each


def _anchors(model: TransferModel) -> dict[str, np.ndarray]:
    """Copy the backbone's weights as they are before anything learns: what `l2_sp` pulls towards."""
    pretrained = [layer for layer in model.keras.layers if model.stages.get(layer.name, "") != HEAD]
    return {weight.path: keras.ops.convert_to_numpy(weight).copy() for layer in pretrained for weight in layer.weights}


def _keep_lora(model: TransferModel, phase: Phase, trained: Trained, out: str | Path | None) -> None:
    """Save what LoRA learned, a small file beside the whole model; a later phase may move what it belongs to."""
    if trained.lora_weights and out is not None:
        lora_file.save(Path(out) / f"{phase.name}.lora.npz", model, phase.plan, trained.lora_weights)


class _Recorder:
    """Keep one row an epoch, and the history file up to date."""

    def __init__(self, folder: Path | None) -> None:
        self.rows: list[dict[str, Any]] = []
        self.folder = folder

    def write(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        if self.folder is not None:
            files.write_csv(self.folder / "history.csv", self.rows)


def _usable(data: Data, model: TransferModel, name: str, max_invalid_fraction: float, invalid: Invalid) -> Data:
    """Check that data and model fit together, and leave out what cannot be used."""
    if isinstance(data, tf.data.Dataset):
        return data
    check.kind_of(name, data, Source, hint="Pass a source such as tltk.from_folder(...), or a tf.data.Dataset.")
    modality = modality_of(model.input)
    modality.check(data, model.input, name)
    require_labels(model.task, data, name)
    valid, found = drop_invalid(data, max_invalid_fraction=max_invalid_fraction)
    invalid.extend(found)
    if not len(valid):
        raise ValueError(f"`{name}` holds no readable example.")
    note = modality.notes(valid, model.input)
    if note:
        log.warning("%s", note)
    return valid
