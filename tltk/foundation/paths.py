"""The folder of tltk's cache."""

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Return the folder for files that can be computed or downloaded again.

    Returns:
        $TLTK_CACHE if it is set, else "tltk" in the platform's cache folder. It may not exist yet.
    """
    folder = os.environ.get("TLTK_CACHE")
    return Path(folder).expanduser() if folder else platformdirs.user_cache_path("tltk", appauthor=False)
