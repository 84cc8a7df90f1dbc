"""The option `--draw` of `tltk predict`: a picture of every prediction."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tltk.cli import console
from tltk.foundation import files, progress
from tltk.foundation.errors import InvalidInput

if TYPE_CHECKING:
    from PIL import Image

    from tltk.data.source import Source
    from tltk.inference.predictions import Predictions

_FORMATS: dict[str, dict[str, Any]] = {
    ".jpg": {"format": "JPEG", "quality": 92},
    ".jpeg": {"format": "JPEG", "quality": 92},
    ".png": {"format": "PNG"},
}
_OTHER = ".png"  # added to the names of files of other formats


def check_folder(folder: Path | None, inputs: Iterable[str], *, overwrite: bool) -> None:
    """Check, before any work, that pictures can be written to a folder.

    Args:
        folder: Value of `--draw`; None if it is not given.
        inputs: Files and folders that are predicted, or texts.
        overwrite: Whether the folder may hold files already.

    Raises:
        InvalidInput: If the folder is a file, is not empty, or lies in a folder that is predicted.
    """
    if folder is None:
        if overwrite:
            raise InvalidInput("`--overwrite` is only used with --draw. Leave it out.")
        return
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(f"`--draw` must be a folder. Received: the file {folder}")
    resolved = folder.resolve()
    within = next((path for path in inputs if _is_folder(path) and resolved.is_relative_to(Path(path).resolve())), None)
    if within is not None:
        raise InvalidInput(
            f"`--draw` would write into the input {within}, so that the pictures were inputs the next time. Received: "
            f"{folder}. Choose a folder outside of it."
        )
    if not overwrite and folder.is_dir() and any(folder.iterdir()):
        raise InvalidInput(
            f"`--draw`: {folder} is not empty. Choose another folder, or pass --overwrite to replace files with the "
            "names of the pictures; all others stay."
        )


def write(folder: Path, predictions: "Predictions", source: "Source") -> list[tuple[str, Path]]:
    """Draw each prediction on its image, in the size of the original.

    Sub-folders of the inputs become sub-folders of `folder`.

    Args:
        folder: Folder for the pictures; created with the first one.
        predictions: Predictions for the images of `source` that can be read.
        source: The images, as files.

    Returns:
        Id and picture of each prediction.

    Raises:
        InvalidInput: If a picture would replace an input; nothing is written then.
        FileError: If the folder cannot be written.
    """
    from tltk.inference.drawings import draw, rows_of

    names = picture_names([os.fspath(path) for path in source.examples])
    targets = {row: folder / names[row] for row in rows_of(predictions, source)}
    _check_not_inputs(targets.values(), source)
    written: list[tuple[str, Path]] = []
    try:
        with progress.bar("drawing", len(targets)) as advance:
            for row, picture in draw(predictions, source):
                files.make_folder(targets[row].parent)
                _save(picture, targets[row])
                written.append((source.id_of(row), targets[row]))
                advance()
    except KeyboardInterrupt:
        console.say(f"{folder}: {len(written):,} of {len(targets):,} pictures are complete")
        raise
    return written


def picture_names(paths: Sequence[str]) -> list[str]:
    """Return the name of the picture of each file: its path below the folder that all files are in.

    Args:
        paths: Paths of files; one that occurs several times gets several names.

    Examples:
        >>> picture_names(["photos/a/1.jpg", "photos/b/1.jpg", "photos/b/1.webp"])
        ['a/1.jpg', 'b/1.jpg', 'b/1.webp.png']
    """
    if not paths:
        return []
    absolute = [os.path.abspath(path) for path in paths]  # noqa: PTH100 - links are not followed
    root = os.path.commonpath([os.path.dirname(path) for path in absolute])  # noqa: PTH120
    relative = [Path(os.path.relpath(path, root)) for path in absolute]
    names = [path if path.suffix.lower() in _FORMATS else path.with_name(path.name + _OTHER) for path in relative]
    taken: Counter[str] = Counter()
    used = {os.path.normcase(name).casefold() for name in names}
    unique = []
    for name in names:
        key = os.path.normcase(name).casefold()  # some file systems do not distinguish case
        taken[key] += 1
        candidate, number = name, taken[key]
        while number > 1:
            candidate = name.with_name(f"{name.stem}-{number}{name.suffix}")
            if os.path.normcase(candidate).casefold() not in used:
                break
            number += 1
        used.add(os.path.normcase(candidate).casefold())
        unique.append(candidate.as_posix())
    return unique


def _check_not_inputs(targets: Iterable[Path], source: "Source") -> None:
    """Raise if a picture would replace one of the images, also under another name."""
    inputs = {_identity(path) for path in source.examples if os.path.exists(path)}  # noqa: PTH110
    for target in targets:
        if target.exists() and _identity(target) in inputs:
            raise InvalidInput(f"`--draw` would overwrite the input {target}. Choose another folder.")


def _identity(path: str | Path) -> tuple[int, int]:
    status = Path(path).stat()
    return status.st_dev, status.st_ino


def _is_folder(path: str) -> bool:
    """Tell whether an argument is a folder; a text may be too long for a name."""
    return os.path.isdir(path)  # noqa: PTH112


def _save(picture: "Image.Image", path: Path) -> None:
    options = _FORMATS[path.suffix.lower()]
    files.write_atomically(path, lambda temporary: picture.save(temporary, **options))
