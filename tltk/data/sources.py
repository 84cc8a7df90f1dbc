"""Sources: what the examples are and where, nothing decoded yet."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tltk import _check as check
from tltk.data import tables
from tltk.specs import Labels

PARTS = ("train", "val", "test")
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")
_PART_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True, eq=False)
class Source:
    """Examples and their labels; made by the `from_` functions.

    Args:
        kind: "image_files", "image_arrays", "texts" or "tfds".
        items: what the examples are read from: paths (str), arrays [n, h, w, c] or [n, h, w], texts, or None for
            "tfds", which is read as a stream.
        index: int64 [examples], rows of `items` (or positions in the stream), in order.
        targets: int32 [examples] class indices, float32 [examples, columns] 0/1 vectors or numbers, or None.
        labels: what the targets mean, or None.
        parts: "train", "val" or "test" for each example, or None if it is to be split.
        names: what reports call each example; None calls it by its path or number.
        stream: for "tfds": builds a tf.data.Dataset of encoded pictures, always in the same order.
    """

    kind: str
    items: Any
    index: np.ndarray
    targets: np.ndarray | None = None
    labels: Labels | None = None
    parts: np.ndarray | None = None
    names: np.ndarray | None = None
    stream: Callable[[], Any] | None = None

    def __len__(self) -> int:
        return len(self.index)

    def subset(self, chosen: Any) -> "Source":
        """Keep the examples at these positions, in this order; nothing is copied but the index.

        Args:
            chosen: int positions, or a bool mask.

        Returns:
            A source.
        """

        def take(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[chosen]

        return replace(
            self, index=self.index[chosen], targets=take(self.targets), parts=take(self.parts), names=take(self.names)
        )

    def name_of(self, position: int) -> str:
        """Say what reports call the example at a position."""
        if self.names is not None:
            return str(self.names[position])
        if self.kind == "image_files":
            return str(self.items[self.index[position]])
        return f"example {self.index[position]}"

    def describe(self) -> str:
        """Say how many examples there are, of each class or column."""
        lines = [f"{len(self):,} {self.kind.replace('_', ' ')}"]
        if self.labels is None or self.targets is None:
            return lines[0] + ", unlabelled"
        if self.labels.kind == "number":
            for column, name in enumerate(self.labels.names):
                values = self.targets[:, column]
                lines.append(f"  {name}: {values.min():.6g} … {values.max():.6g}, mean {values.mean():.6g}")
            return "\n".join(lines)
        for name, count in zip(self.labels.names, self.class_counts(), strict=True):
            lines.append(f"  {name}: {count:,}")
        return "\n".join(lines)

    def class_counts(self) -> np.ndarray:
        """Count the examples of each class; int64 [classes]."""
        if self.labels is None or self.targets is None or self.labels.kind == "number":
            raise ValueError("only a source with class labels has class counts.")
        if self.labels.kind == "multi":
            return (self.targets > 0.5).sum(0)
        return np.bincount(self.targets, minlength=len(self.labels))


def from_folder(folder: str | Path, *, labelled: bool = True) -> Source:
    """Read a folder of pictures with a sub-folder a class, or with train/, val/ and test/ that hold such sub-folders.

    Args:
        folder: JPEG, PNG, GIF, BMP and WebP files are found at any depth below the class; hidden files are not.
        labelled: False takes every picture below the folder, without labels, to predict on.

    Returns:
        A source, its classes sorted by name.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no pictures, only one class, or parts with different classes.

    Example:
        >>> from_folder("no/such/folder")
        Traceback (most recent call last):
        ...
        FileNotFoundError: there is no folder no/such/folder
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder {folder}")
    if not folder.is_dir():
        raise ValueError(f"`folder` must be a folder. {folder} is a file; from_csv and from_jsonl read tables.")
    if not labelled:
        return _of_files(_pictures(folder, folder))
    parts = {_PART_NAMES[entry.name.lower()]: entry for entry in _folders(folder) if entry.name.lower() in _PART_NAMES}
    if "train" in parts:
        return _from_parts(folder, parts)
    paths, targets, classes = _classes(folder)
    return _of_files(paths, targets=np.array(targets, "int32"), labels=Labels(classes))


