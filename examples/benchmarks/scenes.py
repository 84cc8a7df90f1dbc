"""Composed scenes with exact boxes and masks: emoji on photographs, for `detection.py` and `segmentation.py`.

    python examples/benchmarks/real_images.py             # once: download the emoji
    python examples/benchmarks/scenes.py scenes.png       # look at some scenes and their masks

One to four emoji of 32 to 96 pixels, turned by up to 30 degrees, dimmed by up to a half, and covered by each other by
up to a half, on a random cut of a photograph of scikit-image, whose hue is turned at random: there are few photographs.
Training and test scenes have different ones.

- "known": ten emoji, the same in training and test.
- "unseen": ten categories; the emoji of the test scenes do not occur in training.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path

import numpy as np
import real_images
from PIL import Image, ImageDraw, ImageEnhance

import tltk
from tltk.errors import NotFound

SIDE = 256  # pixels of a scene
SIZES = (32, 97)  # pixels of an emoji before it is turned, the last one exclusive
MIN_VISIBLE = 0.5  # fraction of an object that no other covers
MIN_ALPHA = 127  # of a pixel that belongs to an object
PHOTOS = {
    "train": "astronaut.png brick.png chelsea.png coins.png grass.png hubble_deep_field.jpg ihc.png page.png "
    "motorcycle_left.png retina.jpg",
    "test": "camera.png coffee.png gravel.png moon.png rocket.jpg text.png",
}
CATEGORIES = ("animal-bird", "animal-mammal", "clothing", "country-flag", "face-concerned", "food-fruit", "heart")
CATEGORIES += ("person-role", "time", "transport-ground")


@dataclass(frozen=True)
class Scenes:
    """Scenes with what is in them.

    Args:
        names: Names of the classes.
        images: uint8 [n, side, side, 3].
        boxes: float32 [k, 4] of each scene: y_min, x_min, y_max, x_max in pixels.
        classes: Class of each box, int [k] of each scene.
        masks: uint8 [n, side, side], 0 for the background, class + 1 for objects.
    """

    names: tuple[str, ...]
    images: np.ndarray
    boxes: tuple[np.ndarray, ...]
    classes: tuple[np.ndarray, ...]
    masks: np.ndarray

    def with_boxes(self) -> tltk.Source:
        """Return a source for object detection."""
        y = [
            {"boxes": boxes, "labels": [self.names[number] for number in classes]}
            for boxes, classes in zip(self.boxes, self.classes, strict=True)
        ]
        return tltk.from_arrays(self.images, y, labels=self.names, label_type="boxes")

    def with_masks(self) -> tltk.Source:
        """Return a source for semantic segmentation."""
        names = ("background", *self.names)
        return tltk.from_arrays(self.images, self.masks, labels=names, label_type="masks")


def make(kind: str, *, train: int = 200, test: int = 200, seed: int = 0) -> tuple[Scenes, Scenes]:
    """Compose training and test scenes.

    Args:
        kind: "known" or "unseen".
        train: Number of training scenes.
        test: Number of test scenes.
        seed: Seed of the chosen emoji and of the scenes.
    """
    generator = np.random.default_rng(seed)
    names, train_emoji, test_emoji = (_known if kind == "known" else _unseen)(generator)
    return (
        _compose(names, train_emoji, _photos("train"), train, generator),
        _compose(names, test_emoji, _photos("test"), test, generator),
    )


def _known(generator: np.random.Generator):
    """Choose ten emoji, one of each category."""
    chosen = [emoji[int(generator.integers(len(emoji)))] for emoji in _emoji().values()]
    images = [[image] for _, image in chosen]
    return tuple(name for name, _ in chosen), images, images


def _unseen(generator: np.random.Generator):
    """Choose half of the emoji of each category for training."""
    train, test = [], []
    for emoji in _emoji().values():
        images = [emoji[row][1] for row in generator.permutation(len(emoji))]
        train.append(images[::2])
        test.append(images[1::2])
    return CATEGORIES, train, test


def _emoji() -> dict[str, list[tuple[str, Image.Image]]]:
    """Read the emoji of the categories, each with its name."""
    file = next(iter(sorted(real_images.cache_folder().rglob("emoji.json"))), None)
    if file is None:
        raise NotFound("no emoji found. `python examples/benchmarks/real_images.py` downloads them.")
    rows = sorted(json.loads(file.read_text(encoding="utf-8")), key=lambda row: row["unified"])
    folder = file.parent / "img" / "twitter" / "64"
    return {
        category: [
            (row["short_name"], Image.open(folder / row["image"]).convert("RGBA"))
            for row in rows
            if row["subcategory"] == category and row["has_img_twitter"]
        ]
        for category in CATEGORIES
    }


def _photos(part: str) -> list[Image.Image]:
    folder = Path(util.find_spec("skimage").submodule_search_locations[0]) / "data"
    return [Image.open(folder / name).convert("RGB") for name in PHOTOS[part].split()]


def _compose(
    names: Sequence[str],
    emoji: Sequence[Sequence[Image.Image]],
    photos: Sequence[Image.Image],
    count: int,
    generator: np.random.Generator,
) -> Scenes:
    scenes = [_scene(emoji, photos[int(generator.integers(len(photos)))], generator) for _ in range(count)]
    images, boxes, classes, masks = zip(*scenes, strict=True)
    return Scenes(tuple(names), np.stack(images), boxes, classes, np.stack(masks))


def _scene(emoji: Sequence[Sequence[Image.Image]], photo: Image.Image, generator: np.random.Generator):
    """Compose one scene: image, boxes, classes, mask."""
    side = int(generator.uniform(min(SIDE, *photo.size), min(photo.size)))
    left, top = (int(generator.integers(limit - side + 1)) for limit in photo.size)
    scene = photo.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    hue, *others = scene.convert("HSV").split()
    hue = Image.fromarray(np.asarray(hue) + np.uint8(generator.integers(256)))  # modulo 256: a whole turn
    scene = Image.merge("HSV", (hue, *others)).convert("RGB")
    owners = np.zeros((SIDE, SIDE), int)  # number of the object that is visible, 0 for none
    classes, areas = [], [0]
    for number in range(1, int(generator.integers(2, 6))):
        label = int(generator.integers(len(emoji)))
        image = _turned(emoji[label][int(generator.integers(len(emoji[label])))], generator)
        is_object = np.asarray(image.getchannel("A")) > MIN_ALPHA
        areas.append(is_object.sum())
        is_visible = False
        while not is_visible:
            left, top = (int(generator.integers(SIDE - limit + 1)) for limit in image.size)
            placed = owners.copy()
            placed[top : top + image.height, left : left + image.width][is_object] = number
            visible = np.bincount(placed.ravel(), minlength=number + 1)
            is_visible = all(visible[1:] >= MIN_VISIBLE * np.array(areas[1:]))
        owners = placed
        dimmed = ImageEnhance.Brightness(image.convert("RGB")).enhance(generator.uniform(0.5, 1))
        scene.paste(dimmed, (left, top), image.getchannel("A"))
        classes.append(label)
    places = [np.nonzero(owners == number) for number in range(1, len(areas))]
    boxes = [(y.min(), x.min(), y.max() + 1, x.max() + 1) for y, x in places]
    mask = np.array([0, *(label + 1 for label in classes)], np.uint8)[owners]
    return np.asarray(scene), np.array(boxes, np.float32), np.array(classes), mask


def _turned(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    size = int(generator.integers(*SIZES))
    resized = image.resize((size, size), Image.Resampling.BICUBIC)
    return resized.rotate(generator.uniform(-30, 30), Image.Resampling.BICUBIC, expand=True)


def main() -> None:
    """Write a picture of some scenes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="picture to write")
    options = parser.parse_args()
    rows = []
    for scenes in (*make("known", train=6, test=6), *make("unseen", train=6, test=6)):
        for image, boxes in zip(scenes.images, scenes.boxes, strict=True):
            draw = ImageDraw.Draw(canvas := Image.fromarray(image))
            for top, left, bottom, right in boxes.tolist():
                draw.rectangle((left, top, right - 1, bottom - 1), outline="red", width=2)
            rows.append(np.asarray(canvas))
        rows.extend(np.repeat(25 * mask[..., None], 3, 2) for mask in scenes.masks)
    Image.fromarray(np.vstack([np.hstack(rows[start : start + 6]) for start in range(0, len(rows), 6)])).save(
        options.out
    )


if __name__ == "__main__":
    main()
