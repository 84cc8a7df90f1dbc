"""The base class of modalities (kinds of input, such as images and texts) and their registry.

All code that depends on the kind of input is in a modality: no other module asks whether something is text.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tltk.data.fingerprints import fingerprints
from tltk.data.invalid import by_reason
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation import display
from tltk.foundation.errors import InvalidInput
from tltk.foundation.registry import Registry
from tltk.modalities.context import Context
from tltk.modalities.requests import TensorRequests
from tltk.modalities.traits import Traits
from tltk.pipeline.readers import Reader
from tltk.pipeline.user_dataset import UserDataset
from tltk.specs import InvalidExample


class Modality(ABC):
    """Base class of kinds of input: how examples are validated, read, augmented, requested and stored.

    Subclass it and pass an instance to `tltk.register_modality`; docs/extend.md has a complete example.

    Attributes:
        name: `Source.modality`, such as "image".
        spec_type: Class of the frozen records that describe the input format of a model. A spec has `name`, `dtype` and
            `shape` of the network's input (None for axes that vary), and `describe()`.
        has_lengths: Whether examples differ in length, so that the batch size can be a budget of tokens.
        learning_rate: Learning rate of the second phase of the default recipe.
        default_backbone: Name of the default backbone of the command line.
        has_pictures: Whether `picture` returns images that predictions can be drawn on.
        shows_attention: Whether reports draw examples by `attention_picture`, also for tasks that name no worst ones.
        max_difference: Largest difference of near duplicates, see `differences`; without it, of the cosine distance.
    """

    name: ClassVar[str]
    spec_type: ClassVar[type]
    has_lengths: ClassVar[bool] = False
    learning_rate: ClassVar[float] = 3e-4
    default_backbone: ClassVar[str] = ""
    has_pictures: ClassVar[bool] = False
    shows_attention: ClassVar[bool] = False
    max_difference: ClassVar[float] = 0.02

    def check(self, source: Source, spec: Any, argument: str) -> None:
        """Raise unless a source holds inputs that a model accepts.

        Args:
            source: Source to check.
            spec: Input format of the model.
            argument: Argument that holds the source, for the error message.

        Raises:
            InvalidInput: If the modality differs.
        """
        if source.modality != self.name:
            raise InvalidInput(
                f"`{argument}` holds {check.plural(source.modality)}, but the model takes {check.plural(self.name)}."
            )

    @abstractmethod
    def validate(self, source: Source) -> tuple[Source, tuple[InvalidExample, ...]]:
        """Find the examples that cannot be used, without decoding them.

        Args:
            source: Source of this modality.

        Returns:
            The source without its invalid examples, and the invalid examples with reasons.
        """

    @abstractmethod
    def reader(self, source: Source, spec: Any) -> Reader:
        """Return a reader, which reads and decodes the examples of a source in any order."""

    def from_dataset(self, dataset: tf.data.Dataset, spec: Any, *, batch_size: Any) -> UserDataset:
        """Check a user's own dataset and convert it to batches in the input format of a model.

        Raises:
            InvalidInput: If the dataset yields something else; the message says what was expected.
        """
        raise InvalidInput(f"{check.plural(self.name)} cannot be read from a tf.data.Dataset: pass a Source.")

    def input_problem(self, spec: Any, low: float, high: float, *, is_first: bool) -> str:
        """Return what is wrong with the inputs of a batch of a user's own dataset; "" if nothing is.

        Args:
            spec: Input format of a model.
            low: Lowest value of the batch; NaN if a value is not finite.
            high: Highest value.
            is_first: Whether the batch is one of the first, from which the range of all values is guessed.
        """
        return ""

    def source(self, inputs: Any, spec: Any) -> Source:
        """Convert the inputs of `tltk.predict` to an unlabelled source.

        Args:
            inputs: Paths, arrays, strings … of this modality.
            spec: Input format of the model.

        Raises:
            InvalidType: If `inputs` has an unsupported type.
        """
        check.instance_of("inputs", inputs, Source, hint="Pass a Source.")
        return inputs

    def example_input(self, source: Source, index: int) -> Any:
        """Return the input of one example as a person looks at it; default: as the source stores it.

        Args:
            source: Source of this modality.
            index: Index of the example, from 0.

        Raises:
            InvalidInput: If it cannot be decoded.
        """
        return source.examples[index]

    def picture(self, source: Source, index: int) -> np.ndarray | None:
        """Return the input of one example as an image that predictions can be drawn on; default: None.

        Args:
            source: Source of this modality.
            index: Index of the example, from 0.

        Returns:
            uint8 [height, width, 3]; None if this example cannot be shown.

        Raises:
            InvalidInput: If it cannot be decoded.
        """
        return None

    def attention_picture(self, inputs: np.ndarray, spec: Any, attention: np.ndarray | None, note: str) -> np.ndarray:
        """Return an input of the network as an image that shows what a prediction depends on.

        Args:
            inputs: One element, as the network reads it.
            spec: Input format of the model.
            attention: How much the prediction depends on each position of the features, float32 [height, width] in
                [0, 1]; None if the features have no positions.
            note: Text to write on it, such as which window of a recording it is; or "".

        Returns:
            uint8 [height, width, 3].

        Raises:
            InvalidInput: By default: only modalities with `shows_attention` have such pictures.
        """
        raise InvalidInput(f"{check.plural(self.name)} have no pictures that show attention.")

    def input_text(self, source: Source, index: int) -> str | None:
        """Return the input of one example as text, to show it beside its prediction; None if it is not text."""
        return None

    def cell(self, value: Any) -> Any:
        """Return the input of an example as a cell of a table in a notebook: text, or HTML of type `markupsafe.Markup`.

        Args:
            value: What `example_input` returned.
        """
        return display.shortened(value)

    def context(self, source: Source, reader: Reader, examples: np.ndarray, elements: np.ndarray) -> Context:
        """Build the context that the decoder of a task needs for some examples.

        Args:
            source: Source of the examples.
            reader: Reader of the source.
            examples: int64 [n], consecutive indices of examples.
            elements: int64 [m], indices of all of their elements.

        Returns:
            The context, with examples counted from 0.
        """
        return Context(tf.constant(len(examples), tf.int64))

    def dataset_context(self, data: tf.data.Dataset, spec: Any, count: int) -> Context:
        """Build the context of a batch of a user's dataset.

        Args:
            data: The dataset of the user.
            spec: Input format of the model.
            count: Examples of the batch.

        Returns:
            The context; default: one element for each example.

        Raises:
            InvalidInput: If the decoder needs something that is not known of a dataset.
        """
        return Context(tf.constant(count, tf.int64))

    def traits(self, source: Source, spec: Any = None) -> Traits:
        """Look at every example once, for `tltk.inspect`; default: find the examples that cannot be used.

        Args:
            source: Source of this modality.
            spec: Input format of a model, adapted to the source; None if there is none.
        """
        reasons = {example.example_id: example.reason for example in self.validate(source)[1]}
        names = [source.id_of(row) for row in range(len(source))]
        return Traits(undecodable={row: reasons[name] for row, name in enumerate(names) if name in reasons})

    def content_digests(self, source: Source, rows: np.ndarray) -> list[str]:
        """Digest the contents of some examples, so that equal ones have equal digests.

        Args:
            source: Source of this modality.
            rows: int64 [k], ascending.

        Returns:
            A string for each row; "" for those that cannot be read. Default: digests of files and values as they are.
        """
        return fingerprints(source.subset(rows)) or [""] * len(rows)

    def differences(self, first: Any, second: Any) -> np.ndarray | None:
        """Return how much examples differ from others, float32 [k]; below `max_difference`, they are near duplicates.

        Args:
            first: Sketches of k examples, see `Traits`.
            second: Sketches of k others.

        Returns:
            None if examples of this modality can be compared by their features only.
        """
        return None

    def default_augmentation(self) -> tuple[Any, ...]:
        """Return the default augmentations of a training phase."""
        return ()

    def check_augmentation(self, augmentations: Sequence[Any], spec: Any) -> None:
        """Raise unless the augmentations can be applied to this kind of input.

        Args:
            augmentations: Those of one phase.
            spec: Input format of the backbone.

        Raises:
            InvalidInput: If any cannot; they are listed.
        """
        if augmentations:
            names = check.listing(getattr(augmentation, "name", augmentation) for augmentation in augmentations)
            raise InvalidInput(f"`augment`: {names} cannot be applied to {check.plural(self.name)}.")

    def value_range(self, spec: Any) -> tuple[float, float] | None:
        """Return the lowest and highest value of inputs, which augmentations keep to; None if they are not limited."""
        return None

    def without_windows(self, spec: Any, source: Source | None = None) -> Any:
        """Adapt a spec so that every example is one element, for one feature vector per example.

        Args:
            spec: Input format of a backbone or model.
            source: Source of the examples, if `spec` is not yet adapted to a task.
        """
        return spec

    def with_overlap(self, spec: Any, overlap: Any) -> Any:
        """Adapt a spec to reading overlong examples in windows.

        Args:
            spec: Input format of a model.
            overlap: How much two consecutive windows share, in the unit of the modality: tokens, seconds.

        Raises:
            InvalidInput: If this kind of input has no windows, or `overlap` is out of range.
        """
        raise InvalidInput(f"`overlap` is for texts and sounds; the model takes {check.plural(self.name)}.")

    def windows(self, source: Source, spec: Any) -> Source:
        """Return a source whose examples are the windows of the examples of another one.

        Args:
            source: Source of this modality.
            spec: Input format of a model: length and overlap of the windows.

        Raises:
            InvalidInput: If this kind of input has no windows with predictions of their own.
        """
        raise InvalidInput(f"`per_window=True` is for sounds; the model takes {check.plural(self.name)}.")

    def times(self, source: Source) -> np.ndarray | None:
        """Return first and last second (exclusive) of each example in its recording, float64 [n, 2]; None without."""
        return None

    def has_pairs(self, source: Source) -> bool:
        """Return whether each example of a source is a pair of inputs, such as a question and a context."""
        return False

    def with_pairs(self, spec: Any) -> Any:
        """Adapt a spec to pairs of inputs.

        Raises:
            InvalidInput: If this kind of input has no pairs.
        """
        raise InvalidInput(f"`pairs=True` needs a backbone that takes texts; this one takes {check.plural(self.name)}.")

    def with_windows(self, spec: Any, task: str) -> Any:
        """Adapt a spec to reading overlong examples in windows, for a task with one output per position.

        Raises:
            InvalidInput: If this kind of input has no windows.
        """
        raise InvalidInput(f"{task} needs a backbone that takes texts; this one takes {check.plural(self.name)}.")

    def with_letterbox(self, spec: Any, task: str) -> Any:
        """Adapt a spec to fitting every example into the input whole and undistorted, for a task with positions.

        Raises:
            InvalidInput: If examples of this modality are not images.
        """
        raise InvalidInput(f"{task} needs a backbone that takes images; this one takes {check.plural(self.name)}.")

    def spec_from_shape(self, shape: tuple[int | None, ...], dtype: str) -> Any:
        """Return the spec that the input of a user's own model must have, such as [height, width, 3]; None if unclear.

        Args:
            shape: Shape of one example.
            dtype: dtype of the input.
        """
        return None

    def spec_of_length(self, seconds: float | None, *, is_native: bool) -> Any:
        """Return the spec of inputs of this length, for a backbone that is chosen by its name.

        Args:
            seconds: Length of an input; None for the default.
            is_native: Whether the backbone takes inputs of this modality by itself.

        Returns:
            The spec; None to keep that of the backbone.

        Raises:
            InvalidInput: If inputs of this modality have no length in seconds.
        """
        if seconds is not None:
            raise InvalidInput(f"`seconds` is the length of sounds; the data are {check.plural(self.name)}.")
        return None

    def default_pooling(self, spec: Any) -> str:
        """Return the pooling that pooling="auto" of `tltk.head` means for a backbone, such as "avg"."""
        return "avg"

    def mask(self, inputs: Any, spec: Any) -> Any:
        """Build the padding mask in a Keras graph: bool [batch, positions], False for padding; None without padding."""
        return None

    def training_note(self, source: Source, spec: Any) -> str:
        """Return a note about a source to show before training, such as the number of overlong texts, or ""."""
        return ""

    def dataset_note(self, spec: Any) -> str:
        """Return a note to show before training on a `tf.data.Dataset` of the user, or ""."""
        return ""

    @abstractmethod
    def request_names(self, spec: Any) -> tuple[str, ...]:
        """Return the names of the string inputs of a SavedModel, such as ("image_bytes",).

        () if inputs cannot be encoded as strings; the SavedModel then has the signature `predict_tensor` only.
        """

    @abstractmethod
    def request_reader(self, spec: Any) -> tuple[Callable[..., Any], list[Any]]:
        """Return a function that reads requests in a graph, and the lookup tables that a SavedModel must track.

        Returns:
            A function of string tensors [batch], one for each of `request_names`, that returns a
            `tltk.modalities.requests.Request`: inputs of the network, which requests are valid, an error message for
            each invalid one, and the decoder's context. An invalid request must not affect the others.
        """

    @abstractmethod
    def sample_requests(self, spec: Any, *, count: int, seed: int) -> list[tuple[bytes, ...]]:
        """Generate requests to check an export with: `count` valid ones, and some that cannot be read."""

    def tensor_requests(self, spec: Any) -> tuple[TensorRequests, ...]:
        """Return the requests of further signatures of a SavedModel, of tensors instead of strings; default: none."""
        return ()

    def sample_inputs(self, spec: Any, *, count: int, seed: int) -> np.ndarray:
        """Generate valid inputs of the network, [count, …], to check an export with; default: read sample requests."""
        requests = self.sample_requests(spec, count=count, seed=seed)[:count]
        read, _ = self.request_reader(spec)
        return read(*map(tf.constant, zip(*requests, strict=True))).inputs.numpy()

    @abstractmethod
    def from_requests(self, requests: Sequence[tuple[bytes, ...]], spec: Any, folder: Path) -> Source:
        """Convert requests to a source, so that predictions of an export can be compared with those of `tltk.predict`.

        Args:
            requests: Strings of each request, one for each of `request_names`.
            spec: Input format of the model.
            folder: Folder for files; it exists as long as the source is used.

        Returns:
            A source whose `ids` are the indices of the requests, as strings; invalid requests may be missing.
        """

    @abstractmethod
    def to_config(self, spec: Any, folder: Path) -> dict[str, Any]:
        """Return a spec as JSON values; write large values, such as a vocabulary, to files in `folder`."""

    @abstractmethod
    def from_config(self, config: dict[str, Any], folder: Path) -> Any:
        """Rebuild a spec from the result of `to_config` and the files in `folder`."""

    def describe_input(self, spec: Any) -> dict[str, Any]:
        """Describe the network's input as JSON values, for the file beside an exported network."""
        return {"name": spec.name, "shape": [None, *spec.shape], "dtype": spec.dtype}


