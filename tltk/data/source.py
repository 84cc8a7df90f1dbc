"""The record of what a source holds: examples and labels, nothing decoded yet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tltk.data.targets import Targets, as_targets
from tltk.foundation import checks as check
from tltk.specs import InvalidExample, LabelSpec

STORAGES = ("files", "arrays", "stream")
PARTS = ("train", "val", "test")
_NOUNS = {"files": "{} files", "arrays": "{}s in memory", "stream": "{}s of a stream"}


@dataclass(frozen=True, eq=False)
class Source:
    """Examples and what they are labelled with, in a fixed order; nothing is decoded yet.

    Args:
        modality: name of the kind of input: "image", "text", or one that was registered with `tltk.register_modality`.
        storage: where examples lie: "files" (`examples` are paths), "arrays" (in memory), or "stream" (read in their
            stored order, such as a TensorFlow Datasets builder).
        examples: anything with a length that takes an array of indices: an object array of paths or texts (texts in
            words: tuples of words; pairs of texts: [n, 2]), pixels [n, height, width, channels], `StoredExamples`.
        targets: a `Targets` object, or an array of what `labels` says: int32 [n] of classes, float32 [n, k] of several
            labels (0 and 1) or numbers, object [n] of tuples of `Span`; None if unlabelled.
        labels: what the targets mean; None if unlabelled.
        parts: "train", "val" or "test" for each example, for folders that came split; else None.
        ids: a name for each example in reports, such as "cats/3.jpg"; None means its number.
        invalid: rows of its file that could not be used and are in none of the above.

    Raises:
        ValueError: if lengths differ, or targets come without labels; everything is listed.
    """

    modality: str
    storage: str
    examples: Any
    targets: Any = None
    labels: LabelSpec | None = None
    parts: np.ndarray | None = None
    ids: np.ndarray | None = None
    invalid: tuple[InvalidExample, ...] = ()

    def __post_init__(self) -> None:
        check.one_of("storage", self.storage, STORAGES)
        problems = check.Problems()
        for name in ("targets", "parts", "ids"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.examples):
                problems.add(f"`{name}` must hold {len(self.examples)} values, one an example. Received: {len(values)}")
        if (self.targets is None) != (self.labels is None):
            problems.add("`targets` and `labels` come together: give both or neither")
        problems.raise_if_any()
        if self.targets is not None and self.labels is not None:
            object.__setattr__(self, "targets", as_targets(self.targets, self.labels))

    def __len__(self) -> int:
        return len(self.examples)

    def __repr__(self) -> str:
        return f"<Source of {self.describe().splitlines()[0]}>"

    def subset(self, indices: np.ndarray | list[int]) -> Source:
        """Return the examples with these numbers, in that order; what was invalid in the file stays with the whole.

        Args:
            indices: numbers in [0, n), or a bool for each example.

        Returns:
            A source of the same labels.
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
        )

    def id_of(self, index: int) -> str:
        """Return the id of an example for reports and errors."""
        name = index if self.ids is None else self.ids[index]
        return name if isinstance(name, str) else f"example {name}"

    def counts(self) -> dict[str, int]:
        """Return the examples of each class, or the entities of each type; empty for other labels."""
        return {} if self.targets is None or self.labels is None else self.targets.counts(self.labels)

    def describe(self) -> str:
        """Return a few lines a person can read: how many examples, of what, by class and by part."""
        noun = _NOUNS[self.storage].format(self.modality)
        meaning = "unlabelled" if self.labels is None else self.targets.describe(self.labels)
        lines = [f"{len(self):,} {noun}, {meaning}"]
        if self.parts is not None:
            counts = [(part, int((self.parts == part).sum())) for part in PARTS]
            lines.append("parts: " + ", ".join(f"{part} {count:,}" for part, count in counts if count))
        by_label = self.counts()
        width = max((len(name) for name in by_label), default=0)
        lines += [f"  {name:<{width}}  {count:,}" for name, count in by_label.items()]
        return "\n".join(lines)
