"""Input formats in the folder of a run: JSON values in config.json, tokenizers in files beside it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from tltk.foundation import files
from tltk.modalities.text import config as text_config
from tltk.specs import ImageSpec, TextSpec


def to_config(spec: ImageSpec | TextSpec) -> dict[str, Any]:
    """Return the fields of a spec as JSON values, without those that `write` stores."""
    return text_config.to_config(spec) if isinstance(spec, TextSpec) else asdict(spec)


def write(folder: Path, spec: TextSpec) -> None:
    """Write the files of a text model's tokenizer.

    Raises:
        OSError: If the folder cannot be written.
    """
    for name, content in text_config.to_files(spec).items():
        _write(folder / name, content)


def read(folder: Path, config: dict[str, Any]) -> ImageSpec | TextSpec:
    """Restore a spec.

    Args:
        folder: Folder of the run.
        config: From `to_config`.

    Raises:
        FileNotFoundError: If a file of the tokenizer is missing.
        TypeError: If a key is not a field of the spec.
    """
    return text_config.from_config(config, folder) if "tokenizer" in config else ImageSpec(**config)


def _write(path: Path, content: bytes) -> None:
    files.write_atomically(path, lambda temporary: temporary.write_bytes(content))
