"""What a phase is fed with: pictures, texts, or what a frozen prefix made of them before."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import keras
import tensorflow as tf

from tltk.backbones.packages import cache_folder
from tltk.data.formats.folder import Source
from tltk.feature_cache import compute as prefix_cache
from tltk.feature_cache.policy import Cache, choose
from tltk.foundation import files
from tltk.modalities.image.augment import Augmentation, Copies, copies
from tltk.modalities.text import reader as texts
from tltk.models.assemble import TransferModel
from tltk.models.frozen_split import View
from tltk.pipeline.batches import batches
from tltk.pipeline.batching import Size, examples_a_step
from tltk.pipeline.stream import Batches
from tltk.recipes.recipe import Phase
from tltk.specs import ImageSpec, InvalidExample, TextSpec

Data: TypeAlias = Source | tf.data.Dataset
_KEPT = ".tltk-cache-"


@dataclass(frozen=True)
class PhaseData:
    """What one phase trains, and on what.

    Args:
        model: the whole view on pictures, or its suffix on what crosses the boundary.
        train: shuffled and augmented batches.
        val: plain batches, or None.
    """

    model: keras.Model
    train: Batches
    val: Batches | None


@contextmanager
def of_unpromised_length() -> Iterator[None]:
    """Hold back a warning of Keras: it calls the end of an epoch of unknown length "ran out of data".

    The batches of an epoch are not promised in advance, since unreadable pictures may make them fewer. Ctrl-C in the
    moment in which TensorFlow reports that end comes out as a RuntimeError; it is Ctrl-C again here.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Your input ran out of data", UserWarning)
        try:
            yield
        except RuntimeError as error:
            if "REPLACED BY KeyboardInterrupt" in str(error):
                raise KeyboardInterrupt from error
            raise


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
        self.model, self.train, self.val = model, train, val
        self.batch_size, self.seed, self.cache = batch_size, seed, cache
        self.folder = folder or Path(tempfile.gettempdir())
        files.clear_abandoned(self.folder, _KEPT)
        self.closing = ExitStack()
        self.made: list[Batches] = []
        self.earlier: list[InvalidExample] = []

    def __enter__(self) -> "Feed":
        return self

    def __exit__(self, *error: object) -> None:
        self.closing.close()

    def of_phase(self, phase: Phase, number: int, view: View) -> PhaseData:
        """Make the batches of a phase, and choose what they are batches of.

        What is kept is the last thing before anything learns or is drawn afresh: what crosses the frozen boundary; with
        fresh augmentation every epoch, or nothing frozen, the decoded pictures.

        Args:
            phase: says epochs, augmentation and copies.
            number: of the phase in its recipe.
            view: the model split for this phase.

        Returns:
            What to train on what.
        """
        self.closing.close()  # what "auto" put on disk for the phase before
        self.earlier += [example for made in self.made for example in made.invalid]
        self.made.clear()  # and what it held in memory
        seed = (self.seed * 1000 + number) % 2**31
        drawn = phase.augment or ()
        views = min(phase.views, phase.epochs)  # a copy that no epoch comes to is not made
        augment = copies(drawn, views) if views else drawn
        fresh = bool(augment) and not phase.views
        # A prefix without weights is preprocessing: decoded pictures take a quarter of the room of its floats.
        sources = [part for part in (self.train, self.val) if isinstance(part, Source)]
        mixed = len(sources) < (1 if self.val is None else 2)
        if view.prefix is None or not view.prefix.weights or fresh or mixed:
            return self._of_examples(view, augment, seed)
        spec = self._spec(sources)
        layout = prefix_cache.layout_of(view.prefix, spec, dtype=self.cache.dtype)
        count = len(self.train) * max(views, 1) + (len(self.val) if self.val is not None else 0)
        place = choose(self.cache, layout, count, epochs=phase.epochs, folder=self.folder)
        if place == "off":
            return self._of_examples(view, augment, seed)
        fixed = augment if isinstance(augment, Copies) else None
        train = self._stored(self.train, spec, view, place, fixed, seed=seed, order=seed)
        val = None if self.val is None else self._stored(self.val, spec, view, place, None, seed=0, order=None)
        return PhaseData(view.suffix, train, val)

    def _spec(self, sources: list[Source]) -> ImageSpec | TextSpec:
        """What examples are brought to before they are stored: every text has the width of the longest."""
        spec = self.model.input
        return texts.padded_to(spec, *sources) if isinstance(spec, TextSpec) else spec

    def invalid(self) -> list[InvalidExample]:
        """List the examples found unreadable so far."""
        return [*self.earlier, *(example for made in self.made for example in made.invalid)]

    def _of_examples(self, view: View, augment: tuple[Augmentation, ...] | Copies, seed: int) -> PhaseData:
        train = self._batches(self.train, shuffle=True, augment=augment, seed=seed)
        return PhaseData(view.train, train, None if self.val is None else self._batches(self.val))

    def _batches(
        self,
        data: Data,
        *,
        shuffle: bool = False,
        augment: tuple[Augmentation, ...] | Copies = (),
        seed: int = 0,
    ) -> Batches:
        where = "off" if self.cache.where == "auto" or not isinstance(data, Source) else self.cache.where
        return self._note(
            batches(
                data,
                self.model.input,
                batch_size=self.batch_size,
                encode=self.model.task.encode,
                shuffle=shuffle,
                augment=augment,
                seed=seed,
                cache=cache_folder() / "pictures" if where == "disk" else where,
            )
        )

    def _stored(
        self,
        data: Source,
        spec: ImageSpec | TextSpec,
        view: View,
        place: str,
        fixed: Copies | None,
        *,
        seed: int,
        order: int | None,
    ) -> Batches:
        records = prefix_cache.compute(
            view.prefix,
            data,
            spec,
            folder=self._folder(place),
            keyed=place != "disk" or self.cache.where == "disk",
            batch_size=examples_a_step(self.batch_size, spec.shape[0] or 1),
            augment=fixed,
            seed=seed,
            dtype=self.cache.dtype,
        )
        made = prefix_cache.stored_batches(
            records,
            data,
            view.prefix,
            batch_size=self.batch_size,
            encode=self.model.task.encode,
            seed=order,
            lengths=texts.widths_of(data, spec) if isinstance(spec, TextSpec) else None,
            widths=texts.widths(spec.sequence_length) if isinstance(spec, TextSpec) else (),
        )
        return self._note(made)

    def _folder(self, place: str) -> Path | None:
        if place == "memory":
            return None
        if place != "disk":
            return Path(place)
        if self.cache.where == "disk":
            return cache_folder() / "prefix"
        # "auto" leaves nothing behind.
        return self.closing.enter_context(files.temporary_folder(self.folder, _KEPT))

    def _note(self, made: Batches) -> Batches:
        self.made.append(made)
        return made
