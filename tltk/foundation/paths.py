"""Where tltk keeps what it can make or fetch again."""

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Return tltk's own cache: $TLTK_CACHE, else the platform's folder for caches; it need not exist."""
    chosen = os.environ.get("TLTK_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("tltk", appauthor=False)
