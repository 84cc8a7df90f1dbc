"""Turns the arguments of `tltk predict` into a source."""

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tltk.cli import options
from tltk.foundation.errors import InvalidInput

if TYPE_CHECKING:
    from tltk.data.source import Source
    from tltk.models.transfer_model import TransferModel

STANDARD_INPUT = "-"
_POSITION = re.compile(r"(?:row|line|question) (\d+)$")


def read(
    inputs: list[str],
    model: "TransferModel",
    *,
    text: str | None = None,
    file_format: str | None = None,
    delimiter: str | None = None,
) -> "Source":
    """Read the examples to predict.

    Args:
        inputs: Images or texts; one file such as a .csv; a .txt file or "-" for standard input, with one example per
            line. For a model of pairs, every two texts are one pair, and a tab separates the two in a line.
        model: Model that predicts them.
        text: Column of the texts, or two columns joined by a comma.
        file_format: Name of the format of the file; None to tell it from its name.
        delimiter: Character between columns.

    Returns:
        The source, in the order of the inputs.

    Raises:
        InvalidInput: If the second text of a pair is missing, a file is not the only input, or its format is unknown.
    """
    from tltk.modalities.modality import modality_of

    modality = modality_of(model.input_spec)
    path = _file_of_examples(inputs, modality.name, text=text, file_format=file_format)
    if path is not None:
        columns: dict[str, Any] = {"text": text, "file_format": file_format, "delimiter": delimiter}
        columns |= {"label": None, "input_column": "path", "label_type": "categorical", "modality": modality.name}
        return options.source(path, **columns)
    if inputs == [STANDARD_INPUT]:
        return _lines(sys.stdin.read(), "standard input", model)
    if len(inputs) == 1 and _is_file(inputs[0], ".txt"):
        from tltk.data.formats.text_files import read_text

        return _lines(read_text(Path(inputs[0])), Path(inputs[0]).name, model)
    if not getattr(model.input_spec, "pairs", False):
        return modality.source(inputs, model.input_spec)
    if len(inputs) % 2:
        raise InvalidInput(f"the model reads pairs of texts: pass an even number. Received: {len(inputs)} texts")
    return modality.source(list(zip(inputs[::2], inputs[1::2], strict=True)), model.input_spec)


def order_of(ids: Sequence[str]) -> dict[str, int]:
    """Return the position of each example among all inputs; rows of a file are in the order of its lines.

    Args:
        ids: Ids of the examples in the order of the source, then of those that its reader left out.

    Examples:
        >>> order_of(["a.csv, row 2", "a.csv, row 10", "a.csv, row 4"])
        {'a.csv, row 2': 0, 'a.csv, row 4': 1, 'a.csv, row 10': 2}
    """
    positions = [_POSITION.search(example_id) for example_id in ids]
    if all(positions):
        ids = sorted(ids, key=lambda example_id: int(_POSITION.search(example_id)[1]))  # type: ignore[index]
    return {example_id: position for position, example_id in enumerate(ids)}


def _file_of_examples(inputs: list[str], modality: str, *, text: str | None, file_format: str | None) -> Path | None:
    """Return the path of a file in a registered format; None if the inputs are examples themselves."""
    from tltk.data.formats.registry import format_of

    named = text is not None or file_format is not None
    if not named and len(inputs) == 1 and _is_file(inputs[0], ".txt"):
        return None
    file = next((item for item in inputs if _is_file(item, Path(item).suffix)), None)
    if named or (file is not None and format_of(file)):
        if len(inputs) != 1:
            raise InvalidInput(f"a file of examples must be the only input. Received: {len(inputs)} inputs")
        return Path(inputs[0])
    if file is not None and modality == "text":
        raise InvalidInput(f"the model reads texts, or files of a known format such as .csv. Received: the file {file}")
    return None


def _is_file(text: str, suffix: str) -> bool:
    """Tell whether an argument is the name of a file with a suffix; a text may be too long for a name."""
    return bool(suffix) and text.lower().endswith(suffix.lower()) and os.path.isfile(text)  # noqa: PTH113


def _lines(content: str, name: str, model: "TransferModel") -> "Source":
    """Return the lines of a text as examples, whose ids are their numbers; empty lines are skipped."""
    import numpy as np

    from tltk.modalities.modality import modality_of

    numbered = [(number, line) for number, line in enumerate(content.splitlines(), 1) if line.strip()]
    if not numbered:
        raise InvalidInput(f"{name} has no lines.")
    values: list[Any] = [line for _, line in numbered]
    if getattr(model.input_spec, "pairs", False):
        wrong = [number for number, line in numbered if line.count("\t") != 1]
        if wrong:
            raise InvalidInput(f"the model reads pairs of texts: {name}, line {wrong[0]} must be two texts and a tab.")
        values = [tuple(line.split("\t")) for line in values]
    modality = modality_of(model.input_spec)
    source = modality.source(values, model.input_spec)
    if source.storage == "files":
        return source  # the lines are paths, which are names already
    return replace(source, ids=np.array([f"{name}, line {number}" for number, _ in numbered], object))
