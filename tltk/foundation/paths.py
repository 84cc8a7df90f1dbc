"""Paths as people write them, and the folder of tltk's cache."""

import os
import shlex
from pathlib import Path
from urllib.parse import unquote

import platformdirs


def cache_folder() -> Path:
    """Return the folder for files that can be computed or downloaded again.

    Returns:
        $TLTK_CACHE if it is set, else "tltk" in the platform's cache folder. It may not exist yet.
    """
    folder = os.environ.get("TLTK_CACHE")
    return Path(folder).expanduser() if folder else platformdirs.user_cache_path("tltk", appauthor=False)


def local_path(path: str | Path) -> Path:
    """Convert a path as people write it: "~" is the home folder, "file://" is left out."""
    text = str(path)
    text = unquote(text.removeprefix("file://")) if text.startswith("file://") else text
    try:
        return Path(text).expanduser()
    except RuntimeError:  # "~name" of a user that there is not
        return Path(text)


def in_shell(path: str | Path) -> str:
    """Return a path as it is typed in a shell, with the steps of ".." taken.

    Examples:
        >>> in_shell("runs/../my runs/a")
        "'my runs/a'"
    """
    return shlex.quote(os.path.normpath(path))
