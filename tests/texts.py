"""The text model that tests share."""

from pathlib import Path

from tltk.backbones.packages import cache_folder


def minilm_folder() -> Path:
    """Where `make test` has put MiniLM."""
    return cache_folder() / "all_minilm_l6_v2_en"
