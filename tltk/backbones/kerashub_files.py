"""Reads the JSON files of KerasHub presets, from a folder or a hub."""

from pathlib import Path
from typing import Any

from tltk.backbones.hub import first_line, is_hub_failure
from tltk.foundation import keras_private as private
from tltk.foundation.errors import FileError, InvalidInput

SCHEMES = ("hf://", "kaggle://")


def read(place: str, name: str) -> dict[str, Any]:
    """Read a JSON file of a preset.

    Args:
        place: Folder, handle or KerasHub name of the preset.
        name: File name, such as "config.json".

    Returns:
        The content; empty if the preset has no such file.

    Raises:
        FileError: If the hub cannot be reached.
        InvalidInput: If the file is damaged.
    """
    if Path(place).is_dir() and not (Path(place) / name).is_file():
        return {}
    check_file_exists, load_json = private.preset_function("check_file_exists"), private.preset_function("load_json")
    try:
        return dict(load_json(place, name)) if check_file_exists(place, name) else {}
    except ValueError as error:
        raise InvalidInput(f"{name} of {place} is damaged: {error}") from error
    except Exception as error:
        if not is_hub_failure(error):
            raise
        raise FileError(f"cannot read {name} of {place}: {first_line(error)}") from error


def architecture(place: str) -> str:
    """Return the name of a preset's KerasHub class, such as "BertBackbone".

    Args:
        place: Folder, handle or KerasHub name of the preset.

    Raises:
        FileError: If the hub cannot be reached or does not have the preset.
    """
    get_preset_loader = private.preset_function("get_preset_loader")
    try:
        return str(get_preset_loader(place).check_backbone_class().__name__)
    except Exception as error:
        if not is_hub_failure(error):
            raise
        raise FileError(
            f"cannot load the preset {place}: {first_line(error)} Is the hub reachable, and the handle correct? "
            "A preset folder copied from another machine works as well."
        ) from error
