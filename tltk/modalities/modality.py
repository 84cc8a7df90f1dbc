"""What is particular to one kind of input, in one object: nothing else in tltk asks whether something is text."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow as tf

from tltk.data.invalid import listing
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation.registry import Registry
from tltk.modalities.context import Context
from tltk.pipeline.readers import Reader
from tltk.specs import InvalidExample


class UserDataset(NamedTuple):
    """A user's own `tf.data.Dataset`, checked and brought to batches of what a model takes.

    Args:
        dataset: yields (inputs, targets …) in batches.
        steps: batches an epoch.
        examples: examples an epoch or, if it came batched, an upper bound.
    """

    dataset: tf.data.Dataset
    steps: int
    examples: int


class Modality(ABC):
    """One kind of input: how it is validated, read, augmented, requested and written down.

    Subclass it and pass an instance to `tltk.register_modality`; docs/extend.md has a complete one.

    Attributes:
        name: `Source.modality`, such as "image".
        spec_type: the class of the frozen records that say what a model takes. A spec has `name`, `dtype` and `shape`
            of the network's input (None for axes that vary), and `describe()`.
        has_lengths: whether examples differ in length, so that a batch can be a budget of tokens.
        learning_rate: of the default recipe's second phase.
        default_backbone: name of the backbone that the command line takes.
    """

    name: ClassVar[str]
    spec_type: ClassVar[type]
    has_lengths: ClassVar[bool] = False
    learning_rate: ClassVar[float] = 3e-4
    default_backbone: ClassVar[str] = ""

    def check(self, source: Source, spec: Any, argument: str) -> None:
        """Raise unless a source holds what a model takes.

        Args:
            source: that a user passed.
            spec: of the model.
            argument: name of the argument it came in, for the error.

        Raises:
            ValueError: with the way out.
        """
        if source.modality != self.name:
            raise ValueError(f"`{argument}` holds {source.modality}s, and the model takes {self.name}s.")

    @abstractmethod
    def validate(self, source: Source) -> tuple[Source, tuple[InvalidExample, ...]]:
        """Look at examples without decoding them.

        Args:
            source: of this modality.

        Returns:
            The source without the examples that cannot be used, and those, with reasons.
        """

    @abstractmethod
    def reader(self, source: Source, spec: Any) -> Reader:
        """Return what reads and decodes the examples of a source, in any order."""

    def from_dataset(self, dataset: tf.data.Dataset, spec: Any, *, batch_size: Any) -> UserDataset:
        """Check a user's own dataset and bring it to batches of what a model takes.

        Raises:
            ValueError: saying what it yields and what was expected.
        """
        raise ValueError(f"{self.name}s cannot come as a tf.data.Dataset: pass a Source.")

    def source(self, inputs: Any, spec: Any) -> Source:
        """Turn what a user passes to `predict` into an unlabelled source.

        Args:
            inputs: paths, arrays, strings … of this modality.
            spec: of the model.

        Raises:
            TypeError: for anything else.
        """
        check.kind_of("inputs", inputs, Source, hint="Pass a Source.")
        return inputs

    def context(self, source: Source, reader: Reader, examples: np.ndarray, elements: np.ndarray) -> Context:
        """Describe some whole examples to the decoder of a task.

        Args:
            source: that holds them.
            reader: of the source.
            examples: int64 [n], consecutive numbers of examples.
            elements: int64 [m], numbers of all of their elements.

        Returns:
            The context, examples numbered from 0.
        """
        return Context(tf.constant(len(examples), tf.int64))

    def default_augmentation(self) -> tuple[Any, ...]:
        """Return the augmentations of a phase that names none."""
        return ()

    def check_augmentation(self, augmentations: Sequence[Any]) -> None:
        """Raise unless the augmentations can be applied to this kind of input.

        Raises:
            ValueError: naming those that cannot.
        """
        if augmentations:
            names = check.listing(getattr(each, "name", each) for each in augmentations)
            raise ValueError(f"`augment`: {names} cannot be applied to {self.name}s.")

    def whole_examples(self, spec: Any, source: Source | None = None) -> Any:
        """Return the spec under which every example is one element, for features of whole examples.

        Args:
            spec: of a backbone or model.
            source: of the examples, if the spec is that of a backbone that no task has changed yet.
        """
        return spec

    def pairs(self, source: Source) -> bool:
        """Tell whether each example of a source is two inputs, such as a question and a text."""
        return False

    def paired(self, spec: Any) -> Any:
        """Return the spec of a model that reads two inputs an example.

        Raises:
            ValueError: if this kind of input has no pairs.
        """
        raise ValueError(f"`pairs=True` needs a backbone that takes texts; this one takes {self.name}s.")

    def windowed(self, spec: Any, task: str) -> Any:
        """Return the spec of a model that reads long examples in windows, for a task with an output a position.

        Raises:
            ValueError: if this kind of input has no windows.
        """
        raise ValueError(f"{task} needs a backbone that takes texts; this one takes {self.name}s.")

    def default_pooling(self, spec: Any) -> str:
        """Return how a head pools the features of a backbone if it is not told: "avg", or another of `tltk.head`."""
        return "avg"

    def mask(self, inputs: Any, spec: Any) -> Any:
        """Tell real positions from padding, in a Keras graph: bool [batch, positions]; None where nothing is padded."""
        return None

    def notes(self, source: Source, spec: Any) -> str:
        """Say what a user should know about a source before training, such as texts that are too long; or nothing."""
        return ""

    @abstractmethod
    def request_names(self, spec: Any) -> tuple[str, ...]:
        """Return the names of the string inputs of a SavedModel, such as ("image_bytes",)."""

    @abstractmethod
    def request_reader(self, spec: Any) -> tuple[Callable[..., Any], list[Any]]:
        """Return what reads requests in a graph, and the lookup tables that a SavedModel has to keep track of.

        Returns:
            A function of string tensors [batch], one for each of `request_names`, that returns a
            `tltk.modalities.requests.Request`: inputs of the network, which requests are valid, an error for each
            other one, and the decoder's context. A request that cannot be read must not spoil the others.
        """

    @abstractmethod
    def sample_requests(self, spec: Any, *, count: int, seed: int) -> list[tuple[bytes, ...]]:
        """Make requests to check an export with: `count` good ones, and some that cannot be read."""

    @abstractmethod
    def from_requests(self, requests: Sequence[tuple[bytes, ...]], spec: Any, folder: Path) -> Source:
        """Turn requests into a source, so that `tltk.predict` can answer what an export was asked.

        Args:
            requests: strings of each, as many as `request_names`.
            spec: of the model.
            folder: for files; it lives as long as the source.

        Returns:
            A source whose `ids` are the numbers of the requests, as strings; without those that no source can hold.
        """

    @abstractmethod
    def to_config(self, spec: Any, folder: Path) -> dict[str, Any]:
        """Return a spec as plain JSON values; what is too large for them goes into files of `folder`."""

    @abstractmethod
    def from_config(self, config: dict[str, Any], folder: Path) -> Any:
        """Bring a spec back from what `to_config` gave."""

    def about(self, spec: Any) -> dict[str, Any]:
        """Describe the network's input as plain JSON values, for the file beside an exported network."""
        return {"name": spec.name, "shape": [None, *spec.shape], "dtype": spec.dtype}


