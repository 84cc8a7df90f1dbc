"""The file command.json of a run: the options of `tltk train`, with which the training resumes or is done again."""

import json
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager, suppress
from pathlib import Path
from typing import Any

import typer

from tltk.foundation import checks as check
from tltk.foundation import files
from tltk.foundation.errors import InvalidInput, InvalidType, NotFound

NAME = "command.json"
_CHECKPOINTS = "checkpoints"  # the folder that `tltk.fit` writes its checkpoints to
_NOT_STORED = ("out", "overwrite", "resume", "force", "as_json", "debug")
# Options that are paths unless they have one of these words.
_PATHS: dict[str, tuple[str, ...]] = {
    "data": (),
    "exclude": (),
    **dict.fromkeys(("images", "masks", "colors"), ()),
    "weights": ("pretrained", "random"),
    "cache": ("auto", "memory", "disk", "off"),
}


def given_options(context: typer.Context) -> dict[str, Any]:
    """Return the options that were typed, without those that are at their defaults: name → value."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name: context.params[name] for name, source in sources.items() if source and source.name == "COMMANDLINE"}


@contextmanager
def recorded(folder: Path, options: Mapping[str, Any]) -> Iterator[None]:
    """Store the options of a training: during the body beside its checkpoints, then in the folder of the run.

    Also after an exception: the folder of the run gets them if the body saved a run, and they stay beside the
    checkpoints if the body wrote one. Older checkpoints keep their own options otherwise.

    Args:
        folder: Folder of the run.
        options: Name → value, of all options.
    """
    created = [path for path in (folder / _CHECKPOINTS, folder, *folder.parents) if not path.exists()]
    path = files.make_folder(folder / _CHECKPOINTS) / NAME
    older_command = path.read_bytes() if path.is_file() else None
    older_checkpoints, older_run = _checkpoints(folder), _saved_run(folder)
    stored = {name: value for name, value in options.items() if name not in _NOT_STORED}
    command = {"command": "train", "working_folder": str(Path.cwd()), "options": stored}
    files.write_json(path, command)
    try:
        yield
    finally:
        if _saved_run(folder) not in (None, older_run):
            files.write_json(folder / NAME, command)
        checkpoints = _checkpoints(folder)
        if not checkpoints:
            path.unlink(missing_ok=True)
            with suppress(OSError):  # the first one that is not empty, and its parents, stay
                (folder / _CHECKPOINTS).rmdir()
                for folder_or_parent in created[1:]:
                    folder_or_parent.rmdir()
        elif checkpoints <= older_checkpoints and older_command is not None:
            files.write_atomically(path, lambda temporary: temporary.write_bytes(older_command))
        elif checkpoints <= older_checkpoints:
            path.unlink()  # they are those of a script


def _checkpoints(folder: Path) -> set[str]:
    """Return the names of the checkpoints, which differ for all of them."""
    return {path.name for path in (folder / _CHECKPOINTS).glob("checkpoint-*.npz")}


def _saved_run(folder: Path) -> tuple[int, int] | None:
    """Return what distinguishes the run in a folder from one that was saved before or after it; None without a run."""
    path = folder / "config.json"  # the last file of a run that is written
    if not path.is_file():
        return None
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def read(folder: Path, *, of_run: bool = False) -> dict[str, Any]:
    """Read the options of the training in a folder, ended or not.

    Args:
        folder: Folder of a run.
        of_run: Whether to prefer the options of the saved run to those of a training that resumes in its folder.

    Returns:
        "working_folder" → the folder in which the command ran; "options" → name → value.

    Raises:
        NotFound: If the folder has no such file; the message says what it holds.
        InvalidInput: If the file is damaged.
    """
    paths = [path for path in (folder / _CHECKPOINTS / NAME, folder / NAME) if path.is_file()]
    if not paths:
        raise NotFound(_why_missing(folder))
    path = paths[-1 if of_run else 0]
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(stored["options"], dict) or not isinstance(stored["working_folder"], str):
            raise InvalidType("`options` must be an object and `working_folder` a string")
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{path} is damaged: {error}") from error
    return stored


@contextmanager
def in_working_folder(stored: Mapping[str, Any], *, fix: str) -> Iterator[None]:
    """Change to the folder in which the training ran, to which its relative paths refer.

    Args:
        stored: Result of `read`.
        fix: What to do if the folder does not exist: a sentence.

    Raises:
        NotFound: If the folder does not exist.
    """
    folder = Path(stored["working_folder"])
    if not folder.is_dir():
        raise NotFound(f"the training ran in {folder}, which does not exist: its relative paths cannot be found. {fix}")
    with chdir(folder):
        yield


def _why_missing(folder: Path) -> str:
    if not folder.exists():
        nearby = [str(path) for path in sorted(folder.parent.glob("*/"))] if folder.parent.is_dir() else []
        return f"{folder} does not exist.{check.did_you_mean(str(folder), nearby)}"
    if (folder / _CHECKPOINTS).is_dir() or (folder / "config.json").is_file():
        return (
            f"{folder} was not made by `tltk train`, so that its options are unknown. In the script that made it, pass "
            "resume=True to tltk.fit."
        )
    return f"{folder} is not the folder of a run that `tltk train` has begun. Pass the folder that it printed."


def resumed_options(stored: Mapping[str, Any], given: Mapping[str, Any], *, force: bool) -> dict[str, Any]:
    """Return the options of a training that resumes: those stored, and with `force` those given now.

    Args:
        stored: Result of `read`; its relative paths refer to its working folder.
        given: Name → value of the options given now; relative paths refer to the current folder, and become absolute.
        force: Whether other options than those stored are used.

    Raises:
        InvalidInput: If other options are given without `force`.
    """
    before = {name: _absolute(name, value, stored["working_folder"]) for name, value in stored["options"].items()}
    now = {name: _absolute(name, value, Path.cwd()) for name, value in given.items() if name not in _NOT_STORED}
    changed = {name: value for name, value in now.items() if name not in before or before[name] != value}
    if changed and not force:
        names = check.listing(f"--{name.replace('_', '-')}" if name != "data" else "DATA" for name in changed)
        raise InvalidInput(
            f"--resume uses the options of the training; these differ from them: {names}. Leave them out, or "
            "add --force to use them from here on."
        )
    return {**stored["options"], **changed}


def _absolute(name: str, value: Any, folder: str | Path) -> Any:
    """Return the value of an option as JSON; a path, relative to `folder` or not, as an absolute one."""
    value = files.as_json_values(value)
    if not isinstance(value, str):
        return value
    is_preset = name == "backbone" and Path(folder, value, "config.json").is_file()
    is_path = is_preset or (name in _PATHS and value not in _PATHS[name])
    return str(Path(folder, value).resolve()) if is_path else value
