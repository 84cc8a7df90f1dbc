"""Sources from folders of images or sounds, and lists of such files."""

import logging
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from tltk.data import targets as convert
from tltk.data.exclude import Exclude
from tltk.data.formats.media_files import (
    IMAGES,
    SOUNDS,
    FileKind,
    FileListing,
    find_files,
    is_ignored,
    kind_of,
    readable,
)
from tltk.data.source import PARTS, Source
from tltk.foundation import checks as check
from tltk.foundation import familiar
from tltk.foundation.errors import FileError, InvalidInput, NotFound
from tltk.foundation.paths import local_path
from tltk.specs import InvalidExample
from tltk.specs.labels import clean_name

log = logging.getLogger("tltk")

_PART_WORDS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "holdout"), "test"),
}
_PART_WORD = re.compile(rf"({'|'.join(_PART_WORDS)})(?:sets?|data|images|imgs|clips|sounds|audio)?")
_FILLERS = re.compile(r"[0-9]*|sets?|data|images?|imgs?|clips?|sounds?|audio|splits?|parts?")


@familiar.arguments
def from_folder(
    folder: str | Path,
    *,
    unlabelled: bool = False,
    classes: Sequence[str] | None = None,
    exclude: Exclude = None,
) -> Source:
    """Create a source from a folder of images, or of sounds, with one sub-folder per class.

    Whether it holds images or sounds is inferred from the suffixes of its files, or from their first bytes if they have
    no suffixes; the majority counts. If the folder contains `train/` and `val/` (or `validation/`, `dev/`, `eval/`) or
    `test/` (or `holdout/`), `split` returns these parts; names such as `seg_train`, `train_images` and `01_train` are
    understood. Hidden files and system folders such as `__MACOSX` are ignored; other files are counted in the log. A
    file without a suffix is read if its first bytes are those of an image or a sound.

    Args:
        folder: Folder with one sub-folder per class; files may be at any depth below it. "~" is your home.
        unlabelled: Whether to take all files below the folder without labels, for predictions.
        classes: Classes in the order of the model's outputs, or some of them; None means all, sorted. A class without a
            folder has no examples, unless the name looks misspelt.
        exclude: Examples to leave out, see `Source.without`.

    Returns:
        A source of image or sound files, in sorted order. Files in formats that cannot be read, such as HEIC and M4A,
        are in `invalid`.

    Raises:
        NotFound: If the folder does not exist.
        FileError: If it is a file or cannot be listed.
        InvalidInput: If there are no files, only one class, classes without files, parts with other classes than the
            training part, or sub-folders that look like parts but are not named so.
    """
    root = _existing_folder(folder)
    kind = kind_of(root)
    classes = None if classes is None else tuple(map(clean_name, classes))
    if unlabelled:
        files = find_files(root, kind=kind)
        if not files.paths:
            raise InvalidInput(f"{root} contains no {kind.noun}{files.hint()}.")
        files.log_ignored(root)
        ids = _ids(files.paths, root)
        source = Source(kind.modality, "files", _paths(files.paths), ids=ids, invalid=files.invalid(root))
        return source.without(exclude)
    parts = _part_folders(root, classes, kind)
    if not parts and classes is None:
        _check_level(root)
    tops = {folder: part for part, folder in parts.items()} if parts else {root: None}
    class_folders = {
        top: _class_folders(top, classes, kind=kind, may_lack=part in ("val", "test")) for top, part in tops.items()
    }
    _check_known_classes(root, class_folders)
    names = tuple(classes) if classes is not None else tuple(sorted(next(iter(class_folders.values()))))
    rows = [
        (path, name, tops[top])
        for top, folders in class_folders.items()
        for name in sorted(folders)
        for path in folders[name].paths
    ]
    paths = [path for path, _, _ in rows]
    ids = _ids(paths, root)
    targets, labels = convert.categorical([name for _, name, _ in rows], names=names, row_id=lambda row: ids[row])
    example_parts = np.array([part for _, _, part in rows]) if parts else None
    invalid: list[InvalidExample] = []
    for files in (files for folders in class_folders.values() for files in folders.values()):
        files.log_ignored(root)
        invalid += files.invalid(root)
    source = Source(kind.modality, "files", _paths(paths), targets, labels, example_parts, ids, tuple(invalid))
    return source.without(exclude)


