"""A data set of object detection for the demo: objects cut out of photographs, pasted on other photographs."""

from importlib import util
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

from tltk.foundation import files
from tltk.foundation.errors import MissingExtra

SIZE = (256, 192)  # width and height of a scene in pixels
_SIDES = (36, 110)  # shortest and longest side of an object in pixels
_MOST = 4  # objects in a scene
_MAX_COVERED = 0.2  # of the smaller of two objects
_ALPHA = 128  # opacity from which a pixel belongs to an object


class Cutout(NamedTuple):
    """An ellipse in a photograph of scikit-image's `skimage/data`.

    Attributes:
        file: Name of the photograph.
        center: Column and row of the centre in pixels.
        radii: Half of the width and of the height.
    """

    file: str
    center: tuple[int, int]
    radii: tuple[int, int]


def _coins(*circles: tuple[int, int, int]) -> tuple[Cutout, ...]:
    return tuple(Cutout("coins.png", (x, y), (radius, radius)) for x, y, radius in circles)


# Class → cutouts of the training scenes, and of the test scenes: other coins; there is one photograph of each other.
_SAME: dict[str, tuple[Cutout, ...]] = {
    "astronaut": (Cutout("astronaut.png", (228, 102), (76, 88)),),
    "cat": (Cutout("chelsea.png", (195, 148), (155, 143)),),
    "coffee": (Cutout("coffee.png", (279, 205), (200, 188)),),
    "retina": (Cutout("retina.jpg", (703, 703), (680, 680)),),
}
_TRAIN_COINS = _coins((45, 54, 21), (155, 51, 23), (215, 51, 23), (335, 43, 28), (46, 125, 20), (270, 119, 24))
_TEST_COINS = _coins((102, 195, 20), (212, 192, 23), (273, 194, 22), (348, 185, 31), (46, 260, 27), (173, 261, 27))
CUTOUTS = {"train": {**_SAME, "coin": _TRAIN_COINS}, "test": {**_SAME, "coin": _TEST_COINS}}
BACKGROUNDS = {
    "train": ("brick.png", "grass.png", "camera.png", "hubble_deep_field.jpg", "text.png"),
    "test": ("gravel.png", "ihc.png", "moon.png", "rocket.jpg", "page.png"),
}
NAMES = tuple(sorted(CUTOUTS["train"]))


def make_scenes(folder: Path, *, train: int = 96, test: int = 48, seed: int = 0) -> Path:
    """Write scenes with one to four objects, and their boxes in the format of COCO.

    Objects are scaled, turned by up to 30 degrees, dimmed, and may cover each other a little. Backgrounds of the
    test are other photographs than those of the training.

    Args:
        folder: Folder to write to; scenes of an earlier call are replaced.
        train: Scenes for training and validation.
        test: Scenes for the test.
        seed: Seed of the scenes.

    Returns:
        The folder, with train/, train.json, test/ and test.json.

    Raises:
        MissingExtra: If scikit-image is not installed.
        FileError: If the folder cannot be written, or train/ or test/ holds files that are not scenes.
    """
    generator = np.random.default_rng(seed)
    files.make_folder(folder, required_bytes=(train + test) * 120_000)
    for part, count in (("train", train), ("test", test)):
        images_folder = files.make_generated_folder(folder / part, pattern=r"\d+\.png")
        objects = {name: [cut_out(cutout) for cutout in cutouts] for name, cutouts in CUTOUTS[part].items()}
        backgrounds = [read_photo(name) for name in BACKGROUNDS[part]]
        images, annotations = [], []
        for number in range(count):
            background = backgrounds[number % len(backgrounds)]
            scene, boxes = compose(background, objects, generator)
            name = f"{number:03d}.png"
            scene.save(images_folder / name)
            images.append({"id": number, "file_name": name, "height": scene.height, "width": scene.width})
            annotations += [
                {"image_id": number, "category_id": NAMES.index(label), "bbox": box} for label, box in boxes
            ]
        numbered = [{"id": number, "iscrowd": 0, **annotation} for number, annotation in enumerate(annotations, 1)]
        categories = [{"id": number, "name": name} for number, name in enumerate(NAMES)]
        content = {"images": images, "annotations": numbered, "categories": categories}
        files.write_json(folder / f"{part}.json", content)
    return folder


