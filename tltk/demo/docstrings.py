"""Texts that every installation carries: what is this docstring about?

The docstrings of the packages that tltk depends on and of the standard library, read from their source files, nothing
imported. Of each the first two paragraphs, up to its first section ("Parameters", "Args:", a doctest).
"""

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tltk.data.formats.arrays import from_arrays
from tltk.data.source import Source

# Topic → packages whose docstrings are about it.
TOPICS = {
    "arrays": ("numpy",),
    "geometry": ("scipy.spatial",),
    "linear algebra": ("scipy.linalg", "scipy.sparse.linalg"),
    "machine learning": ("sklearn",),
    "mail and web": ("email", "http", "urllib"),
    "networks": ("keras",),
    "optimization": ("scipy.optimize",),
    "pictures": ("PIL", "scipy.ndimage"),
    "plots": ("matplotlib",),
    "processes": ("asyncio", "multiprocessing", "concurrent"),
    "signals": ("scipy.signal", "scipy.fft"),
    "statistics": ("scipy.stats",),
    "templates": ("jinja2",),
    "terminal": ("rich", "typer"),
}
_SECTION = re.compile(r"\n\s*(?:[A-Z][A-Za-z ]+\n\s*[-=]{3,}|[A-Z][A-Za-z ]*:\s*\n|>>> |:param |\.\. |```)")
_LEAST_WORDS = 4


def docstrings(*, most: int = 150) -> tuple[Source, np.ndarray]:
    """Collect docstrings with the topic of their package as the label.

    Args:
        most: docstrings a topic, taken evenly from its files.

    Returns:
        A source of texts of one class each, and for each text the number of its file: those of one file resemble each
        other, so `split(…, groups=…)` keeps them on one side.
    """
    found: dict[str, tuple[str, str]] = {}
    for topic, packages in TOPICS.items():
        for package in packages:
            for file, text in _texts(package):
                found.setdefault(text, (topic, file))
    x, y, files = [], [], []
    for topic in TOPICS:
        held = [(text, file) for text, (each, file) in found.items() if each == topic]
        for number in np.linspace(0, len(held) - 1, min(most, len(held))).astype(int):
            x.append(held[number][0])
            files.append(held[number][1])
            y.append(topic)
    _, groups = np.unique(files, return_inverse=True)
    return from_arrays(x, y, labels=tuple(TOPICS)), groups


def _texts(package: str) -> Iterator[tuple[str, str]]:
    """Yield (file, text) of every docstring of a package."""
    spec = importlib.util.find_spec(package)
    for root in (spec and spec.submodule_search_locations) or ():
        for path in sorted(Path(root).rglob("*.py")):
            if "tests" in path.parts or path.name.startswith("test_"):
                continue
            try:
                tree = ast.parse(path.read_text(encoding="utf-8"))
            except (SyntaxError, UnicodeDecodeError):  # templates and examples of broken code are no texts
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                    text = _prose(ast.get_docstring(node) or "")
                    if len(text.split()) >= _LEAST_WORDS:
                        yield f"{package}/{path.relative_to(root)}", text


def _prose(docstring: str) -> str:
    paragraphs = _SECTION.split(f"{docstring}\n", maxsplit=1)[0].split("\n\n")
    return " ".join(" ".join(paragraphs[:2]).split())