def from_files(paths: str | Path | Sequence[str | Path], kind: FileKind = IMAGES) -> Source:
    """Create an unlabelled source for predictions from image or sound files, folders, or a list of both.

    Args:
        paths: One path or several. All files of this kind below a folder are taken; files are taken whatever their
            suffix.
        kind: Whether they are images or sounds.

    Returns:
        An unlabelled source of files, in the order of `paths`.

    Raises:
        NotFound: If paths do not exist; all of them are listed.
        InvalidInput: If there are no paths, or a folder contains no files of this kind.
    """
    path_list = [local_path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    problems = check.Problems()
    for path in path_list:
        if not path.exists():
            problems.add(f"{path} does not exist.")
    problems.raise_if_any(error=NotFound)
    images: list[str] = []
    invalid: list[InvalidExample] = []
    for path in path_list:
        files = find_files(path, kind=kind) if path.is_dir() else FileListing([str(path)])
        if not files.paths:
            problems.add(f"{path} contains no {kind.noun}{files.hint()}.")
        images += files.paths
        invalid += files.invalid(None)
    problems.raise_if_any()
    if not images:
        raise InvalidInput(f"`paths` must name at least one {kind.noun.removesuffix('s')}. Received: []")
    return Source(kind.modality, "files", _paths(images), ids=_ids(images, None), invalid=tuple(invalid))


def _existing_folder(folder: str | Path) -> Path:
    root = local_path(folder)
    if not root.exists():
        siblings = [entry.name for entry in root.parent.iterdir()] if root.parent.is_dir() else []
        raise NotFound(f"{root} does not exist.{check.did_you_mean(root.name, siblings)}")
    if not root.is_dir():
        raise FileError(f"{root} is a file. Pass a folder with one sub-folder per class.")
    return root


def _sub_folders(folder: Path) -> dict[str, list[Path]]:
    """Map class name → folders. Two folders can have one name, with "é" as one character and as two."""
    folders: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not is_ignored(entry.name):
            folders.setdefault(readable(entry.name), []).append(entry)
    return folders


def _part_folders(root: Path, classes: Sequence[str] | None, kind: FileKind) -> dict[str, Path]:
    """Return part → folder if there are a training part and another one; an empty dict if there are no parts.

    Raises:
        InvalidInput: If it is not clear which folders are parts.
    """
    folders = {name: folder for name, (folder, *_) in _sub_folders(root).items()}
    part_names = [name for name in folders if part_of(name)]
    all_plain = all(map(_is_plain, part_names))
    shared = set() if all_plain else _shared_sub_folders(folders[name] for name in part_names)
    # "seg_train" may be a class, but not if "seg_test" has sub-folders of the same names.
    part_names = [name for name in part_names if shared or _is_plain(name)]
    parts = {part_of(name): _unpacked(folders[name]) for name in part_names}
    if len(part_names) < 2 or any(name in part_names for name in classes or ()):
        return {}
    others = [name for name in folders if name not in part_names and find_files(folders[name], kind=kind).paths]
    hint = f"If these are classes, pass classes={tuple(folders)!r}."
    if len(parts) < len(part_names):
        raise InvalidInput(f"{root} contains one part twice: {', '.join(part_names)}. Move one of them. {hint}")
    if others:
        raise InvalidInput(
            f"{root} contains parts ({', '.join(part_names)}) and beside them {check.listing(others)}. Move the "
            f"others away, or read one part: from_folder({str(root / part_names[-1])!r}). {hint}"
        )
    if "train" not in parts:
        raise InvalidInput(
            f"{root} contains {' and '.join(part_names)}, but no train/. Read one part: "
            f"from_folder({str(root / part_names[0])!r}). {hint}"
        )
    return {part: parts[part] for part in PARTS if part in parts}


def _words(name: str) -> list[str]:
    return re.split(r"[\W_]+", name.lower())


def part_of(name: str) -> str:
    """Return the part that a folder called "Training", "seg_test" or "val2017" holds; "" for other names."""
    parts = [match[1] for word in _words(name) if (match := _PART_WORD.fullmatch(word.rstrip("0123456789")))]
    return _PART_WORDS[parts[0]] if len(parts) == 1 else ""


def _is_plain(name: str) -> bool:
    """Tell whether a name says nothing but the part, such as "Training", "test_set" and "01_train"."""
    return all(_PART_WORD.fullmatch(word) or _FILLERS.fullmatch(word) for word in _words(name))


def _unpacked(folder: Path) -> Path:
    """Return the folder inside a folder of the same name, which archives create; else the folder."""
    inner = folder / folder.name
    return inner if inner.is_dir() and len(_sub_folders(folder)) == 1 and _only_sub_folders(folder) else folder


def _only_sub_folders(folder: Path) -> set[str]:
    """Return the names of the sub-folders; none if there are images or sounds beside them."""
    names = set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir() and not is_ignored(entry.name):
                    names.add(readable(entry.name))
                elif entry.name.lower().endswith((*IMAGES.suffixes, *SOUNDS.suffixes)) and not is_ignored(entry.name):
                    return set()
    except OSError as error:
        raise FileError(f"{folder} cannot be listed: {error.strerror}") from error
    return names


def _shared_sub_folders(folders: Iterable[Path]) -> set[str]:
    """Return the names of sub-folders that all of several folders have; none if one contains images directly."""
    names = []
    for folder in folders:
        names.append(_only_sub_folders(_unpacked(folder)))
        if not names[-1]:
            return set()
    return set.intersection(*names) if len(names) > 1 else set()


def _check_level(root: Path) -> None:
    """Raise if the sub-folders of a folder are parts with unknown names, or one folder that has the classes.

    A single shared name, such as "images", does not count.
    """
    folders = {name: folder for name, (folder, *_) in _sub_folders(root).items()}
    shared = _shared_sub_folders(folders.values())
    if len(shared) > 1:
        first = next(iter(folders.values()))
        raise InvalidInput(
            f"{root} contains {check.listing(folders)}, and all of them have the sub-folders "
            f"{check.listing(sorted(shared))}: they look like parts of the data, not like classes. Name them train/ "
            f"and val/ or test/, or read one: from_folder({str(first)!r}). If they are classes, pass "
            f"classes={tuple(folders)!r}."
        )
    inner = next(iter(folders.values())) if len(folders) == 1 else root
    names = _only_sub_folders(inner) if inner != root else set()
    if len(names) > 1:
        raise InvalidInput(
            f"at least two classes are needed. Received: {inner.name}, which has the sub-folders "
            f"{check.listing(sorted(names))}. Did you mean from_folder({str(inner)!r})?"
        )


def _class_folders(
    top: Path, classes: Sequence[str] | None, *, kind: FileKind, may_lack: bool
) -> dict[str, FileListing]:
    """Return class name → its files, for all sub-folders or those that `classes` names."""
    folders = _sub_folders(top)
    if not folders:
        count = len(find_files(top, kind=kind).paths)
        hint = f" It contains {count} {kind.noun}: pass unlabelled=True to predict on them." if count else ""
        raise InvalidInput(f"{top} has no sub-folders; one per class is needed.{hint}")
    problems = check.Problems()
    for name in classes or ():
        hint = check.did_you_mean(name, (folder for folder in folders if folder not in (classes or ())))
        if name not in folders and hint:
            problems.add(f"{top} has no sub-folder {name!r}.{hint}")
        elif name not in folders:
            log.warning("%s has no sub-folder %r: there are no examples of this class.", top, name)
    selected = {name: paths for name, paths in folders.items() if classes is None or name in classes}
    class_files = {name: find_files(*paths, kind=kind) for name, paths in selected.items()}
    for name, files in class_files.items():
        if not files.paths and not may_lack:
            problems.add(f"class {name!r} has no {kind.noun} in {folders[name][0]}{files.hint()}")
    if not selected:
        problems.add(f"{top} has none of the classes. Its sub-folders: {check.listing(folders)}")
    problems.raise_if_any()
    return class_files


def _check_known_classes(root: Path, class_folders: dict[Path, dict[str, FileListing]]) -> None:
    """Raise if a part has classes that the first one, the training part, lacks; the opposite is not a problem."""
    first, *others = class_folders
    problems = check.Problems()
    for other in others:
        unknown = sorted(set(class_folders[other]) - set(class_folders[first]))
        if unknown:
            hint = check.did_you_mean(unknown[0], class_folders[first])
            problems.add(f"{other.name}/ has classes that {first.name}/ lacks: {check.listing(unknown)}.{hint}")
    problems.raise_if_any(f"the parts of {root} must have the classes of {first.name}/:" if problems.messages else "")


def _paths(values: Sequence[str]) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _ids(paths: Sequence[str], root: Path | None) -> np.ndarray:
    return _paths([readable(path if root is None else os.path.relpath(path, root)) for path in paths])