def compose(
    background: Image.Image, objects: dict[str, list[Image.Image]], generator: np.random.Generator
) -> tuple[Image.Image, list[tuple[str, list[int]]]]:
    """Paste objects on a random part of a photograph.

    Args:
        background: RGB photograph.
        objects: Class → RGBA cutouts.
        generator: Chooses everything.

    Returns:
        The scene, and class and box (x, y, width, height, in pixels) of each object.
    """
    scene = _random_crop(background, generator)
    boxes: list[tuple[str, list[int]]] = []
    for _ in range(int(generator.integers(1, _MOST + 1))):
        label = str(generator.choice(list(objects)))
        pasted = _varied(objects[label][int(generator.integers(len(objects[label])))], generator)
        left, top = (
            int(generator.integers(0, limit - side + 1)) for limit, side in zip(SIZE, pasted.size, strict=True)
        )
        box = [left, top, *pasted.size]
        if all(_covered(box, other) <= _MAX_COVERED for _, other in boxes):
            scene.paste(pasted, (left, top), pasted)
            boxes.append((label, box))
    return scene, boxes


def cut_out(cutout: Cutout) -> Image.Image:
    """Return an object as RGBA, transparent outside of its ellipse."""
    (x, y), (width, height) = cutout.center, cutout.radii
    corners = (x - width, y - height, x + width, y + height)
    image = read_photo(cutout.file).crop(corners)
    alpha = Image.new("L", image.size)
    ImageDraw.Draw(alpha).ellipse((0, 0, image.width - 1, image.height - 1), fill=255)
    image.putalpha(alpha)
    image.thumbnail((2 * _SIDES[1], 2 * _SIDES[1]))
    return image


def read_photo(name: str) -> Image.Image:
    """Read a photograph of scikit-image as RGB.

    Raises:
        MissingExtra: If scikit-image is not installed.
    """
    package = util.find_spec("skimage")
    if package is None or not package.submodule_search_locations:
        raise MissingExtra("the demo needs the photographs of scikit-image: pip install tltk[demo]", name="skimage")
    with Image.open(Path(package.submodule_search_locations[0]) / "data" / name) as photo:
        return photo.convert("RGB")


def _random_crop(photo: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Return a part of a photograph in the size of a scene."""
    largest = min(photo.width / SIZE[0], photo.height / SIZE[1])
    scale = float(generator.uniform(0.5, 1.0)) * largest
    width, height = (int(side * scale) for side in SIZE)
    left, top = int(generator.integers(photo.width - width + 1)), int(generator.integers(photo.height - height + 1))
    return photo.resize(SIZE, Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))


def _varied(cutout: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Return a cutout of another size, turned and dimmed, cropped to its visible pixels."""
    turned = cutout.rotate(float(generator.uniform(-30, 30)), Image.Resampling.BILINEAR, expand=True)
    side = int(generator.integers(_SIDES[0], _SIDES[1] + 1))
    turned.thumbnail((side, side))
    alpha = turned.getchannel("A")
    box: Any = alpha.point(lambda value: 255 * (value >= _ALPHA)).getbbox()
    dimmed = ImageEnhance.Brightness(turned.convert("RGB")).enhance(float(generator.uniform(0.6, 1.2)))
    dimmed.putalpha(alpha)
    return dimmed.crop(box)


def _covered(box: list[int], other: list[int]) -> float:
    """Return the intersection of two boxes, relative to the smaller one."""
    sides = (
        max(0, min(box[axis] + box[axis + 2], other[axis] + other[axis + 2]) - max(box[axis], other[axis]))
        for axis in (0, 1)
    )
    width, height = sides
    return width * height / min(box[2] * box[3], other[2] * other[3])
