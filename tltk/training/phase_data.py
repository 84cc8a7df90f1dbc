"""Batches of a phase: examples, or cached features of the frozen prefix."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from tltk.data.invalid import Invalid
from tltk.data.source import Source
from tltk.data.targets import Targets
from tltk.feature_cache import compute
from tltk.feature_cache.batches import feature_batches
from tltk.feature_cache.storage import Cache, choose_storage
from tltk.foundation import files
from tltk.foundation.errors import InvalidInput
from tltk.foundation.paths import cache_folder
from tltk.modalities.batches import dataset_batches, read_dataset, source_batches
from tltk.modalities.image.augment import Copies, copies
from tltk.modalities.modality import modality_of
from tltk.models.frozen_split import FrozenSplit
from tltk.models.transfer_model import TransferModel
from tltk.pipeline.batching import Budget, Size, examples_per_batch
from tltk.pipeline.decoded_store import decoded
from tltk.pipeline.loader import DatasetLoader, Loader
from tltk.pipeline.readers import Reader
from tltk.pipeline.user_dataset import UserDataset
from tltk.recipes.recipe import Phase

Data: TypeAlias = Source | tf.data.Dataset
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
            if "REPLACED BY KeyboardInterrupt" in str(error):
                raise KeyboardInterrupt from error
            raise


@dataclass(frozen=True, eq=False)
class _SourceData:
    """A source with the reader of its elements and their targets."""

    source: Source
    reader: Reader
    targets: Targets | None


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
    ) -> None:
        self.model, self.batch_size, self.seed, self.cache = model, batch_size, seed, cache
        self.train = self._with_reader(train, "train")
        self.val = None if val is None else self._with_reader(val, "val")
        self.folder = folder or Path(tempfile.gettempdir())
        files.clear_abandoned(self.folder, _TEMPORARY_PREFIX)
        self.exit_stack = ExitStack()
        self.loaders: list[Loader | DatasetLoader] = []
        self.undecodable = Invalid()

    def __enter__(self) -> "Feed":
        return self

    def __exit__(self, *error: object) -> None:
        self.exit_stack.close()

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
        if isinstance(self.batch_size, Budget) and isinstance(self.train, _SourceData):
            longest = _max_length([self.train]) or 1
            if 2 * longest > self.batch_size.tokens:
                raise InvalidInput(
                    f"`batch_size` must be at least '{2 * longest} tokens', so that two of the longest examples fit "
                    "into one batch: the batch norm of the head outputs zeros for a single example. "
                    f"Received: '{self.batch_size.tokens} tokens'. Or use {alternative}"
                )

    def phase_data(self, phase: Phase, index: int, frozen_split: FrozenSplit) -> PhaseData:
        """Return the batches of a phase: cached features of the frozen prefix if possible, otherwise examples.

        Features cannot be cached without a frozen prefix, with new augmentations every epoch, or for a
        `tf.data.Dataset`.

        Args:
            phase: Gives epochs and augmentation.
            index: Position of the phase in its recipe.
            frozen_split: The model split for this phase.

        Returns:
            The batches, and the model to fit on them.
        """
        self.exit_stack.close()  # temporary files of the phase before
        self.invalid()
        self.loaders.clear()  # features of the phase before, in memory
        seed = (self.seed * 1000 + index) % 2**31
        augmentations = phase.augment or ()
        count = min(phase.augmentations_per_example, phase.epochs)  # no epoch would use further copies
        augment = copies(augmentations, count) if count else augmentations
        new_every_epoch = bool(augmentations) and not count
        prefix, train, val = frozen_split.prefix, self.train, self.val
        # A prefix without weights is only preprocessing; decoded uint8 examples are smaller than its float32 outputs.
        if prefix is None or not prefix.weights or new_every_epoch or not isinstance(train, _SourceData):
            return self._example_batches(frozen_split, augment, seed)
        if val is not None and not isinstance(val, _SourceData):
            return self._example_batches(frozen_split, augment, seed)
        length = _max_length([train] if val is None else [train, val])
        layout = compute.layout_of(prefix, train.reader, length=length, dtype=self.cache.dtype)
        records = train.reader.count * max(count, 1) + (val.reader.count if val is not None else 0)
        storage = choose_storage(self.cache, layout, records, epochs=phase.epochs, folder=self.folder)
        if storage == "off":
            return self._example_batches(frozen_split, augment, seed)
        fixed_copies = augment if isinstance(augment, Copies) else None
        train_features = self._feature_batches(train, prefix, storage, length, fixed_copies, seed)
        val_features = None if val is None else self._feature_batches(val, prefix, storage, length, None, None)
        return PhaseData(frozen_split.suffix, train_features, val_features)

    def invalid(self) -> Invalid:
        """Return the examples that could not be decoded so far."""
        for loader in self.loaders:
            self.undecodable.extend(loader.invalid)
        return self.undecodable

    def _with_reader(self, data: Data, argument: str) -> "_SourceData | UserDataset":
        """Create the reader of a source, or convert a user's dataset and check its first batches, for all phases."""
        if not isinstance(data, Source):
            options: dict[str, Any] = {"batch_size": self.batch_size, "targets": self.model.task, "argument": argument}
            user = read_dataset(data, self.model.input_spec, **options)
            user.read_first()
            return user
        reader = modality_of(self.model.input_spec).reader(data, self.model.input_spec)
        return _SourceData(data, reader, self.model.task.element_targets(data.targets, reader))

    def _example_batches(self, frozen_split: FrozenSplit, augment: Any, seed: int) -> PhaseData:
        train = self._batches(self.train, augment=augment, seed=seed, shuffle=True)
        return PhaseData(frozen_split.model, train, None if self.val is None else self._batches(self.val))

    def _batches(
        self, data: "_SourceData | UserDataset", *, augment: Any = (), seed: int = 0, shuffle: bool = False
    ) -> Loader | DatasetLoader:
        options: dict[str, Any] = {"encode": self.model.task.encode, "augment": augment, "seed": seed}
        if not isinstance(data, _SourceData):
            return self._registered(dataset_batches(data, self.model.input_spec, **options))
        storages: dict[str, Any] = {"auto": "off", "disk": cache_folder() / "decoded"}
        storage = storages.get(str(self.cache.storage), self.cache.storage)
        reader: Any = decoded(data.reader, storage=storage)
        return self._registered(
            source_batches(
                reader,
                data.source,
                data.targets,
                self.model.input_spec,
                batch_size=self.batch_size,
                shuffle=shuffle,
                **options,
            )
        )

    def _feature_batches(
        self,
        data: _SourceData,
        prefix: keras.Model,
        storage: str,
        length: int | None,
        fixed_copies: Copies | None,
        seed: int | None,
    ) -> Loader | DatasetLoader:
        reader = data.reader if length is None else data.reader.padded(length)
        records = compute.compute(
            prefix,
            reader,
            data.source,
            input_dtype=self.model.input_spec.dtype,
            folder=self._storage_folder(storage),
            reusable=storage != "disk" or self.cache.storage == "disk",
            batch_size=examples_per_batch(self.batch_size, length or 1),
            augment=fixed_copies,
            seed=seed or 0,
            dtype=self.cache.dtype,
        )
        return self._registered(
            feature_batches(
                records,
                data.reader,
                data.source,
                prefix,
                targets=data.targets,
                batch_size=self.batch_size,
                encode=self.model.task.encode,
                seed=seed,
            )
        )

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


def _max_length(parts: list[_SourceData]) -> int | None:
    """Return the length of the longest element of all sources; None if all elements have one shape."""
    lengths_by_source = [part.reader.lengths for part in parts]
    return max((int(lengths.max(initial=1)) for lengths in lengths_by_source if lengths is not None), default=None)
