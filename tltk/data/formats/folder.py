"""Sources from folders of images and lists of image files."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tltk.data import targets as convert
from tltk.data.source import PARTS, Source
from tltk.foundation import checks as check
from tltk.foundation.errors import FileError, InvalidInput, NotFound

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp")
_PART_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def from_folder(folder: str | Path, *, unlabelled: bool = False, classes: Sequence[str] | None = None) -> Source:
    """Create a source from a folder of images with one sub-folder per class.

    If the folder contains `train/`, `val/` (or `validation/`) and `test/` with the same classes, `split` returns these
    parts. Other files and names that start with a dot are ignored.

    Args:
        folder: Folder with one sub-folder per class; images may be at any depth below it.
        unlabelled: Whether to take all images below the folder without labels, for predictions.
        classes: Classes in the order of the model's outputs, or some of them; None means all, sorted.

    Returns:
        A source of image files, in sorted order.

    Raises:
        NotFound: If the folder does not exist.
        FileError: If it is a file.
        InvalidInput: If there are no images, only one class, classes without images, or parts with different classes.
    """
    root = _existing_folder(folder)
    if unlabelled:
        paths = _image_paths(root)
        if not paths:
            raise InvalidInput(f"{root} contains no images ({', '.join(SUFFIXES)}).")
        return Source("image", "files", _object_array(paths), ids=_relative_paths(paths, root))
    parts = _part_folders(root)
    tops = {folder: part for part, folder in parts.items()} if parts else {root: None}
    class_folders = {top: _class_folders(top, classes) for top in tops}
    _check_equal_classes(root, class_folders)
    names = tuple(classes) if classes is not None else tuple(sorted(next(iter(class_folders.values()))))
    rows = [
        (path, name, tops[top])
        for top, folders in class_folders.items()
        for name in sorted(folders)
        for path in _image_paths(folders[name])
    ]
    paths = [path for path, _, _ in rows]
    ids = _relative_paths(paths, root)
    targets, labels = convert.categorical([name for _, name, _ in rows], names=names, row_id=lambda row: ids[row])
    example_parts = np.array([part for _, _, part in rows]) if parts else None
    return Source("image", "files", _object_array(paths), targets, labels, example_parts, ids)


def from_files(paths: str | Path | Sequence[str | Path]) -> Source:
    """Create an unlabelled source for predictions from image files, folders, or a list of both.

    Args:
        paths: One path or several. All images below a folder are taken; files are taken whatever their suffix.

    Returns:
        An unlabelled source of image files, in the order of `paths`.

    Raises:
        NotFound: If paths do not exist; all of them are listed.
        InvalidInput: If there are no paths, or a folder contains no images.
    """
    path_list = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    problems = check.Problems()
    for path in path_list:
        if not path.exists():
            problems.add(f"{path} does not exist.")
    problems.raise_if_any(error=NotFound)
    images: list[str] = []
    for path in path_list:
        path_images = _image_paths(path) if path.is_dir() else [str(path)]
        if not path_images:
            problems.add(f"{path} contains no images ({', '.join(SUFFIXES)}).")
        images += path_images
    problems.raise_if_any()
    if not images:
        raise InvalidInput("`paths` must name at least one image. Received: []")
    return Source("image", "files", _object_array(images), ids=_object_array(images))


def _existing_folder(folder: str | Path) -> Path:
    root = Path(folder)
    if not root.exists():
        siblings = [entry.name for entry in root.parent.iterdir()] if root.parent.is_dir() else []
        raise NotFound(f"{root} does not exist.{check.did_you_mean(root.name, siblings)}")
    if not root.is_dir():
        raise FileError(f"{root} is a file. Pass a folder with one sub-folder per class.")
    return root


def _image_paths(folder: Path) -> list[str]:
    """List the images at any depth below a folder, sorted."""
    paths = []
    for top, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        names = sorted(name for name in files if name.lower().endswith(SUFFIXES) and not name.startswith("."))
        paths += [os.path.join(top, name) for name in names]  # noqa: PTH118 - a million Path objects are slow
    return paths


def _sub_folders(folder: Path) -> dict[str, Path]:
    folders = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return {entry.name: entry for entry in folders}


def _part_folders(root: Path) -> dict[str, Path]:
    """Return part → folder if the sub-folders are train and at least one of val and test; else an empty dict."""
    folders = _sub_folders(root)
    parts = {_PART_NAMES.get(name.lower()): folder for name, folder in folders.items()}
    if None in parts or "train" not in parts or len(parts) != len(folders) or len(folders) < 2:
        return {}
    return {part: parts[part] for part in PARTS if part in parts}


def _class_folders(top: Path, classes: Sequence[str] | None) -> dict[str, Path]:
    folders = _sub_folders(top)
    if not folders:
        image_count = len(_image_paths(top))
        hint = f" It contains {image_count} images: pass unlabelled=True to predict on them." if image_count else ""
        raise InvalidInput(f"{top} has no sub-folders; one per class is needed.{hint}")
    problems = check.Problems()
    for name in classes or ():
        if name not in folders:
            problems.add(f"{top} has no sub-folder {name!r}.{check.did_you_mean(name, folders)}")
    class_folders = {name: folder for name, folder in folders.items() if classes is None or name in classes}
    for name, folder in class_folders.items():
        if not any(_image_paths(folder)):
            problems.add(f"class {name!r} has no images in {folder} ({', '.join(SUFFIXES)})")
    problems.raise_if_any()
    return class_folders


def _check_equal_classes(root: Path, class_folders: dict[Path, dict[str, Path]]) -> None:
    first, *others = class_folders
    problems = check.Problems()
    for other in others:
        for left, right in ((first, other), (other, first)):
            missing = sorted(set(class_folders[left]) - set(class_folders[right]))
            if missing:
                hint = check.did_you_mean(missing[0], class_folders[right])
                problems.add(f"{right.name}/ lacks classes of {left.name}/: {check.listing(missing)}.{hint}")
    problems.raise_if_any(f"the parts of {root} must have the same classes:" if problems.messages else "")


def _object_array(values: Sequence[str]) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _relative_paths(paths: Sequence[str], root: Path) -> np.ndarray:
    start = len(str(root)) + 1
    return _object_array([path[start:] for path in paths])
