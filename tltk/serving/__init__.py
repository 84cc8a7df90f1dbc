"""Serving: what leaves Python. The package is not called `export`, which is the name of its one function."""

from tltk.serving.certificate import Verified, verify
from tltk.serving.saved_model import Exported, export

__all__ = ["Exported", "Verified", "export", "verify"]