def from_files(paths: str | Path | list[str | Path]) -> Source:
    """Take pictures by their paths, without labels, to predict on.

    Args:
        paths: a picture, a folder of pictures, or a list of both.

    Returns:
        An unlabelled source.

    Raises:
        FileNotFoundError: naming every path that does not exist.
        ValueError: if a folder holds no pictures.

    Example:
        >>> from_files(["a.jpg", "b.jpg"])
        Traceback (most recent call last):
        ...
        FileNotFoundError: these paths do not exist: a.jpg, b.jpg
    """
    given = [Path(path) for path in (paths if isinstance(paths, list | tuple) else [paths])]
    missing = [path for path in given if not path.exists()]
    if missing:
        plural = "these paths do" if len(missing) > 1 else "this path does"
        raise FileNotFoundError(f"{plural} not exist: {check.listing(missing)}")
    if not given:
        raise ValueError("`paths` holds no path. Received: []")
    found: list[Path] = []
    for path in given:
        found += _pictures(path, path) if path.is_dir() else [path]
    return _of_files(found)


def from_arrays(x: Any, y: Any = None, *, labels: Any = None, kind: str = "single") -> Source:
    """Take pictures from memory.

    Args:
        x: uint8 or float [n, height, width, 3], [n, height, width, 1] or [n, height, width], pixels in [0, 255].
        y: class indices or names [n], 0/1 vectors [n, labels], or numbers [n] or [n, columns]; None to predict.
        labels: names in the order of the indices or columns, or a `Labels` record; by default the sorted values of `y`.
        kind: "single", "multi" or "number".

    Returns:
        A source over the arrays themselves, not a copy.

    Raises:
        TypeError: if `x` is no array of numbers.
        ValueError: naming what does not fit: rank, length, values, names.

    Example:
        >>> from_arrays(np.zeros((2, 8, 8, 3), "uint8"), ["cat", "dog"]).labels.names
        ('cat', 'dog')
    """
    x = np.asarray(x)
    if x.dtype.kind not in "uif":
        raise TypeError(f"`x` must hold numbers. Received: dtype {x.dtype}")
    problems = check.Problems()
    if x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[-1] not in (1, 3)):
        problems.add(f"`x` must be [n, height, width, 3 or 1] or [n, height, width]. Received: shape {x.shape}")
    elif not x.size:
        problems.add(f"`x` holds no pictures. Received: shape {x.shape}")
    elif x.dtype.kind == "f" and 0 < np.nanmax(x[:100]) <= 1:
        problems.add("`x` must hold pixels in [0, 255]; these look like [0, 1]. Pass x * 255.")
    problems.raise_if_any()
    index = np.arange(len(x))
    if y is None:
        return Source("image_arrays", x, index)
    targets, found = tables.targets(np.asarray(y), labels=labels, kind=kind, count=len(x))
    return Source("image_arrays", x, index, targets, found)


def from_csv(
    file: str | Path, *, input: str = "path", label: str | list[str] | None = "label", kind: str = "single",
    separator: str = ";", root: str | Path | None = None,
) -> Source:
    """Read a CSV table of picture paths (or texts) and labels.

    Args:
        file: UTF-8, with a heading.
        input: column of the paths; or of texts, if that column is called "text".
        label: column of the labels (for "number", also a list of columns); None for an unlabelled source.
        kind: "single", "multi" (several names in a cell) or "number".
        separator: between names in a "multi" cell.
        root: what relative paths are relative to; the default is the table's own folder.

    Returns:
        A source whose examples are called by their row.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the line of a wrong encoding, missing columns, empty cells, numbers that are none, and
            paths that do not exist, all with their rows.

    Example:
        >>> from_csv("no.csv")
        Traceback (most recent call last):
        ...
        FileNotFoundError: there is no file no.csv
    """
    rows = tables.read_csv(Path(file))
    return _from_rows(Path(file), rows, input=input, label=label, kind=kind, separator=separator, root=root)


