"""The folder that `tltk train` saves a run in, and the link to the latest one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path

from tltk.cli import console
from tltk.foundation.errors import InvalidInput
from tltk.foundation.paths import in_shell

RUNS = Path("runs")
LATEST = "latest"


def choose(out: Path | None, *, overwrite: bool) -> Path:
    """Return the folder for a new run, which is not created yet.

    Args:
        out: Value of `--out`; None for a new folder in `runs`, named after the time.
        overwrite: Whether the run in `out` may be replaced.

    Raises:
        InvalidInput: If `out` holds a run, or a training that did not end, and `overwrite` is False.
    """
    if out is None:
        name = datetime.now().strftime("%Y-%m-%d-%H%M%S")
        names = (name if number == 1 else f"{name}-{number}" for number in count(1))
        return next(RUNS / name for name in names if not (RUNS / name).exists())
    if not overwrite and (out / "config.json").is_file() and (out / "model.keras").is_file():
        raise InvalidInput(
            f"{out} holds a run. Choose another folder with --out, or pass --overwrite to replace it once the new run "
            "is complete."
        )
    if not overwrite and any((out / "checkpoints").glob("*.npz")):
        raise InvalidInput(
            f"{out} holds a training that did not end. Resume it with `tltk train --resume {in_shell(out)}`, choose "
            "another folder with --out, or pass --overwrite to start anew."
        )
    return out


def check_inputs(folder: Path, *inputs: str | Path | None) -> None:
    """Raise if a file that is read has the name of one that a run in the folder will have, which would replace it.

    Args:
        folder: Folder for the new run.
        *inputs: Files and folders of data; None for those not given.

    Raises:
        InvalidInput: If a file would be replaced.
    """
    from tltk.training.run_folder import is_file_of_run

    for path in inputs:
        if path is not None and is_file_of_run(folder, Path(path)):
            raise InvalidInput(f"`--out` would overwrite the input {path}. Received: {folder}. Choose another folder.")


@contextmanager
def linked(folder: Path) -> Iterator[None]:
    """Make `runs/latest` a link to a folder after the body, also after Ctrl-C, if the body saved a run there."""
    try:
        yield
    finally:
        if folder.exists():
            link_latest(folder)


def link_latest(folder: Path) -> None:
    """Make `runs/latest` a link to a folder in `runs`; say so if that is impossible."""
    link = folder.parent / LATEST
    temporary = link.with_name(f".{LATEST}.{os.getpid()}")
    try:
        temporary.symlink_to(folder.name, target_is_directory=True)
        temporary.replace(link)
    except OSError as error:  # a folder of this name, or a file system without links
        temporary.unlink(missing_ok=True)
        console.say(f"{link} is not a link to {folder}: {error.strerror}")
