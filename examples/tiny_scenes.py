"""Annotated images for `--tiny` of the examples of detection and segmentation: discs and squares on noise.

python examples/tiny_scenes.py scenes/          # scenes/images, scenes/annotations.json (COCO), scenes/masks
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

NAMES = ("disc", "square")
NOTE = "--tiny: generated shapes, random weights; the metrics say nothing about the method"
SIZE = (96, 128)  # height and width in pixels


def parser(description: str, *, out: str) -> argparse.ArgumentParser:
    """Build a parser with the options of both examples."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="efficientnet_lite0", help="a name from `tltk backbones`")
    parser.add_argument("--weights", default="pretrained", help="path of a weight file, if no hub is reachable")
    parser.add_argument("--image-size", type=int, default=320, help="height and width of the input in pixels")
    parser.add_argument("--out", type=Path, default=Path(out), help="folder for the run and its report")
    parser.add_argument("--tiny", action="store_true", help=NOTE)
    return parser


def parsed(parser: argparse.ArgumentParser, data: str) -> argparse.Namespace:
    """Parse the command line; with `--tiny`, print a note, and choose random weights and a small input."""
    options = parser.parse_args()
    if not options.tiny and getattr(options, data) is None:
        parser.error(f"pass the {data}, or --tiny")
    if options.tiny:
        options.weights, options.image_size = "random", 96
        print(NOTE)
    return options


def write(folder: Path, *, count: int = 24, seed: int = 0) -> Path:
    """Write images with one to three shapes, their boxes in the format of COCO, and their masks.

    Args:
        folder: Folder to write to; it is created if necessary.
        count: Number of images.
        seed: Seed of the images.

    Returns:
        The folder, with "images", "masks" (grey PNGs: 0 background, 1 disc, 2 square) and "annotations.json".
    """
    generator = np.random.default_rng(seed)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for number in range(count):
        name = f"{number:03d}.png"
        image = Image.fromarray(generator.integers(60, 140, (*SIZE, 3)).astype(np.uint8))
        mask = Image.new("L", image.size)
        for _ in range(int(generator.integers(1, 4))):
            kind, side = int(generator.integers(2)), int(generator.integers(20, 44))
            left, top = (int(generator.integers(0, limit - side)) for limit in image.size)
            box = (left, top, left + side - 1, top + side - 1)  # Pillow draws the last pixel too
            for canvas, fill in ((image, ((230, 60, 40), (40, 80, 230))[kind]), (mask, kind + 1)):
                draw = ImageDraw.Draw(canvas)
                (draw.ellipse, draw.rectangle)[kind](box, fill=fill)
            annotations.append({"image_id": number, "category_id": kind + 1, "bbox": [left, top, side, side]})
        image.save(folder / "images" / name)
        mask.save(folder / "masks" / name)
        images.append({"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
    categories = [{"id": number, "name": name} for number, name in enumerate(NAMES, 1)]
    numbered = [{"id": number, **annotation} for number, annotation in enumerate(annotations, 1)]
    content = {"images": images, "annotations": numbered, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


if __name__ == "__main__":
    command_line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command_line.add_argument("folder", type=Path)
    print(write(command_line.parse_args().folder))
