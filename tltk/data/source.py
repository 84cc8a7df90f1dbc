"""The record of what a source holds: examples and labels, nothing decoded yet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tltk.foundation import checks as check
from tltk.specs import InvalidExample, LabelSpec

TEXT_KINDS = ("texts", "pairs", "words", "tokens")
KINDS = ("image_files", "image_arrays", "tfds", *TEXT_KINDS)
PARTS = ("train", "val", "test")
_NOUNS = {
    "image_files": "picture files",
    "image_arrays": "pictures in memory",
    "tfds": "pictures of a TFDS builder",
    "texts": "texts",
    "pairs": "pairs of texts",
    "words": "texts in words",
    "tokens": "tokenized texts",
}


@dataclass(frozen=True, eq=False)
class Source:
    """Examples and what they are labelled with, in a fixed order.

    `items` may be anything with a length that takes an array of indices: paths, pixels, or a reference into a
    TensorFlow Datasets builder that is read as a stream.

    Args:
        kind: "image_files", "image_arrays", "tfds", "texts", "pairs", "words" or "tokens".
        items: what an example is: paths (object array of str), pixels [n, h, w, c], `StoredExamples`, texts, pairs of
            texts [n, 2], tuples of words, or `Tokens`.
        targets: int32 [n] for one class each, float32 [n, k] for several classes (0/1) or numbers, object [n] of tuples
            of `Span` for entities and answers; None if unlabelled.
        labels: what the targets mean; None if unlabelled.
        parts: "train", "val" or "test" for each example, for folders that came split; else None.
        example_ids: a name for each example in reports, such as "cats/3.jpg"; None means its number.
        invalid: rows of its file that could not be used and are in none of the above.
    """

    kind: str
    items: Any
    targets: np.ndarray | None = None
    labels: LabelSpec | None = None
    parts: np.ndarray | None = None
    example_ids: np.ndarray | None = None
    invalid: tuple[InvalidExample, ...] = ()

    def __post_init__(self) -> None:
        check.one_of("kind", self.kind, KINDS)
        problems = check.Problems()
        for name in ("targets", "parts", "example_ids"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.items):
                problems.add(f"`{name}` must hold {len(self.items)} values, one an example. Received: {len(values)}")
        if (self.targets is None) != (self.labels is None):
            problems.add("`targets` and `labels` come together: give both or neither")
        problems.raise_if_any()

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return f"<Source of {self.describe().splitlines()[0]}>"

    def subset(self, indices: np.ndarray | list[int]) -> Source:
        """Return the examples with these numbers, in that order; what was bad in the file stays with the whole.

        Args:
            indices: numbers in [0, n), or a bool for each example.

        Returns:
            A source of the same labels.
        """
        indices = np.asarray(indices)
        indices = np.flatnonzero(indices) if indices.dtype == bool else indices.astype(np.int64)
        names = np.arange(len(self)) if self.example_ids is None else self.example_ids
        chosen: dict[str, Any] = {
            name: None if (old := getattr(self, name)) is None else old[indices] for name in ("targets", "parts")
        }
        return replace(self, items=self.items[indices], example_ids=names[indices], invalid=(), **chosen)

    def name_of(self, index: int) -> str:
        """Return the name of an example for reports and errors."""
        name = index if self.example_ids is None else self.example_ids[index]
        return name if isinstance(name, str) else f"example {name}"

    def counts(self) -> dict[str, int]:
        """Return the examples of each class, or the entities of each type; of anything else, nothing."""
        if self.targets is None or self.labels is None or self.labels.type in ("regression", "answers"):
            return {}
        if self.labels.type == "entities":
            marked = [span.label for spans in self.targets for span in spans]
            return {name: marked.count(name) for name in self.labels.names}
        single = self.labels.type == "categorical"
        found = np.bincount(self.targets, minlength=len(self.labels)) if single else self.targets.sum(0)
        return {name: int(count) for name, count in zip(self.labels.names, found, strict=True)}

    def describe(self) -> str:
        """Return a few lines a person can read: how many examples, of what, by class and by part."""
        lines = [f"{len(self):,} {_NOUNS[self.kind]}, {self._meaning()}"]
        if self.parts is not None:
            held = [(part, int((self.parts == part).sum())) for part in PARTS]
            lines.append("parts: " + ", ".join(f"{part} {count:,}" for part, count in held if count))
        counts = self.counts()
        width = max((len(name) for name in counts), default=0)
        lines += [f"  {name:<{width}}  {count:,}" for name, count in counts.items()]
        return "\n".join(lines)

    def _meaning(self) -> str:
        if self.labels is None:
            return "unlabelled"
        names = len(self.labels)
        if self.labels.type == "categorical":
            return f"{names} classes"
        if self.labels.type == "multilabel":
            return f"any of {names} labels each"
        if self.labels.type == "entities":
            return f"entities of {names} types"
        if self.labels.type == "answers":
            without = 0 if self.targets is None else sum(not spans for spans in self.targets)
            return f"{without} of them without an answer"
        return f"{names} number{'s' if names > 1 else ''} each: {check.listing(self.labels.names)}"
