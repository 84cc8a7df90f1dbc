"""What a phase is fed with: examples, or what a frozen prefix made of them before."""

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
from tltk.feature_cache import batches as stored
from tltk.feature_cache import compute
from tltk.feature_cache.policy import Cache, choose
from tltk.foundation import files
from tltk.foundation.paths import cache_folder
from tltk.modalities.batches import dataset_batches, source_batches
from tltk.modalities.image.augment import Copies, copies
from tltk.modalities.modality import modality_of
from tltk.models.frozen_split import View
from tltk.models.transfer_model import TransferModel
from tltk.pipeline.batching import Budget, Size, examples_per_batch
from tltk.pipeline.loader import DatasetLoader, Loader
from tltk.pipeline.readers import Reader
from tltk.pipeline.stored import decoded
from tltk.recipes.recipe import Phase

Data: TypeAlias = Source | tf.data.Dataset
_TEMPORARY = ".tltk-cache-"


@dataclass(frozen=True)
class PhaseData:
    """What one phase trains, and on what.

    Args:
        model: the whole split model on examples, or its suffix on what crosses the boundary.
        train: shuffled and augmented batches.
        val: plain batches, or None.
    """

    model: keras.Model
    train: Loader | DatasetLoader
    val: Loader | DatasetLoader | None


