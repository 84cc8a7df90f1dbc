"""Batches of a phase: examples, or cached features of the frozen prefix."""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf

from tltk.data.invalid import Invalid
from tltk.data.source import Source
from tltk.feature_cache import compute
from tltk.feature_cache.storage import Cache, choose_storage, multiply_adds
from tltk.feature_cache.user_dataset import UnevenBatchesError
from tltk.foundation import files
from tltk.foundation.errors import InvalidInput
from tltk.foundation.paths import cache_folder
from tltk.modalities.image.augment import Copies, copies
from tltk.modalities.modality import modality_of
from tltk.models.frozen_split import FrozenSplit
from tltk.models.transfer_model import TransferModel
from tltk.pipeline.batching import Budget, Size
from tltk.pipeline.finish import ClassWeighted
from tltk.pipeline.loader import DatasetLoader, Loader
from tltk.pipeline.store import Layout
from tltk.recipes.recipe import Phase, Recipe
from tltk.training.balancing import Balancing, Parts, trains_backbone
from tltk.training.prepared_data import Augment, Data, Prepared, PreparedSource, prepare

log = logging.getLogger("tltk")

_TEMPORARY_PREFIX = ".tltk-cache-"


@dataclass(frozen=True)
class PhaseData:
    """The batches of a phase, and the Keras model that is fitted on them.

    Args:
        model: The split model for batches of examples; its suffix for batches of cached features.
        train: Training batches, shuffled and augmented.
        val: Validation batches, or None.
    """

    model: keras.Model
    train: Loader | DatasetLoader
    val: Loader | DatasetLoader | None

    @property
    def has_weights(self) -> bool:
        """Whether the user gave examples sample weights; weights of classes alone do not count."""
        return self.train.has_weights or (self.val is not None and self.val.has_weights)


