"""The file command.json of a run: the options of `tltk train`, with which the training goes on or is done again."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import typer

from tltk.foundation import checks as check
from tltk.foundation import files
from tltk.foundation.errors import InvalidInput, NotFound

NAME = "command.json"
_CHECKPOINTS = "checkpoints"  # the folder that `tltk.fit` writes its checkpoints to
_NOT_STORED = ("out", "overwrite", "resume", "force", "as_json", "debug")


def given_options(context: typer.Context) -> dict[str, Any]:
    """Return the options that were typed, without those that are at their defaults: name → value."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name: context.params[name] for name, source in sources.items() if source and source.name == "COMMANDLINE"}


@contextmanager
def recorded(folder: Path, options: Mapping[str, Any]) -> Iterator[None]:
    """Store the options of a training: during the body beside its checkpoints, then in the folder of the run.

    Args:
        folder: Folder of the run.
        options: Name → value, of all options.
    """
    created = [path for path in (folder / _CHECKPOINTS, folder, *folder.parents) if not path.exists()]
    path = files.make_folder(folder / _CHECKPOINTS) / NAME
    stored = {name: value for name, value in options.items() if name not in _NOT_STORED}
    files.write_json(path, {"command": "train", "working_folder": str(Path.cwd()), "options": stored})
    try:
        yield
        path.replace(folder / NAME)
    finally:
        if not any((folder / _CHECKPOINTS).glob("*.npz")):
            path.unlink(missing_ok=True)
            with suppress(OSError):  # the first one that is not empty, and its parents, stay
                (folder / _CHECKPOINTS).rmdir()
                for folder_or_parent in created[1:]:
                    folder_or_parent.rmdir()


def read(folder: Path) -> dict[str, Any]:
    """Read the options of the training in a folder, ended or not.

    Args:
        folder: Folder of a run.

    Returns:
        "working_folder" → the folder in which the command ran; "options" → name → value.

    Raises:
        NotFound: If the folder has no such file; the message says what it holds.
        InvalidInput: If the file is damaged.
    """
    paths = [path for path in (folder / _CHECKPOINTS / NAME, folder / NAME) if path.is_file()]
    if not paths:
        raise NotFound(_why_missing(folder))
    try:
        stored = json.loads(paths[0].read_text(encoding="utf-8"))
        if not isinstance(stored["options"], dict) or not isinstance(stored["working_folder"], str):
            raise TypeError("wrong types")
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{paths[0]} is damaged: {error}") from error
    return stored


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
    """Return the options of a training that goes on: those stored, and with `force` those given now.

    Raises:
        InvalidInput: If other options are given without `force`.
    """
    options = dict(stored["options"])
    changed = {name: value for name, value in given.items() if name not in _NOT_STORED and options.get(name) != value}
    if changed and not force:
        names = check.listing(f"--{name.replace('_', '-')}" if name != "data" else "DATA" for name in changed)
        raise InvalidInput(
            f"--resume goes on with the options of the training; these differ from them: {names}. Leave them out, or "
            "add --force to use them from here on."
        )
    return {**options, **changed}
