"""Fit: a model, data and a recipe become a run."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltk.data.formats.folder import Source
from tltk.feature_cache.policy import Cache
from tltk.foundation import checks as check
from tltk.foundation import files
from tltk.modalities.image.validate import drop_invalid
from tltk.modalities.text.encoding import report_cut
from tltk.modalities.text.reader import widths_of
from tltk.models.assemble import TransferModel
from tltk.optimizers.state import Slots, require_own_paths
from tltk.pipeline.batching import Budget, Size, size_of
from tltk.recipes import fine_tune
from tltk.recipes.recipe import Phase, Recipe
from tltk.specs import ImageSpec, InvalidExample, TextSpec
from tltk.tasks.base import examples, require_kind, require_labels
from tltk.trainability.apply import changing
from tltk.trainability.lora import file as lora_file
from tltk.training.callbacks import Score
from tltk.training.contrastive import contrasted
from tltk.training.phase import Trained, train_phase
from tltk.training.phase_data import Data, Feed
from tltk.training.run import Run, model_bytes

TEXT_RATE = 1e-4  # a third of what pictures take; half of it was 1 point worse on 100 labels a class of summaries
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
    recipe = _suited(recipe, model)
    if out is not None:
        files.make_folder(Path(out), needs=model_bytes(model))
    size = _check_numbers(model, recipe, batch_size=batch_size, seed=seed)
    train, invalid_train = _usable(train, model, "train", max_invalid_fraction)
    val, invalid_val = _usable(val, model, "val", max_invalid_fraction) if val is not None else (None, ())
    if val is None and any(phase.mix or phase.patience for phase in recipe.phases):
        log.warning("`mix` and `patience` choose by validation: without `val` they do nothing.")
    train, val = _fed(model, train), _fed(model, val) if val is not None else None
    _check_company(model, train, size)
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
        invalid = tuple(dict.fromkeys((*invalid_train, *invalid_val, *feed.invalid())))
        run = Run(model, phases, tuple(recorder.rows), invalid, config)
        # A fit that fails before its first epoch leaves the run that was there before alone.
        run = run.save(out) if out is not None and recorder.rows else run
    _report_invalid(invalid)
    return run


def _suited(recipe: Recipe | None, model: TransferModel) -> Recipe:
    """Choose the default, and leave nothing open."""
    pictures = isinstance(model.input, ImageSpec)
    chosen = (fine_tune() if pictures else fine_tune(learning_rate=TEXT_RATE)) if recipe is None else recipe
    check.kind_of(
        "recipe", chosen, Recipe, hint="Pass tltk.fine_tune(), tltk.linear_probe(), tltk.full() or your own Recipe."
    )
    return chosen.suited(to_pictures=pictures)


def _check_numbers(model: TransferModel, recipe: Recipe, *, batch_size: int | str, seed: int) -> Size:
    """Find what is wrong with any phase before the first one is trained."""
    size = size_of(batch_size)
    problems = check.Problems()
    if isinstance(size, Budget) and isinstance(model.input, ImageSpec):
        problems.add(f"a budget of tokens is of texts; `batch_size` of pictures is a number. Received: {batch_size!r}")
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**31:
        problems.add(f"`seed` must be a whole number in [0, 2**31). Received: {seed!r}")
    for phase in recipe.phases:
        try:
            subject = model if phase.contrast is None else contrasted(model, phase.contrast)
            require_own_paths(changing(phase.plan, subject), among=subject.keras.weights)
        except ValueError as error:
            problems.add(f"phase {phase.name!r}: {error}")
    problems.raise_if_any()
    return size


def _phases(
    model: TransferModel, recipe: Recipe, feed: Feed, write: Callable[[dict[str, Any]], None]
) -> Iterator[Trained]:
    """Train phase by phase, each from what the one before it handed on."""
    anchors = _anchors(model) if any(phase.optimizer.pull for phase in recipe.phases) else None
    score: Score | None = None
    carried: Slots | None = None
    for number, phase in enumerate(recipe.phases):
        subject = model if phase.contrast is None else contrasted(model, phase.contrast)
        data_for = partial(feed.of_phase, phase, number)
        before = score if subject is model else None  # scores of different tasks cannot be compared
        each = train_phase(subject, phase, data_for, before=before, write=write, carried=carried, anchors=anchors)
        score, carried = each.result.score if subject is model else None, each.slots
        yield each


def _anchors(model: TransferModel) -> dict[str, np.ndarray]:
    """Copy the backbone's weights as they are before anything learns: what `pull` pulls towards."""
    pretrained = [layer for layer in model.keras.layers if model.stages.get(layer.name, "") != "head"]
    return {weight.path: keras.ops.convert_to_numpy(weight).copy() for layer in pretrained for weight in layer.weights}