def from_jsonl(
    file: str | Path, *, input: str = "path", label: str | list[str] | None = "label", kind: str = "single",
    separator: str = ";", root: str | Path | None = None,
) -> Source:
    """Read a file with one JSON object a line: picture paths (or texts) and labels.

    Args:
        file: UTF-8.
        input: key of the paths; or of texts, if that key is called "text".
        label: key of the labels (for "number", also a list of keys); None for an unlabelled source.
        kind: "single", "multi" (a list, or names in one text) or "number".
        separator: between names in a "multi" text.
        root: what relative paths are relative to; the default is the file's own folder.

    Returns:
        A source whose examples are called by their row.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: as `from_csv`, and naming every line that is no JSON object.

    Example:
        >>> from_jsonl("no.jsonl")
        Traceback (most recent call last):
        ...
        FileNotFoundError: there is no file no.jsonl
    """
    rows = tables.read_jsonl(Path(file))
    return _from_rows(Path(file), rows, input=input, label=label, kind=kind, separator=separator, root=root)


def _from_rows(
    file: Path, rows: list[tables.Row], *, input: str, label: Any, kind: str, separator: str, root: Any
) -> Source:
    values = tables.column(file, rows, input)
    targets, labels = tables.label_columns(file, rows, label, kind=kind, separator=separator)
    names = np.array([row.where for row in rows], object)
    if input == "text":
        return Source("texts", np.array(values, object), np.arange(len(rows)), targets, labels, names=names)
    base = Path(root) if root is not None else file.parent
    paths = [base / str(value) for value in values]
    problems = check.Problems()
    for row, path in zip(rows, paths, strict=True):
        if not path.is_file():
            problems.add(f"{row.where}: there is no file {path}")
    problems.raise_if_any(f"{file} names {len(problems.found)} files that do not exist:")
    names = np.array([f"{path} ({row.where})" for row, path in zip(rows, paths, strict=True)], object)
    return replace(_of_files(paths), targets=targets, labels=labels, names=names)


def _from_parts(folder: Path, parts: dict[str, Path]) -> Source:
    found = {part: _classes(place) for part, place in sorted(parts.items(), key=lambda item: PARTS.index(item[0]))}
    expected = found["train"][2]
    problems = check.Problems()
    for part, (_, _, classes) in found.items():
        lacking, unknown = set(expected) - set(classes), set(classes) - set(expected)
        if unknown:
            problems.add(f"{part}/ has classes that train/ has not: {check.listing(sorted(unknown))}")
        if lacking:
            problems.add(f"{part}/ lacks classes that train/ has: {check.listing(sorted(lacking))}")
    problems.raise_if_any(f"the parts of {folder} have different classes:")
    paths = [path for part in found for path in found[part][0]]
    targets = np.array([target for part in found for target in found[part][1]], "int32")
    names = np.array([part for part in found for _ in found[part][0]], object)
    return _of_files(paths, targets=targets, labels=Labels(expected), parts=names)


def _classes(folder: Path) -> tuple[list[Path], list[int], tuple[str, ...]]:
    places = _folders(folder)
    if not places:
        loose = sum(1 for entry in folder.iterdir() if entry.suffix.lower() in SUFFIXES)
        hint = f" It holds {loose} pictures itself; labelled=False takes them without labels." if loose else ""
        raise ValueError(f"{folder} has no sub-folders, and each class needs one.{hint}")
    paths: list[Path] = []
    targets: list[int] = []
    problems = check.Problems()
    for number, place in enumerate(places):
        found = [entry for entry in sorted(place.rglob("*")) if _is_picture(entry, place)]
        if not found:
            problems.add(f"{place} holds no picture ({', '.join(SUFFIXES)})")
        paths += found
        targets += [number] * len(found)
    if len(places) == 1:
        problems.add(f"{folder} has one class only, {places[0].name!r}; there is nothing to tell apart")
    problems.raise_if_any()
    return paths, targets, tuple(place.name for place in places)


def _folders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _pictures(place: Path, named: Path) -> list[Path]:
    found = [entry for entry in sorted(place.rglob("*")) if _is_picture(entry, place)]
    if not found:
        raise ValueError(f"{named} holds no picture ({', '.join(SUFFIXES)}).")
    return found


def _is_picture(path: Path, below: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(below).parts)
    return not hidden and path.suffix.lower() in SUFFIXES and not path.is_dir()


def _of_files(paths: list[Path], **fields: Any) -> Source:
    return Source("image_files", np.array([str(path) for path in paths], object), np.arange(len(paths)), **fields)
