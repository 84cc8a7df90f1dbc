"""Validation of texts, without tokenizing them."""

from collections.abc import Iterable

import numpy as np

from tltk.foundation.checks import unencodable

MAX_CHARACTERS = 10_000_000  # of one text, twice the longest novels; a tokenizer takes about a hundred bytes for each


def invalid_texts(examples: Iterable[object]) -> list[str]:
    """Return why each text cannot be used.

    Args:
        examples: Texts, pairs of texts (arrays of two), or tuples of words.

    Returns:
        One reason per example; "" for valid ones.

    Examples:
        >>> invalid_texts(["a text", " ", 3])
        ['', 'empty text', 'no text but int']
    """
    return [_why_invalid(example) for example in examples]


def _why_invalid(example: object) -> str:
    if isinstance(example, np.ndarray):  # a pair
        return next((reason for text in example if (reason := _why_invalid(text))), "")
    if isinstance(example, tuple):
        return next((reason for word in example if (reason := unencodable(word))), "") if example else "empty text"
    if not isinstance(example, str | bytes):
        return f"no text but {type(example).__name__}"
    if len(example) > MAX_CHARACTERS:
        return f"{len(example):,} characters (limit {MAX_CHARACTERS:,})"
    return unencodable(example) or ("" if example.strip() else "empty text")
