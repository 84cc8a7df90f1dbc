"""Training and validation data prepared for a fit: a source with its reader, or a user's own checked dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.data.targets import Targets
from tltk.feature_cache import compute
from tltk.feature_cache.batches import MoveCopy, dataset_feature_batches, feature_batches
from tltk.feature_cache.storage import Cache
from tltk.feature_cache.user_dataset import compute_dataset
from tltk.foundation.errors import InvalidInput
from tltk.foundation.paths import cache_folder
from tltk.modalities.augmentation import Augmentation
from tltk.modalities.batches import NO_COPIES, dataset_batches, read_dataset, source_batches
from tltk.modalities.image.augment import Copies
from tltk.modalities.image.augment.fixed_copies import build_moves
from tltk.modalities.modality import modality_of
from tltk.models.transfer_model import TransferModel
from tltk.pipeline import store
from tltk.pipeline.batching import Size, examples_per_batch
from tltk.pipeline.decoded_store import decoded
from tltk.pipeline.fixed_order import why_order_varies
from tltk.pipeline.loader import DatasetLoader, Loader
from tltk.pipeline.readers import Reader
from tltk.pipeline.user_dataset import UserDataset, parts_of

Data: TypeAlias = Source | tf.data.Dataset
Augment: TypeAlias = Sequence[Augmentation] | Copies


@dataclass(frozen=True, eq=False)
class PreparedSource:
    """A source with the reader of its elements and their targets, created once for all phases.

    Args:
        model: The model that is trained.
        source: The source.
        reader: Reader of its elements.
        targets: Targets of the elements.
        batch_size: Examples per batch, or a budget of tokens.
        cache: Where features and decoded examples are stored.
    """

    model: TransferModel
    source: Source
    reader: Reader
    targets: Targets | None
    batch_size: Size
    cache: Cache

    @property
    def count(self) -> int:
        """Number of elements."""
        return self.reader.count

    @property
    def has_weights(self) -> bool:
        """Whether examples have sample weights."""
        return self.source.sample_weight is not None

    @property
    def example_ids(self) -> np.ndarray | None:
        """Example of each element, int64 [count]; None if element i is example i."""
        return self.reader.example_ids

    @property
    def groups(self) -> np.ndarray | None:
        """Number of the group of each example, int64; None without groups."""
        groups = self.source.groups
        return None if groups is None else np.unique(np.asarray(groups).astype(str), return_inverse=True)[1]

    @property
    def inputs(self) -> tf.TensorSpec:
        """Shape [None, …] and dtype of a batch of inputs."""
        return self.reader.element_spec[0]

    @property
    def max_length(self) -> int | None:
        """Length of the longest element; None if all elements have one shape."""
        return None if self.reader.lengths is None else int(self.reader.lengths.max(initial=1))

    def why_not_cached(self) -> str:
        """Return "": the features of a source can always be cached."""
        return ""

    def batches(self, *, augment: Augment = (), seed: int = 0, shuffle: bool = False) -> Loader:
        """Return batches of examples; see `source_batches` for the options."""
        storages: dict[str, Any] = {"auto": "off", "disk": cache_folder() / "decoded"}
        reader: Any = decoded(self.reader, storage=storages.get(str(self.cache.storage), self.cache.storage))
        return source_batches(
            reader,
            self.source,
            self.targets,
            self.model.input_spec,
            batch_size=self.batch_size,
            encode=self.model.task.encode,
            augment=augment,
            seed=seed,
            shuffle=shuffle,
        )

    def feature_batches(
        self,
        prefix: keras.Model,
        layout: store.Layout,
        *,
        folder: Path | None,
        is_temporary: bool,
        length: int | None,
        fixed_copies: Copies | None = None,
        seed: int | None = None,
    ) -> Loader:
        """Compute the features of the frozen prefix, and return batches of them.

        Args:
            prefix: Inputs → features.
            layout: Layout of the features of an element.
            folder: Folder to store them in; None stores them in memory.
            is_temporary: Whether the folder will be removed after the phase.
            length: Length that elements are padded to; None if they have one shape.
            fixed_copies: Augmented copies of each element.
            seed: Seed of the order and the copies; None keeps the order.
        """
        stored: dict[str, Any] = {"folder": folder, "is_temporary": is_temporary, "length": length}
        records = self.records(prefix, **stored, fixed_copies=fixed_copies, seed=seed or 0)
        return feature_batches(
            records,
            self.reader,
            self.source,
            prefix,
            targets=self.targets,
            batch_size=self.batch_size,
            encode=self.model.task.encode,
            seed=seed,
            move_copy=None if fixed_copies is None else self._move_copy(fixed_copies, seed or 0),
        )

    def records(
        self,
        prefix: keras.Model,
        *,
        folder: Path | None,
        is_temporary: bool,
        length: int | None,
        fixed_copies: Copies | None = None,
        seed: int = 0,
    ) -> store.Records:
        """Compute the features of the frozen prefix.

        Args:
            prefix: Inputs → features.
            folder: Folder to store them in; None stores them in memory.
            is_temporary: Whether the folder will be removed after the phase.
            length: Length that elements are padded to; None if they have one shape.
            fixed_copies: Augmented copies of each element.
            seed: Seed of the copies.
        """
        return compute.compute(
            prefix,
            self.reader if length is None else self.reader.padded(length),
            self.source,
            folder=folder,
            reusable=not is_temporary,
            batch_size=examples_per_batch(self.batch_size, length or 1),
            augment=fixed_copies,
            targets=self.targets,
            seed=seed,
            dtype=self.cache.dtype,
        )

    def _move_copy(self, fixed_copies: Copies, seed: int) -> MoveCopy | None:
        """Return the function that moves boxes and masks with the images of copies; None without such targets."""
        if self.targets is None or not isinstance(self.targets.element_spec, dict):
            return None
        move = build_moves(fixed_copies, seed, self.model.input_spec.shape)
        return lambda targets, rows, epoch: move(targets, rows, epoch % fixed_copies.count)


@dataclass(frozen=True, eq=False)
class PreparedDataset:
    """A user's own dataset, converted and checked once for all phases.

    Args:
        model: The model that is trained.
        user: The converted dataset.
        argument: Argument that held the dataset.
        order_varies: Why its elements or their order may change whenever it is read; "" if they do not.
    """

    model: TransferModel
    user: UserDataset
    argument: str
    order_varies: str
    example_ids: ClassVar[None] = None
    groups: ClassVar[None] = None

    @property
    def count(self) -> int:
        """Number of examples, or an upper bound."""
        return self.user.example_count

    @property
    def has_weights(self) -> bool:
        """Whether examples have sample weights."""
        return len(parts_of(self.user.dataset.element_spec)) > 2

    @property
    def inputs(self) -> tf.TensorSpec:
        """Shape [None, …] and dtype of a batch of inputs."""
        return parts_of(self.user.dataset.element_spec)[0]

    @property
    def max_length(self) -> None:
        """None: features are only cached if all elements have one shape."""
        return

    def why_not_cached(self) -> str:
        """Return why the features of this dataset cannot be stored; "" if they can."""
        inputs, targets, *_ = parts_of(self.user.dataset.element_spec)
        if self.order_varies:
            return f"`{self.argument}` is a tf.data.Dataset whose order is not fixed: {self.order_varies}"
        if None in inputs.shape[1:] or not isinstance(targets, tf.TensorSpec):
            return f"the examples of `{self.argument}` differ in shape, or have several targets"
        return ""

    def batches(self, *, augment: Augment = (), seed: int = 0, shuffle: bool = False) -> DatasetLoader:
        """Return batches of examples in the order of the dataset, whatever `shuffle` says."""
        return dataset_batches(
            self.user, self.model.input_spec, encode=self.model.task.encode, augment=augment, seed=seed
        )

    def feature_batches(
        self,
        prefix: keras.Model,
        layout: store.Layout,
        *,
        folder: Path | None,
        is_temporary: bool,
        length: int | None,
        fixed_copies: Copies | None = None,
        seed: int | None = None,
    ) -> Loader:
        """Compute the features of the frozen prefix in one pass, and return the same batches of them in every epoch.

        See `PreparedSource.feature_batches`; the order of the dataset is kept, and there are no copies.

        Raises:
            UnevenBatchesError: If the batches of the dataset differ in size.
            InvalidInput: If there are fixed copies.
        """
        if fixed_copies is not None:
            raise InvalidInput(NO_COPIES)
        features = compute_dataset(prefix, self.user, layout, folder=folder)
        return dataset_feature_batches(features, prefix, encode=self.model.task.encode)


Prepared: TypeAlias = PreparedSource | PreparedDataset


def prepare(data: Data, model: TransferModel, argument: str, *, batch_size: Size, cache: Cache) -> Prepared:
    """Create the reader of a source, or convert a user's dataset and check its first batches.

    Args:
        data: Valid examples with targets.
        model: The model that is trained.
        argument: Argument that holds the data, such as "train".
        batch_size: Examples per batch, or a budget of tokens.
        cache: Where features and decoded examples are stored.

    Raises:
        InvalidInput: If a dataset does not fit the model, or its features should be stored for later runs.
    """
    spec, task = model.input_spec, model.task
    if isinstance(data, Source):
        reader = modality_of(spec).reader(data, spec)
        return PreparedSource(model, data, reader, task.element_targets(data.targets, reader), batch_size, cache)
    if cache.storage not in ("auto", "memory", "off"):
        raise InvalidInput(
            f"`cache` must be 'auto', 'memory' or 'off' if `{argument}` is a tf.data.Dataset: what its files hold is "
            f"not known, so that stored features could be outdated in a later run. Received: {str(cache.storage)!r}"
        )
    user = read_dataset(data, spec, batch_size=batch_size, targets=task, argument=argument)
    user.read_first()
    return PreparedDataset(model, user, argument, why_order_varies(data))