def _keep_lora(model: TransferModel, phase: Phase, trained: Trained, out: str | Path | None) -> None:
    """Save what LoRA learned, a small file beside the whole model; a later phase may move what it belongs to."""
    if trained.matrices and out is not None:
        lora_file.save(Path(out) / f"{phase.name}.lora.npz", model, phase.plan, trained.matrices)


class _Recorder:
    """Keep one row an epoch, and the history file up to date."""

    def __init__(self, folder: Path | None) -> None:
        self.rows: list[dict[str, Any]] = []
        self.folder = folder

    def write(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        if self.folder is not None:
            files.write_csv(self.folder / "history.csv", self.rows)


def _usable(
    data: Data, model: TransferModel, name: str, max_invalid_fraction: float
) -> tuple[Data, tuple[InvalidExample, ...]]:
    if isinstance(data, tf.data.Dataset):
        return data, ()
    check.kind_of(name, data, Source, hint="Pass a source such as tltk.from_folder(...), or a tf.data.Dataset.")
    require_kind(data, model.input, name)
    require_labels(model.task, data, name)
    good, invalid = drop_invalid(data, max_invalid_fraction=max_invalid_fraction)
    if not len(good):
        raise ValueError(f"`{name}` holds no readable example.")
    return good, invalid


def _fed(model: TransferModel, data: Data) -> Data:
    """Turn texts into tokens, once, and say which are longer than the model takes."""
    if not isinstance(data, Source):
        return data
    said = report_cut(data, model.input) if isinstance(model.input, TextSpec) else ""
    if said:
        log.warning("%s", said)
    return examples(model.task, data, model.input)


def _check_company(model: TransferModel, train: Data, size: Size) -> None:
    """Raise if an example would stand alone in its batch where the head norms batches: it becomes zeros there.

    Raises:
        ValueError: with the ways out.
    """
    normed = any(isinstance(layer, keras.layers.BatchNormalization) and layer.name.startswith("head_norm")
                 for layer in model.keras.layers)  # fmt: skip
    if not normed or model.task.per_token:
        return
    way = 'tltk.head(normalization="layer") norms each example by itself.'
    if size == 1:
        raise ValueError(f"`batch_size` must be at least 2: the head's batch norm makes zeros of one example. {way}")
    if isinstance(size, Budget) and isinstance(train, Source) and isinstance(model.input, TextSpec):
        longest = int(widths_of(train, model.input).max(initial=1))
        if 2 * longest > size.tokens:
            raise ValueError(
                f"`batch_size` leaves texts of more than {size.tokens // 2} tokens alone in their batches, and the "
                f"head's batch norm makes zeros of them. Pass at least '{2 * longest} tokens'; or {way}"
            )


def _report_invalid(invalid: tuple[InvalidExample, ...]) -> None:
    if invalid:
        shown = check.listing((f"{example.example_id} ({example.reason})" for example in invalid), limit=5)
        log.warning("%d unreadable examples were left out: %s", len(invalid), shown)
