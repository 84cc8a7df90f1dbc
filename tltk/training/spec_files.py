"""What a model eats, in the folder of its run: plain values in config.json, the pieces of texts in files beside it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tltk.foundation import files
from tltk.specs import ImageSpec, TextSpec

_VOCABULARY, _MERGES, _RULES = "vocabulary.json", "merges.txt", "sentencepiece.model"
_BEFORE = "vocabulary.txt"  # of runs before that
_IN_FILES = ("vocabulary", "merges", "rules")


def plain(spec: ImageSpec | TextSpec) -> dict[str, Any]:
    """Return the fields of a spec as JSON has them, without what has a file of its own."""
    return {name: value for name, value in asdict(spec).items() if name not in _IN_FILES}


def write(folder: Path, spec: TextSpec) -> None:
    """Write the pieces of a text model: their names, and what else their kind needs.

    Raises:
        OSError: if the folder cannot be written.
    """
    files.write_json(folder / _VOCABULARY, list(spec.vocabulary))  # a piece may hold the end of a line
    if spec.kind == "bytepair":
        files.write_text(folder / _MERGES, "\n".join(spec.merges))
    if spec.kind == "unigram":
        files.write_atomically(folder / _RULES, lambda path: Path(path).write_bytes(spec.rules))


def read(folder: Path, values: dict[str, Any]) -> ImageSpec | TextSpec:
    """Bring a spec back.

    Args:
        folder: of the run.
        values: from `plain`.

    Raises:
        FileNotFoundError: if a file of the pieces is missing.
        TypeError: if a value is of no spec.
    """
    if "length" not in values:
        return ImageSpec(**values)
    held: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    if (folder / _BEFORE).is_file() and not (folder / _VOCABULARY).is_file():
        held["vocabulary"] = _lines(folder, _BEFORE)
    else:
        held["vocabulary"] = tuple(json.loads(_present(folder, _VOCABULARY).read_text(encoding="utf-8")))
    if held.get("kind") == "bytepair":
        held["merges"] = _lines(folder, _MERGES)
    if held.get("kind") == "unigram":
        held["rules"] = _present(folder, _RULES).read_bytes()
    return TextSpec(**held)


def _lines(folder: Path, name: str) -> tuple[str, ...]:
    return tuple(_present(folder, name).read_bytes().decode("utf-8").split("\n"))


def _present(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise FileNotFoundError(f"{folder} is no run of a text model: it has no {name}")
    return folder / name
