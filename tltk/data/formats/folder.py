"""Sources from folders and files of images."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tltk.data import targets as raw
from tltk.data.source import PARTS, Source
from tltk.foundation import checks as check

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp")
_PART_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def from_folder(folder: str | Path, *, unlabelled: bool = False, classes: Sequence[str] | None = None) -> Source:
    """Take the pictures of a folder; the name of the sub-folder is the class.

    A folder that holds `train/`, `val/` (or `validation/`) and `test/` with the same classes in each keeps its
    parts: `split` gives them back. Files that are no pictures and names that begin with a dot are passed over.

    Args:
        folder: with one sub-folder a class, at any depth below it.
        unlabelled: take every picture below the folder, without labels, to predict on.
        classes: the classes in the order of the model's outputs, or some of them; None means all, sorted.

    Returns:
        A source of image files, in sorted order.

    Raises:
        FileNotFoundError: if the folder does not exist.
        NotADirectoryError: if it is a file.
        ValueError: if it holds no pictures, one class only, classes without pictures, or parts whose classes differ.
    """
    root = _folder(folder)
    if unlabelled:
        paths = _pictures(root)
        if not paths:
            raise ValueError(f"{root} holds no pictures ({', '.join(SUFFIXES)}).")
        return Source("image", "files", _objects(paths), ids=_names(paths, root))
    parts = _part_folders(root)
    tops = {folder: part for part, folder in parts.items()} if parts else {root: None}
    held = {top: _class_folders(top, classes) for top in tops}
    _same_classes(root, held)
    names = tuple(classes) if classes is not None else tuple(sorted(next(iter(held.values()))))
    rows = [
        (path, name, tops[top])
        for top, found in held.items()
        for name in sorted(found)
        for path in _pictures(found[name])
    ]
    paths = [path for path, _, _ in rows]
    ids = _names(paths, root)
    targets, labels = raw.categorical([name for _, name, _ in rows], names=names, place=lambda row: ids[row])
    kept = np.array([part for _, _, part in rows]) if parts else None
    return Source("image", "files", _objects(paths), targets, labels, kept, ids)


def from_files(paths: str | Path | Sequence[str | Path]) -> Source:
    """Take pictures to predict on: a file, a folder with everything below it, or a list of both.

    Args:
        paths: one or several; files are taken whatever their ending.

    Returns:
        An unlabelled source of image files, in the order given.

    Raises:
        FileNotFoundError: naming every path that does not exist.
        ValueError: if there is none, or folders hold no pictures.
    """
    given = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    missing = check.Problems()
    for path in given:
        if not path.exists():
            missing.add(f"{path} does not exist.")
    missing.raise_if_any(error=FileNotFoundError)
    found: list[str] = []
    for path in given:
        held = _pictures(path) if path.is_dir() else [str(path)]
        if not held:
            missing.add(f"{path} holds no pictures ({', '.join(SUFFIXES)}).")
        found += held
    missing.raise_if_any()
    if not found:
        raise ValueError("`paths` must name at least one picture. Received: []")
    return Source("image", "files", _objects(found), ids=_objects(found))


def _folder(folder: str | Path) -> Path:
    root = Path(folder)
    if not root.exists():
        near = [entry.name for entry in root.parent.iterdir()] if root.parent.is_dir() else []
        raise FileNotFoundError(f"{root} does not exist.{check.did_you_mean(root.name, near)}")
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is a file; from_folder takes a folder with one sub-folder a class.")
    return root


def _pictures(folder: Path) -> list[str]:
    found = []
    for top, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        chosen = sorted(name for name in files if name.lower().endswith(SUFFIXES) and not name.startswith("."))
        found += [os.path.join(top, name) for name in chosen]  # noqa: PTH118 - a million Path objects are slow
    return found


def _sub_folders(folder: Path) -> dict[str, Path]:
    found = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return {entry.name: entry for entry in found}


def _part_folders(root: Path) -> dict[str, Path]:
    """Find train, val and test folders; only if there is a train folder, and nothing else beside them."""
    found = _sub_folders(root)
    parts = {_PART_NAMES.get(name.lower()): folder for name, folder in found.items()}
    if None in parts or "train" not in parts or len(parts) != len(found) or len(found) < 2:
        return {}
    return {part: parts[part] for part in PARTS if part in parts}


def _class_folders(top: Path, classes: Sequence[str] | None) -> dict[str, Path]:
    found = _sub_folders(top)
    if not found:
        beside = len(_pictures(top))
        hint = (
            f" It holds {beside} pictures beside each other: pass unlabelled=True to predict on them." if beside else ""
        )
        raise ValueError(f"{top} has no sub-folders, one a class.{hint}")
    problems = check.Problems()
    for name in classes or ():
        if name not in found:
            problems.add(f"{top} has no sub-folder {name!r}.{check.did_you_mean(name, found)}")
    chosen = {name: folder for name, folder in found.items() if classes is None or name in classes}
    for name, folder in chosen.items():
        if not any(_pictures(folder)):
            problems.add(f"class {name!r} has no pictures in {folder} ({', '.join(SUFFIXES)})")
    problems.raise_if_any()
    return chosen


def _same_classes(root: Path, held: dict[Path, dict[str, Path]]) -> None:
    first, *others = held
    problems = check.Problems()
    for other in others:
        for here, there in ((first, other), (other, first)):
            only = sorted(set(held[here]) - set(held[there]))
            if only:
                hint = check.did_you_mean(only[0], held[there])
                problems.add(f"{here.name}/ has classes that {there.name}/ has not: {check.listing(only)}.{hint}")
    problems.raise_if_any(f"the parts of {root} must have the same classes:" if problems.found else "")


def _objects(values: Sequence[str]) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _names(paths: Sequence[str], root: Path) -> np.ndarray:
    start = len(str(root)) + 1
    return _objects([path[start:] for path in paths])