@contextmanager
def ignore_unknown_length_warning() -> Iterator[None]:
    """Hold back a warning of Keras: it calls the end of an epoch of unknown length "ran out of data".

    The number of batches of an epoch is not promised in advance, since invalid examples may make them fewer. Ctrl-C in
    the moment in which TensorFlow reports that end comes out as a RuntimeError; it is Ctrl-C again here.
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
class _Part:
    """A source, read: its elements and their targets."""

    source: Source
    reader: Reader
    targets: Targets | None


class Feed:
    """The data of one fit, phase by phase; close it when the last phase is over.

    Args:
        model: what is trained.
        train: examples to learn from.
        val: examples to judge by, or None.
        batch_size: examples a step, or a budget of tokens.
        seed: of orders and augmentations.
        cache: where what is computed once is kept.
        folder: on whose disk "auto" may put what does not fit into memory, until the feed is closed.
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
        self.train, self.val = self._read(train), self._read(val)
        self.folder = folder or Path(tempfile.gettempdir())
        files.clear_abandoned(self.folder, _TEMPORARY)
        self.closing = ExitStack()
        self.loaders: list[Loader | DatasetLoader] = []
        self.undecodable = Invalid()

    def __enter__(self) -> "Feed":
        return self

    def __exit__(self, *error: object) -> None:
        self.closing.close()

    def check_batches(self) -> None:
        """Raise if an example would stand alone in its batch where the head has a batch norm: it would output zeros.

        Raises:
            ValueError: with the ways out.
        """
        if not self.model.task.normalizes_batches:
            return
        way = 'tltk.head(normalization="layer") normalizes each example by itself.'
        if self.batch_size == 1:
            raise ValueError(
                f"`batch_size` must be at least 2: the batch norm of the head outputs zeros for one example. {way}"
            )
        if isinstance(self.batch_size, Budget) and isinstance(self.train, _Part):
            longest = _longest([self.train]) or 1
            if 2 * longest > self.batch_size.tokens:
                raise ValueError(
                    f"`batch_size` leaves examples of more than {self.batch_size.tokens // 2} tokens alone in their "
                    "batches, and the batch norm of the head outputs zeros for them. "
                    f"Pass at least '{2 * longest} tokens'; or {way}"
                )

    def of_phase(self, phase: Phase, number: int, view: View) -> PhaseData:
        """Make the batches of a phase, and choose what they are batches of.

        What is kept is the last thing before anything learns or is drawn afresh: what crosses the frozen boundary; with
        fresh augmentation every epoch, or nothing frozen, the decoded examples.

        Args:
            phase: says epochs, augmentation and copies.
            number: of the phase in its recipe.
            view: the model split for this phase.

        Returns:
            What to train on what.
        """
        self.closing.close()  # what "auto" put on disk for the phase before
        self.invalid()
        self.loaders.clear()  # and what it kept in memory
        seed = (self.seed * 1000 + number) % 2**31
        drawn = phase.augment or ()
        count = min(phase.augmentations_per_example, phase.epochs)  # a copy that no epoch comes to is not made
        augment = copies(drawn, count) if count else drawn
        fresh = bool(augment) and not phase.augmentations_per_example
        train, val = self.train, self.val
        # A prefix without weights is preprocessing: decoded examples take a quarter of the room of its floats.
        if view.prefix is None or not view.prefix.weights or fresh or not isinstance(train, _Part):
            return self._of_examples(view, augment, seed)
        if val is not None and not isinstance(val, _Part):
            return self._of_examples(view, augment, seed)
        parts = [train] if val is None else [train, val]
        length = _longest(parts)
        layout = compute.layout_of(view.prefix, train.reader, length=length, dtype=self.cache.dtype)
        records = train.reader.count * max(count, 1) + (val.reader.count if val is not None else 0)
        place = choose(self.cache, layout, records, epochs=phase.epochs, folder=self.folder)
        if place == "off":
            return self._of_examples(view, augment, seed)
        fixed = augment if isinstance(augment, Copies) else None
        features = [
            self._features(part, view, place, length, fixed if part is train else None, seed if part is train else None)
            for part in parts
        ]
        return PhaseData(view.suffix, features[0], features[1] if val is not None else None)

    def invalid(self) -> Invalid:
        """Return the examples found undecodable so far."""
        for loader in self.loaders:
            self.undecodable.extend(loader.invalid)
        return self.undecodable

    def _read(self, data: Data | None) -> "_Part | tf.data.Dataset | None":
        """Make the reader of a source, once for all phases."""
        if not isinstance(data, Source):
            return data
        reader = modality_of(self.model.input).reader(data, self.model.input)
        return _Part(data, reader, self.model.task.element_targets(data.targets, reader))

    def _of_examples(self, view: View, augment: Any, seed: int) -> PhaseData:
        train = self._batches(self.train, augment=augment, seed=seed, shuffle=True)
        return PhaseData(view.train, train, None if self.val is None else self._batches(self.val))

    def _batches(
        self, data: "_Part | tf.data.Dataset", *, augment: Any = (), seed: int = 0, shuffle: bool = False
    ) -> Loader | DatasetLoader:
        options: dict[str, Any] = {"batch_size": self.batch_size, "encode": self.model.task.encode}
        options |= {"augment": augment, "seed": seed}
        if not isinstance(data, _Part):
            return self._note(dataset_batches(data, self.model.input, **options))
        where: Any = {"auto": "off", "disk": cache_folder() / "decoded"}.get(str(self.cache.where), self.cache.where)
        reader: Any = decoded(data.reader, where=where)
        return self._note(
            source_batches(reader, data.source, data.targets, self.model.input, shuffle=shuffle, **options)
        )

    def _features(
        self, part: _Part, view: View, place: str, length: int | None, fixed: Copies | None, seed: int | None
    ) -> Loader:
        reader = part.reader if length is None else part.reader.padded(length)
        records = compute.compute(
            view.prefix,
            reader,
            part.source,
            input_dtype=self.model.input.dtype,
            folder=self._folder(place),
            keyed=place != "disk" or self.cache.where == "disk",
            batch_size=examples_per_batch(self.batch_size, length or 1),
            augment=fixed,
            seed=seed or 0,
            dtype=self.cache.dtype,
        )
        batches = stored.feature_batches(
            records,
            part.reader,
            part.source,
            view.prefix,
            targets=part.targets,
            batch_size=self.batch_size,
            encode=self.model.task.encode,
            seed=seed,
        )
        self._note(batches)
        return batches

    def _note(self, loader: Loader | DatasetLoader) -> Loader | DatasetLoader:
        self.loaders.append(loader)
        return loader

    def _folder(self, place: str) -> Path | None:
        if place == "memory":
            return None
        if place != "disk":
            return Path(place)
        if self.cache.where == "disk":
            return cache_folder() / "prefix"
        # "auto" leaves nothing behind.
        return self.closing.enter_context(files.temporary_folder(self.folder, _TEMPORARY))


def _longest(parts: list[_Part]) -> int | None:
    """Return the length that every element of some sources fits into; None where elements have one shape."""
    lengths = [part.reader.lengths for part in parts]
    return max((int(each.max(initial=1)) for each in lengths if each is not None), default=None)
