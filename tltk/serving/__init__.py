"""Serving: what leaves Python. The package is not called `export`, which is the name of its one function."""

from tltk.serving.saved_model import Exported, export, replay

__all__ = ["Exported", "export", "replay"]
