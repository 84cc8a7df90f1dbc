"""Reading of a small YAML file that may come from anywhere."""

from pathlib import Path
from typing import Any

from tltk.data.formats.text_files import read_text
from tltk.foundation.errors import InvalidInput

MAX_BYTES = 2**20


def read_yaml(path: Path) -> Any:
    """Read a YAML file of plain values: no objects of Python, and no aliases, which can make a small file huge.

    Raises:
        InvalidInput: If it is larger than 1 MB, is not YAML, or has aliases.
    """
    import yaml

    if path.stat().st_size > MAX_BYTES:
        raise InvalidInput(f"{path} is larger than {MAX_BYTES / 2**20:.0f} MB, too large for a list of classes.")
    text = read_text(path)
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise InvalidInput(f"{path} has aliases (*name), which are not read. Write the values out.")
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"{path} is not valid YAML: {error}") from error
