"""Reading of a JSON file."""

import json
from pathlib import Path
from typing import Any

from tltk.data.formats.text_files import read_text
from tltk.foundation.errors import InvalidInput


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InvalidInput: If it is not UTF-8, not JSON, or nested too deeply.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"{path} is not valid JSON: {error}") from error
