"""A text classification data set for the demo: docstrings of installed packages, labelled with their topic.

The docstrings come from the source files of the standard library and of the packages that tltk depends on; nothing is
imported. Each text is the first two paragraphs before the first section ("Parameters", "Args:", a doctest).
"""

import ast
import importlib.util
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tltk.data.formats.arrays import from_arrays
from tltk.data.source import Source

# Topic → packages that belong to it.
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
_MIN_WORDS = 4


def docstrings(*, max_per_topic: int = 150) -> tuple[Source, np.ndarray]:
    """Collect docstrings, labelled with the topic of their package.

    Args:
        max_per_topic: Maximum number of docstrings per topic, spread evenly over its files.

    Returns:
        A source of texts, and an integer for each text that identifies its file. Docstrings of one file resemble each
        other: pass the integers to `split(…, groups=…)` to keep them in one part.
    """
    topic_and_file: dict[str, tuple[str, str]] = {}  # equal texts are used once
    for topic, packages in TOPICS.items():
        for package in packages:
            for file, text in _texts(package):
                topic_and_file.setdefault(text, (topic, file))
    x, y, files = [], [], []
    for topic in TOPICS:
        candidates = [(text, file) for text, (label, file) in topic_and_file.items() if label == topic]
        count = min(max_per_topic, len(candidates))
        for index in np.linspace(0, len(candidates) - 1, count).astype(int):
            text, file = candidates[index]
            x.append(text)
            y.append(topic)
            files.append(file)
    _, groups = np.unique(files, return_inverse=True)
    return from_arrays(x, y, labels=tuple(TOPICS)), groups


def _texts(package: str) -> Iterator[tuple[str, str]]:
    """Yield the file and the text of every docstring of a package."""
    spec = importlib.util.find_spec(package)
    for root in (spec and spec.submodule_search_locations) or ():
        for path in sorted(Path(root).rglob("*.py")):
            if "tests" in path.parts or path.name.startswith("test_"):
                continue
            try:
                tree = ast.parse(path.read_text(encoding="utf-8"))
            except (SyntaxError, UnicodeDecodeError):  # some packages contain templates and deliberately broken code
                continue
            for node in _with_docstrings(tree):
                text = _prose(ast.get_docstring(node) or "")
                if len(text.split()) >= _MIN_WORDS:
                    yield f"{package}/{path.relative_to(root)}", text


def _with_docstrings(
    module: ast.Module,
) -> Iterator[ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield a module and the classes and functions in it, outermost first.

    `ast.walk` would also visit every expression, which takes as long as parsing.
    """
    nodes: deque[ast.AST] = deque([module])
    while nodes:
        node = nodes.popleft()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        for field in ("body", "handlers", "orelse", "finalbody", "cases"):
            statements = getattr(node, field, ())
            nodes.extend(statements if isinstance(statements, list) else ())


def _prose(docstring: str) -> str:
    """Return the first two paragraphs before the first section, on one line."""
    paragraphs = _SECTION.split(f"{docstring}\n", maxsplit=1)[0].split("\n\n")
    return " ".join(" ".join(paragraphs[:2]).split())
