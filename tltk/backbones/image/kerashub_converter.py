"""The preprocessing of KerasHub presets: their image converters."""

from pathlib import Path
from typing import Any

from tltk.backbones.base import Preprocessing
from tltk.backbones.hub import first_line, is_hub_failure
from tltk.backbones.kerashub_files import SCHEMES
from tltk.foundation.errors import FileError
from tltk.specs import INTERPOLATIONS

FILE = "image_converter.json"


def read(x: str) -> Any:
    """Return the ImageConverter of a preset, or None if it has none.

    Args:
        x: Folder or handle of a preset.

    Raises:
        FileError: If the hub cannot be reached.
    """
    import keras_hub

    if not x.startswith(SCHEMES) and not (Path(x) / FILE).is_file():
        return None
    try:
        return keras_hub.layers.ImageConverter.from_preset(x)
    except Exception as error:
        if not is_hub_failure(error):
            raise
        raise FileError(f"cannot read the preprocessing of {x}: {first_line(error)}") from error


def preprocessing(converter: Any, x: str) -> Preprocessing:
    """Return what a converter does to pixels in [0, 255].

    Args:
        converter: Image converter, or None.
        x: Name of the preset or model.
    """
    if converter is None:
        return Preprocessing(source=f"{x} specifies none")
    scale, offset = (
        tuple(float(item) for item in (value if isinstance(value, list | tuple) else [value]))
        for value in (_default(converter.scale, 1.0), _default(converter.offset, 0.0))
    )
    return Preprocessing(scale=scale, offset=offset, source=f"image converter of {x}")


def interpolation(converter: Any) -> str:
    """Return the interpolation of a converter, "bilinear" without one."""
    kernel = getattr(converter, "interpolation", "bilinear")
    return kernel if kernel in INTERPOLATIONS else "bilinear"


def _default(value: Any, default: float) -> Any:
    return default if value is None else value
