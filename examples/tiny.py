"""Shared by the image examples: command-line options, and small images for `--tiny`, which runs offline.

With `--tiny` the images are scikit-learn's 8×8 digits, and the network has random weights and a small input size: it
shows that an example runs, not how good its method is.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

SIDE = 32
NOTE = f"--tiny: digits of scikit-learn at {SIDE} px, random weights; the accuracy says nothing about the method"


def parser(description: str, *, out: str, backbone: str) -> argparse.ArgumentParser:
    """Build a parser with the options of every example.

    Args:
        description: Docstring of the example.
        out: Default folder of the run.
        backbone: Default backbone.

    Returns:
        A parser to which the example adds its own options.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default=backbone, help="a name from `tltk backbones`")
    parser.add_argument("--weights", default="pretrained", help="path of a weight file, if no hub is reachable")
    parser.add_argument("--out", type=Path, default=Path(out), help="folder for the run and its report")
    parser.add_argument("--tiny", action="store_true", help=NOTE)
    return parser


def parsed(parser: argparse.ArgumentParser, data: str | None = None) -> argparse.Namespace:
    """Parse the command line; with `--tiny`, print a note and set `weights` and `image_size` accordingly.

    Args:
        parser: Parser of the example.
        data: Name of the argument for the images, which is required without `--tiny`.
    """
    options = parser.parse_args()
    if data and not options.tiny and getattr(options, data) is None:
        parser.error(f"pass the {data}, or --tiny")
    options.image_size = SIDE if options.tiny else 224
    if options.tiny:
        options.weights = "random"
        print(NOTE)
    return options


def digit_images(folder: Path, *, classes: int = 10, per_class: int = 12) -> Path:
    """Write digits as PNGs of 32 px, with one sub-folder per class.

    Args:
        folder: Folder to write to; it is created if necessary.
        classes: Number of digits, at most 10.
        per_class: Images per class, at most 174.

    Returns:
        The folder.
    """
    digits = load_digits()
    for label in range(classes):
        class_folder = folder / f"digit_{label}"
        class_folder.mkdir(parents=True, exist_ok=True)
        for number, pixels in enumerate(digits.images[digits.target == label][:per_class]):
            image = Image.fromarray((pixels / 16 * 255).astype(np.uint8))
            image.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(class_folder / f"{number:03d}.png")
    return folder


def guide_options(description: str, *, out: str) -> argparse.Namespace:
    """Read the command line of the two examples that follow Keras' guide.

    Args:
        description: Docstring of the example.
        out: Default folder of the run.

    Returns:
        photos: folder with one sub-folder per class; base_model: path of a .keras file, or None for Xception;
        image_size: height and width in pixels; out: folder for the run.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?", help="folder with two sub-folders of images")
    parser.add_argument("--base-model", type=Path, help="a .keras file without a classifier; default: Xception")
    parser.add_argument("--out", type=Path, default=Path(out), help="folder for history.csv and best.keras")
    parser.add_argument("--tiny", action="store_true", help="offline: digits of scikit-learn, EfficientNet-Lite0")
    options = parser.parse_args()
    if not options.tiny and options.photos is None:
        parser.error("pass the photos, or --tiny")
    options.out.mkdir(parents=True, exist_ok=True)
    options.image_size = 150
    if options.tiny:
        options.image_size = 64
        options.photos = digit_images(options.out / "images", classes=2, per_class=100)
        options.base_model = options.base_model or _saved_backbone(options.out / "base.keras", size=64)
    return options


def _saved_backbone(path: Path, *, size: int) -> Path:
    """Save EfficientNet-Lite0 with its pretrained weights, which `tltk weights get` has downloaded, as a Keras file."""
    import tltk

    tltk.backbone("efficientnet_lite0", image_size=size).build()[0].save(path)
    return path