MODALITIES: Registry[Modality] = Registry(
    "modality",
    "tltk.register_modality(MyModality())",
    builtins=("tltk.modalities.image.modality", "tltk.modalities.text.modality", "tltk.modalities.audio.modality"),
)


def register_modality(modality: Modality) -> None:
    """Register a kind of input.

    Args:
        modality: Instance of a subclass of `tltk.Modality`.

    Raises:
        InvalidType: If `modality` is not an instance of `Modality`.
        InvalidInput: If its name is taken.
    """
    check.instance_of("modality", modality, Modality, hint="Pass an instance, such as MyModality().")
    MODALITIES.register(modality.name, modality, definition=type(modality))


def modality_of(spec: Any) -> Modality:
    """Return the modality of a spec, by its type.

    Raises:
        InvalidInput: If no modality has specs of this type.
    """
    for modality in MODALITIES.search():
        if isinstance(spec, modality.spec_type):
            return modality
    spec_types = check.listing(modality.spec_type.__name__ for modality in MODALITIES.values())
    raise InvalidInput(
        f"no modality has specs of type {type(spec).__name__}; known types: {spec_types}. Register your own modality "
        "with tltk.register_modality(MyModality())."
    )


def named_modality(name: str) -> Modality:
    """Return the modality registered under a name, such as `Source.modality`.

    Raises:
        InvalidInput: If no modality has this name.
    """
    return MODALITIES.get(name)


