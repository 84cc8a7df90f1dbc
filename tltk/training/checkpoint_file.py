"""The files of checkpoints: one file per checkpoint, which is complete or not there."""

import hashlib
import json
import logging
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from tltk.foundation import files
from tltk.foundation.errors import InvalidInput, InvalidType

log = logging.getLogger("tltk")

FOLDER = "checkpoints"
_NAME = re.compile(r"checkpoint-(\d{6,})-([0-9a-f]{32})\.npz")  # number, hash of the file
_ARRAY, _TUPLE, _BYTES, _NUMBER = "$array", "$tuple", "$bytes", "$number"  # values that JSON does not have
_CONTENTS = "contents"
_DAMAGED = "damaged-"


@dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint in a folder.

    Args:
        path: The file.
        number: Its number; later checkpoints have higher numbers.
    """

    path: Path
    number: int


def checkpoint_files(folder: Path) -> list[CheckpointFile]:
    """List the checkpoints of the run in a folder, the latest first."""
    matches = ((path, _NAME.fullmatch(path.name)) for path in (folder / FOLDER).glob("*.npz"))
    files = [CheckpointFile(path, int(match.group(1))) for path, match in matches if match]
    return sorted(files, key=lambda checkpoint: -checkpoint.number)


def write(folder: Path, state: Mapping[str, Any], *, keep: int) -> Path:
    """Write a checkpoint, flush it to disk, and only then remove old ones.

    The file is written under a temporary name and renamed: whenever the process or the machine stops, a checkpoint is
    whole or does not exist.

    Args:
        folder: Folder of the run.
        state: Nested dicts (with str keys), lists and tuples of arrays, numbers, texts, bytes and None. Arrays of equal
            contents are stored once, such as frozen weights, which are among the weights of the start and the best
            epoch too.
        keep: Number of checkpoints to keep, this one included.

    Returns:
        The file.

    Raises:
        FileError: If it cannot be written, or the disk is full; older checkpoints stay.
    """
    _remove_temporary(folder)
    older = checkpoint_files(folder)
    number = older[0].number + 1 if older else 1
    checkpoints = files.make_folder(folder / FOLDER)
    arrays: dict[str, np.ndarray] = {}
    contents = json.dumps(_pack(state, arrays, {}))
    arrays[_CONTENTS] = np.frombuffer(contents.encode(), np.uint8)
    files.write_atomically(
        checkpoints / f"checkpoint-{number:06d}.npz",
        lambda path: _save(path, arrays),
        final_path=lambda path: checkpoints / f"checkpoint-{number:06d}-{_digest(path)}.npz",
    )
    files.flush(checkpoints)
    for checkpoint in older[keep - 1 :]:
        checkpoint.path.unlink(missing_ok=True)
    return checkpoint_files(folder)[0].path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # NumPy takes the names of arrays as arguments


def read(path: Path) -> dict[str, Any]:
    """Read a checkpoint. Nothing in it is executed: arrays of Python objects are refused.

    Args:
        path: The file.

    Returns:
        The state that was written.

    Raises:
        InvalidInput: If the file is damaged: its name has a hash of it.
    """
    match = _NAME.fullmatch(path.name)
    if match is None or match.group(2) != _digest(path):
        raise InvalidInput(f"{path} is damaged, and cannot be resumed from: its hash is not that in its name.")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return _unpack(json.loads(arrays.pop(_CONTENTS).tobytes()), arrays)
    except (ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise InvalidInput(f"{path} cannot be resumed from: {error}") from error


def read_latest(folder: Path) -> dict[str, Any] | None:
    """Read the latest checkpoint of the run in a folder that is not damaged; say which ones are.

    Args:
        folder: Folder of the run.

    Returns:
        The state; None if there is no checkpoint.

    Raises:
        InvalidInput: If all checkpoints are damaged.
    """
    problems: list[str] = []
    for checkpoint in checkpoint_files(folder):
        try:
            state = read(checkpoint.path)
        except InvalidInput as error:
            problems.append(str(error))
            continue
        for problem in problems:
            log.warning("%s The previous checkpoint is used.", problem)
        for damaged in checkpoint_files(folder):
            if damaged.number > checkpoint.number:  # it would count as one of those that are kept
                damaged.path.rename(damaged.path.with_name(f"{_DAMAGED}{damaged.path.name}"))
        return state
    if problems:
        raise InvalidInput("; ".join(problems))
    return None


def remove(folder: Path) -> None:
    """Remove the checkpoints of the run in a folder, and their folder if it is empty then."""
    _remove_temporary(folder)
    for path in (
        *(folder / FOLDER).glob(f"{_DAMAGED}*"),
        *(checkpoint.path for checkpoint in checkpoint_files(folder)),
    ):
        path.unlink(missing_ok=True)
    if (folder / FOLDER).is_dir() and not any((folder / FOLDER).iterdir()):
        (folder / FOLDER).rmdir()


def _remove_temporary(folder: Path) -> None:
    """Remove the files that killed processes were writing."""
    for path in (folder / FOLDER).glob(".*.checkpoint-*.npz"):
        path.unlink(missing_ok=True)


def check(state: Any) -> None:
    """Check that a checkpoint can hold a value.

    Raises:
        InvalidType: If it cannot.
    """
    _pack(state, {}, {})


def _pack(value: Any, arrays: dict[str, np.ndarray], stored: dict[tuple, str]) -> Any:
    """Convert a value to JSON values; arrays are added to `arrays`, and to `stored` by their contents."""
    if isinstance(value, Mapping):
        return {_text(key): _pack(item, arrays, stored) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_pack(item, arrays, stored) for item in value]
        return {_TUPLE: items} if isinstance(value, tuple) else items
    if isinstance(value, np.ndarray | np.generic):
        return {_ARRAY if isinstance(value, np.ndarray) else _NUMBER: _store(np.asarray(value), arrays, stored)}
    if isinstance(value, bytes):
        return {_BYTES: _store(np.frombuffer(value, np.uint8), arrays, stored)[0]}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise InvalidType(f"a checkpoint cannot hold {type(value).__name__}")


def _text(key: Any) -> str:
    if not isinstance(key, str) or key in (_ARRAY, _TUPLE, _BYTES, _NUMBER):
        raise InvalidType(f"a checkpoint cannot hold a dict with the key {key!r}")
    return key


def _store(array: np.ndarray, arrays: dict[str, np.ndarray], stored: dict[tuple, str]) -> list[str]:
    """Add an array unless an equal one is there; return [its name, its dtype]."""
    dtype = array.dtype.name
    if array.dtype.kind not in "biufUS" and not hasattr(ml_dtypes, dtype):
        raise InvalidType(f"a checkpoint cannot hold an array of {dtype}")
    # NumPy does not support types such as bfloat16: their bytes are stored.
    raw = array if array.dtype.kind in "biufUS" else array.view(np.dtype(f"u{array.dtype.itemsize}"))
    key = (dtype, array.shape, hashlib.blake2b(np.ascontiguousarray(raw).data).digest())
    if key not in stored:
        stored[key] = f"array-{len(arrays)}"
        arrays[stored[key]] = raw
    return [stored[key], dtype]


def _unpack(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if _ARRAY in value or _NUMBER in value:
        name, dtype = value.get(_ARRAY) or value[_NUMBER]
        array = arrays[name]
        array = array if array.dtype.name == dtype else array.view(_dtype(dtype))
        return array if _ARRAY in value else array[()]
    if _BYTES in value:
        return arrays[value[_BYTES]].tobytes()
    if _TUPLE in value:
        return tuple(_unpack(item, arrays) for item in value[_TUPLE])
    return {key: _unpack(item, arrays) for key, item in value.items()}


def _dtype(name: str) -> np.dtype:
    return np.dtype(getattr(ml_dtypes, name))
