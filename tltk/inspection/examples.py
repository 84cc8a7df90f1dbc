"""All examples of an inspection in one numbering: those of the source, then those of the test source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tltk.data.source import PARTS, Source
from tltk.modalities.modality import Modality, named_modality
from tltk.modalities.traits import Remark, Traits

TEST = "test: "  # before the ids of the test source


@dataclass(frozen=True, eq=False)
class Examples:
    """Sources and their traits; rows count through all of them.

    Args:
        sources: The source, and the test source if there is one.
        traits: Traits of each.
        names: Id of each example, object [n].
        parts: "train", "val" or "test" of each example, object [n].
        classes: Class of each example, int64 [n], in one numbering for all sources; -1 for unlabelled ones, None if the
            labels are not classes.
        class_names: Names of the classes.
        unreadable: Row → why the example cannot be used.
    """

    sources: tuple[Source, ...]
    traits: tuple[Traits, ...]
    names: np.ndarray
    parts: np.ndarray
    classes: np.ndarray | None
    class_names: tuple[str, ...]
    unreadable: dict[int, str]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def modality(self) -> Modality:
        """Modality of the examples."""
        return named_modality(self.sources[0].modality)

    @property
    def source_size(self) -> int:
        """Number of examples of the source itself, which come first."""
        return len(self.sources[0])

    @property
    def readable(self) -> np.ndarray:
        """Rows of the examples that can be used, int64, ascending."""
        return np.setdiff1d(np.arange(len(self)), np.array(list(self.unreadable), np.int64))

    @property
    def hashes(self) -> np.ndarray | None:
        """Perceptual hashes, uint64 [n]; None if the modality has none."""
        parts = [traits.hashes for traits in self.traits if traits.hashes is not None]
        return np.concatenate(parts) if len(parts) == len(self.traits) else None

    def sketches(self, rows: np.ndarray) -> Any:
        """Return the sketches at rows, int64 [k]: an array, or a list."""
        pieces: list[Any] = [None] * len(rows)
        for traits, inside, source_rows in zip(
            self.traits, *zip(*self._rows_by_source(rows), strict=True), strict=True
        ):
            if len(inside) and traits.sketches is not None:
                for position, sketch in zip(inside, traits.sketches[source_rows], strict=True):
                    pieces[position] = sketch
        return np.stack(pieces) if isinstance(pieces[0], np.ndarray) else pieces

    def digests(self, rows: np.ndarray) -> list[str]:
        """Return the digests of the contents at rows, int64 [k], ascending."""
        digests: list[str] = []
        for source, traits, (_, source_rows) in zip(self.sources, self.traits, self._rows_by_source(rows), strict=True):
            if traits.digests is not None:
                digests += [traits.digests[row] for row in source_rows]
            elif len(source_rows):
                digests += self.modality.content_digests(source, source_rows)
        return digests

    def is_digested(self) -> np.ndarray:
        """Return whether the digest of each row costs nothing, bool [n]."""
        digested = [np.full(len(source), traits.digests is not None) for source, traits in self._pairs()]
        return np.concatenate(digested)

    def label(self, row: int) -> Any:
        """Return the label of an example; None if it is unlabelled."""
        for source in self.sources:
            if row < len(source):
                return source.label_of(row)
            row -= len(source)
        return None

    def remarks(self) -> Iterator[tuple[Remark, int]]:
        """Yield the remarks of all sources, and the number of the first row of the source."""
        first = 0
        for source, traits in self._pairs():
            for remark in traits.remarks:
                yield remark, first
            first += len(source)

    def source_ids(self, rows: Sequence[int]) -> tuple[str, ...]:
        """Return the ids at those rows that belong to the source itself."""
        return tuple(str(self.names[row]) for row in rows if row < self.source_size)

    def _pairs(self) -> Iterator[tuple[Source, Traits]]:
        return zip(self.sources, self.traits, strict=True)

    def _rows_by_source(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield, for each source, the positions in `rows` that belong to it, and their rows in it."""
        first = 0
        for source in self.sources:
            inside = np.flatnonzero((rows >= first) & (rows < first + len(source)))
            yield inside, rows[inside] - first
            first += len(source)


def look_at(source: Source, test: Source | None, spec: Any) -> Examples:
    """Look at every example once.

    Args:
        source: Source of any modality.
        test: Examples of the final test, of the same modality, or None.
        spec: Input format of a model, adapted to the source, or None.
    """
    modality = named_modality(source.modality)
    sources = (source,) if test is None else (source, test)
    traits = tuple(modality.traits(one, spec) for one in sources)
    names = [source.id_of(row) for row in range(len(source))]
    parts = [source.parts if source.parts is not None else np.full(len(source), PARTS[0], object)]
    if test is not None:
        names += [f"{TEST}{test.id_of(row)}" for row in range(len(test))]
        parts.append(np.full(len(test), PARTS[-1], object))
    unreadable: dict[int, str] = {}
    for first, one in zip((0, len(source)), traits, strict=False):
        unreadable |= {first + row: reason for row, reason in one.undecodable.items()}
    classes, class_names = _classes(sources)
    return Examples(sources, traits, np.array(names, object), np.concatenate(parts), classes, class_names, unreadable)


def _classes(sources: tuple[Source, ...]) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Return the classes of all examples in one numbering, and their names; None if the labels are not classes."""
    names: dict[str, int] = {}
    numbers = []
    for source in sources:
        classes = None if source.targets is None else source.targets.classes()
        if source.labels is None or classes is None:
            numbers.append(np.full(len(source), -1, np.int64))
            continue
        numbers_of_names = np.array([names.setdefault(name, len(names)) for name in source.labels.names], np.int64)
        numbers.append(numbers_of_names[classes])
    all_classes = np.concatenate(numbers)
    return (all_classes if (all_classes >= 0).any() else None), tuple(names)
