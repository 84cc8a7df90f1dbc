"""The record of a source: examples and their targets, not decoded yet."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tltk.data.exclude import Exclude, read_ids, unknown_note
from tltk.data.sample_weight import as_sample_weight, require_weight
from tltk.data.targets import Targets, as_targets
from tltk.foundation import checks as check
from tltk.foundation import display, familiar
from tltk.foundation.errors import InvalidInput, TltkError
from tltk.specs import InvalidExample, LabelSpec

log = logging.getLogger("tltk")

STORAGES = ("files", "arrays", "stream")
PARTS = ("train", "val", "test")
_SHOWN = 8  # examples in a notebook
_NOUNS = {"files": "{0} files", "arrays": "{1} in memory", "stream": "{1} in a stream"}


class Example(NamedTuple):
    """One example of a source.

    Attributes:
        id: Its name, such as "cats/3.jpg".
        input: The input as people see it: pixels uint8 [height, width, 3] in the size of the file, a text, a pair of
            texts.
        label: Name of the class, tuple of names, value or spans; None if the source is unlabelled.
    """

    id: str
    input: Any
    label: Any

    def __repr__(self) -> str:
        label = f"{self.label!r}" if isinstance(self.label, str) else display.shortened(self.label)
        return f"Example(id={self.id!r}, input={display.shortened(self.input)}, label={label})"


@familiar.attributes
@dataclass(frozen=True, eq=False)
class Source:
    """Examples and their targets, in a fixed order; files are not decoded yet.

    Args:
        modality: "image", "text", "audio", or a modality registered with `tltk.register_modality`.
        storage: Where examples are stored: "files" (`examples` are paths), "arrays" (in memory), or "stream" (read in
            their stored order, such as a TensorFlow Datasets builder).
        examples: Any object with a length that can be indexed with an array: an object array [n] of paths, of texts or
            of tuples of words, an object array [n, 2] of pairs of texts, pixels [n, height, width, channels], or
            `StoredExamples`.
        targets: A `Targets` object, or an array as `labels.type` requires: int32 [n] ("categorical"), float32 [n, k]
            of 0 and 1 ("multilabel") or of values ("regression"), object [n] of tuples of `Span` ("entities" and
            "answers"); None if unlabelled.
        labels: Type and names of the targets; None if unlabelled.
        parts: "train", "val" or "test" for each example, if the data is already split; else None.
        ids: Name of each example in reports, such as "cats/3.jpg"; None means its index.
        invalid: Rows of the file that could not be used; they are not among `examples`.
        sample_weight: Weight of each example in loss and metrics, float32 [n], at least 0; None if all count the same.
        value_range: Value of black and of white of images in memory; None means (0, 255).
        original_sizes: Height and width of images in memory before they were resized to one size, int32 [n, 2]; None if
            they were not.
        groups: A value for each example, [n]; those with equal values stay together in `split`, such as the windows of
            one recording. None if each may stand alone.

    Raises:
        InvalidInput: If lengths differ, only one of targets and labels is given, or a weight is negative or not finite;
            all problems are listed.
    """

    modality: str
    storage: str
    examples: Any
    targets: Any = None
    labels: LabelSpec | None = None
    parts: np.ndarray | None = None
    ids: np.ndarray | None = None
    invalid: tuple[InvalidExample, ...] = ()
    sample_weight: np.ndarray | None = None
    value_range: tuple[float, float] | None = None
    original_sizes: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        check.one_of("storage", self.storage, STORAGES)
        problems = check.Problems()
        for name in ("targets", "parts", "ids", "original_sizes", "groups"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.examples):
                problems.add(
                    f"`{name}` must have {len(self.examples)} values, one per example. Received: {len(values)}"
                )
        if (self.targets is None) != (self.labels is None):
            problems.add("`targets` and `labels` belong together: pass both or neither")
        if self.groups is not None and not _can_be_sorted(self.groups):
            problems.add(
                "`groups` must be texts or numbers, a value for each example. Received: None, NaN or both kinds"
            )
        problems.raise_if_any()
        if self.targets is not None and self.labels is not None:
            object.__setattr__(self, "targets", as_targets(self.targets, self.labels))
        if self.sample_weight is not None:
            object.__setattr__(
                self, "sample_weight", as_sample_weight(self.sample_weight, len(self.examples), self.id_of)
            )

    def __len__(self) -> int:
        return len(self.examples)

    def __repr__(self) -> str:
        return f"<Source of {self.describe().splitlines()[0]}>"

    def _repr_html_(self) -> str:
        modality = import_module("tltk.modalities.modality").named_modality(self.modality)
        summary, _, rest = self.describe().partition("\n")
        parts = f"; {rest.splitlines()[0]}" if self.parts is not None else ""
        shown = [
            (self.id_of(row), self._cell(modality, row), self._label_cell(row)) for row in range(min(len(self), _SHOWN))
        ]
        examples = display.Table(("example", "input", "label"), shown, title=f"The first {len(shown)}")
        return display.html(summary + parts, [display.Table(("class", "examples"), self.counts().items()), examples])

    def _cell(self, modality: Any, row: int) -> Any:
        try:
            return modality.cell(modality.example_input(self, row))
        except (TltkError, OSError) as error:
            return f"cannot be shown: {error}"

    def _label_cell(self, row: int) -> Any:
        if self.targets is None:
            return ""
        try:
            return self.targets.cell(row, self.labels)
        except (TltkError, OSError) as error:
            return f"cannot be shown: {error}"

    def __getitem__(self, index: Any) -> Any:
        """Look at one example, or select some.

        Args:
            index: A number, from -n to n - 1; or a slice, a list of numbers, or a bool for each example.

        Returns:
            An `Example` for a number, whose file is read and decoded now; otherwise a source, see `subset`.

        Raises:
            IndexError: If there is no such example.
            InvalidInput: If its file cannot be decoded.

        Examples:
            >>> from tltk import from_arrays
            >>> texts = from_arrays(["a fine day", "rain again", "more rain"], ["good", "bad", "bad"])
            >>> texts[-1].input, texts[-1].label, len(texts[:2])
            ('more rain', 'bad', 2)
        """
        if not isinstance(index, int | np.integer) or isinstance(index, bool):
            return self.subset(np.arange(len(self))[index])
        if not -len(self) <= index < len(self):
            raise IndexError(f"the source has {len(self)} examples, and no example {index}.")
        row = int(index) % len(self)
        # Only the modality can decode; it is loaded now, since this module knows no modality.
        modality = import_module("tltk.modalities.modality").named_modality(self.modality)
        return Example(self.id_of(row), modality.example_input(self, row), self.label_of(row))

    def __iter__(self) -> Iterator[Example]:
        return (self[row] for row in range(len(self)))

    def to_dataset(
        self,
        model: Any,
        *,
        batch_size: int | str = 32,
        shuffle: bool = False,
        augment: Any = (),
        seed: int = 0,
        cache: str | Path = "off",
        max_invalid_fraction: float = 0.1,
    ) -> Any:
        """Return a plain `tf.data.Dataset` for a model, or for your own training loop.

        Images that cannot be used are left out, with a warning that lists them.

        Args:
            model: A model from `tltk.assemble`, whose `model.keras.fit` takes the dataset: its task encodes the
                targets. Or an input spec, such as `backbone.input_spec`: targets are then those of the source.
            batch_size: Examples per batch; for texts also a budget such as "2048 tokens".
            shuffle: Whether each iteration over the dataset has a new order, which depends on `seed` and on how many
                iterations came before.
            augment: Augmentations of images, new ones in each iteration.
            seed: Seed of order and augmentation.
            cache: "off" decodes every example in each iteration; "memory" keeps decoded examples in memory, a path in a
                folder.
            max_invalid_fraction: Largest accepted fraction of unreadable examples, in [0, 1].

        Returns:
            Batches of (inputs, targets), with sample weights (inputs, targets, weights), or of inputs if the source is
            unlabelled. It knows its length, unless `batch_size` is a budget.

        Raises:
            InvalidInput: If the source does not fit the model, or an option is out of range.
        """
        build = import_module("tltk.models.source_dataset").to_dataset
        return build(
            self,
            model,
            batch_size=batch_size,
            shuffle=shuffle,
            augment=augment,
            seed=seed,
            cache=cache,
            max_invalid_fraction=max_invalid_fraction,
        )

    def subset(self, indices: np.ndarray | list[int]) -> Source:
        """Select examples. The invalid rows of the file are not part of the result.

        Args:
            indices: Indices in [0, n) in the order wanted, or a bool for each example.

        Returns:
            A source with the same labels.
        """
        indices = np.asarray(indices)
        indices = np.flatnonzero(indices) if indices.dtype == bool else indices.astype(np.int64)
        ids = np.arange(len(self)) if self.ids is None else self.ids
        targets: Targets | None = self.targets
        return replace(
            self,
            examples=self.examples[indices],
            targets=None if targets is None else targets.take(indices),
            parts=None if self.parts is None else self.parts[indices],
            ids=ids[indices],
            invalid=(),
            sample_weight=None if self.sample_weight is None else self.sample_weight[indices],
            original_sizes=None if self.original_sizes is None else self.original_sizes[indices],
            groups=None if self.groups is None else self.groups[indices],
        )

    def without(self, exclude: Exclude) -> Source:
        """Leave out some examples, such as those on the list that `tltk.inspect` writes.

        Args:
            exclude: File with one id per line, or a sequence of ids; None leaves out none.

        Returns:
            The source without these examples, also without those of `invalid`. Ids that do not exist are logged.

        Raises:
            NotFound: If the file does not exist.
            InvalidInput: If no example is left.

        Examples:
            >>> from tltk import from_arrays
            >>> texts = from_arrays(["a fine day", "rain again", "more rain"], ["good", "bad", "bad"])
            >>> len(texts.without(["example 1"]))
            2
        """
        if exclude is None:
            return self
        excluded = read_ids(exclude) if isinstance(exclude, str | Path) else list(exclude)
        names = [self.id_of(row) for row in range(len(self))]
        all_ids = {*names, *(example.example_id for example in self.invalid)}
        note = unknown_note(exclude, [name for name in excluded if name not in all_ids], known_id=next(iter(names), ""))
        if note:
            log.warning("%s", note)
        left_out = set(excluded)
        keep = np.array([name not in left_out for name in names], bool)
        if names and not keep.any():
            raise InvalidInput(f"`exclude` names all {len(names)} examples: none is left.")
        invalid = tuple(example for example in self.invalid if example.example_id not in left_out)
        return replace(self if keep.all() else self.subset(keep), invalid=invalid)

    def with_sample_weight(self, sample_weight: Any) -> Source:
        """Weigh the examples, such as those of a folder, which has no column for it.

        Args:
            sample_weight: One number per example, at least 0; None removes the weights. Loss and metrics count an
                example with the weight 2 twice, one with the weight 0 not at all.

        Returns:
            The same source with these weights.

        Raises:
            InvalidInput: If there is not one number per example, one is negative or not finite, or all are 0.

        Examples:
            >>> from tltk import from_arrays
            >>> texts = from_arrays(["a fine day", "rain again"], ["good", "bad"])
            >>> texts.with_sample_weight([1, 3]).sample_weight.tolist()
            [1.0, 3.0]
        """
        weighted = replace(self, sample_weight=sample_weight)
        require_weight(weighted.sample_weight, "sample_weight")
        return weighted

    def id_of(self, index: int) -> str:
        """Return the id of an example for reports and errors."""
        name = index if self.ids is None else self.ids[index]
        return name if isinstance(name, str) else f"example {name}"

    def label_of(self, index: int) -> Any:
        """Return the label of an example as a person reads it; None if the source is unlabelled."""
        return None if self.targets is None else self.targets.label(index, self.labels)

    def counts(self) -> dict[str, int]:
        """Return the number of examples per class, or of entities per type; empty for other label types."""
        return {} if self.targets is None or self.labels is None else self.targets.counts(self.labels)

    def describe(self) -> str:
        """Return a readable summary: number and type of examples, counts per part and per class."""
        noun = _NOUNS[self.storage].format(self.modality, check.plural(self.modality))
        targets = "unlabelled" if self.labels is None else self.targets.describe(self.labels)
        lines = [f"{len(self):,} {noun}, {targets}"]
        if self.parts is not None:
            counts = [(part, int((self.parts == part).sum())) for part in PARTS]
            lines.append("parts: " + ", ".join(f"{part} {count:,}" for part, count in counts if count))
        if self.sample_weight is not None and len(self):
            lines.append(f"sample weights from {self.sample_weight.min():g} to {self.sample_weight.max():g}")
        label_counts = self.counts()
        width = max((len(name) for name in label_counts), default=0)
        lines += [f"  {name:<{width}}  {count:,}" for name, count in label_counts.items()]
        return "\n".join(lines)


def _can_be_sorted(groups: Any) -> bool:
    """Tell whether groups are all texts or all numbers, so that they can be told apart."""
    values = np.asarray(groups)
    if values.dtype == object:
        return all(isinstance(value, str) for value in values) or all(map(check.is_number, values))
    return not (values.dtype.kind == "f" and np.isnan(values).any())