MODALITIES: Registry[Modality] = Registry(
    "modality",
    "tltk.register_modality(MyModality())",
    builtins=("tltk.modalities.image.modality", "tltk.modalities.text.modality"),
)


def register_modality(modality: Modality) -> None:
    """Add a kind of input.

    Args:
        modality: an instance of a subclass of `tltk.Modality`.

    Raises:
        TypeError: if it is not an instance of `Modality`.
        ValueError: if its name is taken.
    """
    check.kind_of("modality", modality, Modality, hint="Pass an instance, such as MyModality().")
    MODALITIES.register(modality.name, modality)


def modality_of(spec: Any) -> Modality:
    """Return the modality whose specs are of this type.

    Raises:
        ValueError: if there is none, with the way to register one.
    """
    for modality in MODALITIES.values():
        if isinstance(spec, modality.spec_type):
            return modality
    known = check.listing(modality.spec_type.__name__ for modality in MODALITIES.values())
    raise ValueError(
        f"no modality takes a {type(spec).__name__}; known specs: {known}. Register yours with "
        "tltk.register_modality(MyModality())."
    )


def named_modality(name: str) -> Modality:
    """Return the modality with a name, as `Source.modality` holds it.

    Raises:
        ValueError: for an unknown name, with the way to register one.
    """
    return MODALITIES.get(name)


def drop_invalid(
    source: Source, *, max_invalid_fraction: float, known: Sequence[InvalidExample] = ()
) -> tuple[Source, tuple[InvalidExample, ...]]:
    """Leave out the examples of a source that cannot be used.

    Args:
        source: of any modality.
        max_invalid_fraction: fraction of invalid examples above which the source is refused: something larger is wrong
            then.
        known: invalid examples that are known already.

    Returns:
        The source, with nothing invalid left to report, and its invalid examples: those its file's reader left out, and
        those that validation finds.

    Raises:
        ValueError: listing the first invalid examples, if their fraction is above `max_invalid_fraction`.
    """
    check.kind_of("source", source, Source)
    check.within("max_invalid_fraction", max_invalid_fraction, low=0, high=1)
    valid, found = named_modality(source.modality).validate(source)
    invalid = (*known, *source.invalid, *found)
    total = len(source) + len(source.invalid)
    if len(invalid) > max_invalid_fraction * total:
        raise ValueError(
            f"{len(invalid)} of {total} examples cannot be used, more than `max_invalid_fraction` "
            f"({max_invalid_fraction:g}) allows: {listing(invalid)}"
        )
    return replace(valid, invalid=()), invalid