@contextmanager
def ignore_unknown_length_warning() -> Iterator[None]:
    """Ignore the warning of Keras that calls the end of an epoch of unknown length "ran out of data".

    The number of batches in an epoch is unknown because invalid examples may be dropped. If Ctrl-C arrives while
    TensorFlow reports the end of the data, TensorFlow raises a RuntimeError, which is turned into KeyboardInterrupt.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Your input ran out of data", UserWarning)
        try:
            yield
        except RuntimeError as error:
            if any(f"REPLACED BY {name}" in str(error) for name in ("KeyboardInterrupt", "TrainingStopped")):
                raise KeyboardInterrupt from error
            raise


def keep_epoch_length(dataset: tf.data.Dataset, steps_per_epoch: int) -> None:
    """Keep Keras from taking the first epoch, which resumes from a checkpoint, for the length of all epochs.

    Keras counts the batches of the first epoch of a dataset of unknown length, one more than there are, and reads no
    more in later epochs (`test_plain_keras_takes_a_short_first_epoch_for_the_length`). It asks a dataset for its length
    by `cardinality()`; `tf.data.experimental.assert_cardinality` would fail if batches are skipped.

    Args:
        dataset: From `Loader.dataset`, for `fit`; changed in place.
        steps_per_epoch: Batches of an epoch at most.
    """
    dataset.cardinality = lambda: tf.constant(steps_per_epoch + 1, tf.int64)


class Feed:
    """Provides the batches of all phases of one fit. A context manager: leaving it removes temporary files.

    Args:
        model: The model that is trained.
        train: Training examples.
        val: Validation examples, or None.
        batch_size: Examples per batch, or a budget of tokens.
        seed: Seed of shuffling and augmentation.
        cache: Where features and decoded examples are stored.
        folder: Folder on whose disk "auto" may store temporary files; None uses the system's temporary folder.
        class_weights: Weight of each class in the training loss, float32 [classes]; None for equal weights.
    """

    def __init__(
        self,
        model: TransferModel,
        train: Data,
        val: Data | None,
        *,
        batch_size: Size,
        seed: int,
        cache: Cache,
        folder: Path | None,
        class_weights: np.ndarray | None = None,
    ) -> None:
        self.class_weights = class_weights
        self.balancing: Balancing | None = None
        self.model, self.batch_size, self.seed, self.cache = model, batch_size, seed, cache
        self.train = prepare(train, model, "train", batch_size=batch_size, cache=cache)
        self.val = None if val is None else prepare(val, model, "val", batch_size=batch_size, cache=cache)
        self.folder = folder or Path(tempfile.gettempdir())
        files.clear_abandoned(self.folder, _TEMPORARY_PREFIX)
        self.exit_stack = ExitStack()
        self.loaders: list[Loader | DatasetLoader] = []
        self.undecodable = Invalid()
        self.told: set[str] = set()  # why features are not cached
        self.prepared_probe: Any = None  # the next probe, if it was fitted before its phase

    def __enter__(self) -> "Feed":
        return self

    def __exit__(self, *error: object) -> None:
        self.exit_stack.close()

    def for_part(self, train: Source) -> "Feed":
        """Return a feed with the same options of some of the training examples, without validation examples."""
        options: dict[str, Any] = {"batch_size": self.batch_size, "seed": self.seed, "cache": self.cache}
        return Feed(self.model, train, None, folder=None, class_weights=self.class_weights, **options)

    @property
    def has_weights(self) -> bool:
        """Whether training or validation examples have sample weights."""
        return self.train.has_weights or (self.val is not None and self.val.has_weights)

    def check_batches(self) -> None:
        """Check that no batch has only one example if the head has a batch norm, which would output zeros for it.

        Raises:
            InvalidInput: If a batch may have only one example.
        """
        if not self.model.task.normalizes_batches:
            return
        alternative = 'tltk.head(normalization="layer"), which normalizes each example by itself.'
        if self.batch_size == 1:
            raise InvalidInput(
                "`batch_size` must be at least 2: the batch norm of the head outputs zeros for a single example. "
                f"Received: 1. Pass a larger batch_size, or use {alternative}"
            )
        if isinstance(self.batch_size, Budget) and self.train.max_length is not None:
            longest = self.train.max_length
            if 2 * longest > self.batch_size.tokens:
                raise InvalidInput(
                    f"`batch_size` must be at least '{2 * longest} tokens', so that two of the longest examples fit "
                    "into one batch: the batch norm of the head outputs zeros for a single example. "
                    f"Received: '{self.batch_size.tokens} tokens'. Or use {alternative}"
                )

    def balancing_parts(self, recipe: Recipe) -> Parts:
        """Return what a balancing of classes needs: prepared sources, and how their features are stored."""
        parts = [self.train] if self.val is None else [self.train, self.val]
        train, val = cast(PreparedSource, self.train), cast(PreparedSource | None, self.val)
        return Parts(train, val, self.cache, _max_length(parts), self.seed, not trains_backbone(self.model, recipe))

    def phase_data(self, phase: Phase, index: int, frozen_split: FrozenSplit, *, shuffle: bool = True) -> PhaseData:
        """Return the batches of a phase: cached features of the frozen prefix if possible, otherwise examples.

        Features cannot be cached without a frozen prefix, with new augmentations every epoch, or for a
        `tf.data.Dataset` whose order is not fixed.

        Args:
            phase: Gives epochs and augmentation.
            index: Position of the phase in its recipe.
            frozen_split: The model split for this phase.
            shuffle: Whether training examples are in a new order in each epoch; False keeps that of the source.

        Returns:
            The batches, and the model to fit on them.
        """
        data = self._phase_data(phase, frozen_split, (self.seed * 1000 + index) % 2**31 if shuffle else None)
        if shuffle and self.balancing is not None and self.balancing.sampler is not None:
            train = cast(Loader, data.train)  # a tf.data.Dataset was refused
            data = replace(data, train=replace(train, sampler=self.balancing.sampler))
        if self.class_weights is None or phase.contrastive_temperature is not None:
            return data  # a contrastive loss compares pairs of examples
        weighted = replace(data.train, finish=ClassWeighted(data.train.finish, self.class_weights))
        return replace(data, train=weighted)

    def _phase_data(self, phase: Phase, frozen_split: FrozenSplit, seed: int | None) -> PhaseData:
        self.exit_stack.close()  # temporary files of the phase before
        self.invalid()
        self.loaders.clear()  # features of the phase before, in memory
        augmentations = phase.augment or ()
        count = min(phase.augmentations_per_example, phase.epochs)  # no epoch would use further copies
        augment: Augment = augmentations
        if count:
            value_range = modality_of(self.model.input_spec).value_range(self.model.input_spec)
            augment = replace(copies(augmentations, count), value_range=value_range)
        new_every_epoch = bool(augmentations) and not count
        prefix = frozen_split.prefix
        # A prefix without weights is only preprocessing; decoded uint8 examples are smaller than its float32 outputs.
        if prefix is None or not prefix.weights or new_every_epoch or self.cache.storage == "off":
            return self._example_batches(frozen_split, augment, seed)
        parts = [self.train] if self.val is None else [self.train, self.val]
        if not self._can_be_cached(parts):
            return self._example_batches(frozen_split, augment, seed)
        length = _max_length(parts)
        layout = compute.layout_of(prefix, self.train.inputs, length=length, dtype=self.cache.dtype)
        records = self.train.count * max(count, 1) + (0 if self.val is None else self.val.count)
        cost = multiply_adds(prefix, length)
        reads = 2 if phase.solver == "probe" else phase.epochs  # for the probe, and for its metrics
        choice = choose_storage(self.cache, layout, records, epochs=reads, folder=self.folder, multiply_adds=cost)
        if choice.storage == "off":
            if choice.reason and choice.reason not in self.told:
                self.told.add(choice.reason)
                log.warning("Outputs of the frozen layers are computed in every epoch, not once: %s.", choice.reason)
            return self._example_batches(frozen_split, augment, seed)
        return self._feature_batches(frozen_split, layout, choice.storage, length, augment, seed)

    def invalid(self) -> Invalid:
        """Return the examples that could not be decoded so far."""
        for loader in self.loaders:
            self.undecodable.extend(loader.invalid)
        return self.undecodable

    def _example_batches(self, frozen_split: FrozenSplit, augment: Any, seed: int | None) -> PhaseData:
        train = self._registered(self.train.batches(augment=augment, seed=seed or 0, shuffle=seed is not None))
        return PhaseData(frozen_split.model, train, None if self.val is None else self._registered(self.val.batches()))

    def _can_be_cached(self, parts: list[Prepared]) -> bool:
        """Return whether the features of all data can be cached; say once why not."""
        reasons = [reason for part in parts if (reason := part.why_not_cached())]
        for reason in reasons:
            self._tell_not_cached(reason)
        return not reasons

    def _tell_not_cached(self, reason: str) -> None:
        if reason not in self.told:
            self.told.add(reason)
            log.warning(
                "Outputs of the frozen layers are computed in every epoch, not once: %s. A Source, such as "
                "tltk.from_folder(...), is shuffled by tltk, and its features are cached.",
                reason,
            )

    def _feature_batches(
        self,
        frozen_split: FrozenSplit,
        layout: Layout,
        storage: str,
        length: int | None,
        augment: Augment,
        seed: int | None,
    ) -> PhaseData:
        is_temporary = storage == "disk" and self.cache.storage != "disk"
        fixed_copies = augment if isinstance(augment, Copies) else None

        def features(data: Prepared, order: dict[str, Any]) -> Loader:
            options: dict[str, Any] = {"is_temporary": is_temporary, "length": length, **order}
            return data.feature_batches(frozen_split.prefix, layout, folder=self._storage_folder(storage), **options)

        try:
            train = features(self.train, {"fixed_copies": fixed_copies, "seed": seed})
            val = None if self.val is None else features(self.val, {})
        except UnevenBatchesError:
            self._tell_not_cached("the batches of a tf.data.Dataset differ in size")
            return self._example_batches(frozen_split, augment, seed)
        self.loaders += [train] if val is None else [train, val]
        return PhaseData(frozen_split.suffix, train, val)

    def _registered(self, loader: Loader | DatasetLoader) -> Loader | DatasetLoader:
        """Remember a loader, whose invalid examples are collected later."""
        self.loaders.append(loader)
        return loader

    def _storage_folder(self, storage: str) -> Path | None:
        """Return the folder of a storage; None for memory."""
        if storage == "memory":
            return None
        if storage != "disk":
            return Path(storage)
        if self.cache.storage == "disk":
            return cache_folder() / "prefix"
        # Chosen by "auto", which leaves no files behind.
        return self.exit_stack.enter_context(files.temporary_folder(self.folder, _TEMPORARY_PREFIX))


def _max_length(parts: list[Prepared]) -> int | None:
    """Return the length of the longest element of all data; None if all elements have one shape."""
    return max((part.max_length for part in parts if part.max_length is not None), default=None)
