"""Store the input format of a text model as JSON and files in the folder of a run, and restore it."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from tltk.foundation.errors import InvalidInput, NotFound
from tltk.specs import TextSpec, TokenizerSpec

_VOCABULARY, _MERGES, _SENTENCEPIECE = "vocabulary.json", "merges.txt", "sentencepiece.model"
_STORED_AS_FILES = ("vocabulary", "merges", "sentencepiece_model")


def to_config(spec: TextSpec) -> dict[str, Any]:
    """Return the fields of a spec as JSON values, without those that `to_files` stores.

    Examples:
        >>> tokenizer = TokenizerSpec("wordpiece", ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "cat"))
        >>> config = to_config(TextSpec(tokenizer, 128, overlap=16))
        >>> config["overlap"], config["tokenizer"]["lowercase"], "vocabulary" in config["tokenizer"]
        (16, True, False)
    """
    config = {field.name: getattr(spec, field.name) for field in fields(spec)}
    names = (field.name for field in fields(spec.tokenizer) if field.name not in _STORED_AS_FILES)
    tokenizer = {name: getattr(spec.tokenizer, name) for name in names}
    return {**config, "tokenizer": {**tokenizer, "separator": list(spec.tokenizer.separator)}}


def to_files(spec: TextSpec) -> dict[str, bytes]:
    """Return the files of a tokenizer, such as its vocabulary: file name → content."""
    tokenizer = spec.tokenizer
    # JSON, because a token may hold a line break.
    contents = {_VOCABULARY: json.dumps(tokenizer.vocabulary, indent=2).encode()}
    if tokenizer.type == "bytepair":
        contents[_MERGES] = "\n".join(tokenizer.merges).encode()
    if tokenizer.type == "unigram":
        contents[_SENTENCEPIECE] = tokenizer.sentencepiece_model
    return contents


def from_config(config: dict[str, Any], folder: Path) -> TextSpec:
    """Restore a spec.

    Args:
        config: From `to_config`.
        folder: Folder that holds the files of `to_files`.

    Returns:
        A spec equal to the one that was stored.

    Raises:
        NotFound: If one of the files is missing.
        InvalidInput: If the vocabulary is damaged.
        InvalidType: If `config` has a key that is not a field.
    """
    settings = dict(config["tokenizer"])
    settings["separator"] = tuple(settings["separator"])
    try:
        vocabulary = tuple(json.loads(_content(folder, _VOCABULARY)))
    except ValueError as error:
        raise InvalidInput(f"{folder / _VOCABULARY} is damaged: {error}") from error
    if settings["type"] == "bytepair":
        merges = _content(folder, _MERGES).decode()
        settings["merges"] = tuple(merges.split("\n")) if merges else ()
    if settings["type"] == "unigram":
        settings["sentencepiece_model"] = _content(folder, _SENTENCEPIECE)
    return TextSpec(**{**config, "tokenizer": TokenizerSpec(vocabulary=vocabulary, **settings)})


def _content(folder: Path, name: str) -> bytes:
    path = folder / name
    if not path.is_file():
        raise NotFound(f"{folder} does not hold a text model: {name} is missing")
    return path.read_bytes()
