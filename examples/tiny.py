"""What the examples share: their options, and pictures for `--tiny`, so that every example runs offline.

The 8×8 digits inside scikit-learn stand in for the real pictures, and the network starts from random weights at a small
input size: `--tiny` shows that an example runs, not how good its method is.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

SIDE = 32
NOTE = f"--tiny: digits of scikit-learn at {SIDE} px, random weights; the accuracy says nothing of the method"


def parser(description: str, *, out: str, backbone: str) -> argparse.ArgumentParser:
    """Make a parser with the options that every example takes.

    Args:
        description: the example's docstring.
        out: default folder for the run.
        backbone: default backbone.

    Returns:
        A parser to which the example adds its own.
    """
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--backbone", default=backbone, help="a name from `tltk backbones`")
    made.add_argument("--weights", default="pretrained", help="path of a weight file, where no hub is in reach")
    made.add_argument("--out", type=Path, default=Path(out), help="folder for the run and its report")
    made.add_argument("--tiny", action="store_true", help=NOTE)
    return made


def parsed(made: argparse.ArgumentParser, data: str | None = None) -> argparse.Namespace:
    """Read the command line; with `--tiny`, say so and set `weights` and `image_size` accordingly.

    Args:
        made: from `parser`.
        data: the argument that names the pictures, needed unless `--tiny` is given.
    """
    options = made.parse_args()
    if data and not options.tiny and getattr(options, data) is None:
        made.error(f"name the {data}, or say --tiny")
    options.image_size = SIDE if options.tiny else 224
    if options.tiny:
        options.weights = "random"
        print(NOTE)
    return options


def digit_pictures(folder: Path, *, classes: int = 10, each: int = 12) -> Path:
    """Write digits as PNGs of 32 px, one sub-folder a class.

    Args:
        folder: made if it does not exist.
        classes: how many of the ten digits.
        each: pictures a class, at most 174.

    Returns:
        The folder.
    """
    digits = load_digits()
    for label in range(classes):
        place = folder / f"digit_{label}"
        place.mkdir(parents=True, exist_ok=True)
        for number, pixels in enumerate(digits.images[digits.target == label][:each]):
            picture = Image.fromarray((pixels / 16 * 255).astype(np.uint8))
            picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(place / f"{number:03d}.png")
    return folder