def drop_invalid(source: Source, *, max_invalid_fraction: float) -> tuple[Source, tuple[InvalidExample, ...]]:
    """Remove the examples of a source that cannot be used.

    Args:
        source: Source of any modality.
        max_invalid_fraction: Largest accepted fraction of invalid examples, in [0, 1]; more of them suggest a mistake,
            such as a wrong folder. Invalid annotations of images that can be used do not count.

    Returns:
        The source without invalid examples, and all invalid examples: those left out when the source was read, and
        those found here. `invalid` of the returned source is empty, so that a second call does not report the same
        examples twice.

    Raises:
        InvalidInput: If the fraction of invalid examples exceeds `max_invalid_fraction`; the first ones are listed.
    """
    check.instance_of("source", source, Source)
    check.within("max_invalid_fraction", max_invalid_fraction, low=0, high=1)
    valid, newly_invalid = named_modality(source.modality).validate(source)
    invalid = (*source.invalid, *newly_invalid)
    total = len(source) + sum(not example.is_annotation for example in source.invalid)
    lost = [example for example in invalid if not example.is_annotation]
    if len(lost) > max_invalid_fraction * total:
        raise InvalidInput(
            f"{len(lost)} of {total} examples cannot be used, more than `max_invalid_fraction` "
            f"({max_invalid_fraction:g}) allows:\n  " + "\n  ".join(by_reason(lost))
        )
    return replace(valid, invalid=()), invalid
