"""An image classification data set for the demo: small grey patches of 14 photographs, told apart by texture."""

import re
from importlib import util
from pathlib import Path

import numpy as np
from PIL import Image

from tltk.foundation import files
from tltk.foundation.errors import MissingExtra

# Label → file in scikit-image's `skimage/data` (all but the last two are in its wheel since 0.18).
PHOTOS = {
    "brick": "brick.png",
    "camera_man": "camera.png",
    "cat": "chelsea.png",
    "cell": "cell.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "hubble": "hubble_deep_field.jpg",
    "moon": "moon.png",
    "page": "page.png",
    "retina": "retina.jpg",
    "text": "text.png",
    "tissue": "ihc.png",
}
SIDE = 64  # pixels
TRAIN_ROWS = 0.6  # fraction of the left half's height


def make_patches(folder: Path, *, train: int = 25, val: int = 15, test: int = 100, seed: int = 0) -> Path:
    """Cut patches out of the photographs, and write them to train/, val/ and test/ with one sub-folder per class.

    A patch is a grey square of a quarter to half the photograph's height, resized to 64 px, with normalised contrast
    and random brightness. Test patches come from the right half of a photograph, training patches from three fifths
    and validation patches from two fifths of the left half's height. The parts share no pixel, because overlapping
    patches would make the validation accuracy useless.

    Args:
        folder: Folder to write to; patches of an earlier call are replaced.
        train: Training patches per class.
        val: Validation patches per class.
        test: Test patches per class.
        seed: Seed of positions, sizes and brightness.

    Returns:
        The folder.

    Raises:
        MissingExtra: If scikit-image is not installed.
        FileError: If the folder cannot be written, or holds files that are not patches.
    """
    generator = np.random.default_rng(seed)
    files.make_folder(folder, required_bytes=14 * (train + val + test) * 8_000)
    for part, count in (("train", train), ("val", val), ("test", test)):
        files.make_generated_folder(folder / part, pattern="|".join(map(re.escape, PHOTOS)))
        for index, label in enumerate(PHOTOS):
            class_folder = files.make_generated_folder(folder / part / label, pattern=r"\d+\.png")
            photo = read_photo(label)
            region = region_of(photo, part, upside_down=index % 2 == 1)
            for number in range(count):
                patch = cut_patch(region, generator, height=len(photo))
                Image.fromarray(patch).save(class_folder / f"{number:03d}.png")
    return folder


def read_photo(label: str) -> np.ndarray:
    """Read one of the 14 photographs in grey: float64 [rows, columns] in [0, 255]."""
    package = util.find_spec("skimage")
    if package is None or not package.submodule_search_locations:
        raise MissingExtra("the demo needs the photographs of scikit-image: pip install tltk[demo]", name="skimage")
    path = Path(package.submodule_search_locations[0]) / "data" / PHOTOS[label]
    with Image.open(path) as photo:
        return np.asarray(photo.convert("L"), float)


def region_of(photo: np.ndarray, part: str, *, upside_down: bool) -> np.ndarray:
    """Return the region of a photograph for the patches of one part; the regions of the parts do not overlap.

    Args:
        photo: Array [rows, columns].
        part: "train", "val" or "test".
        upside_down: Whether the training region is below the validation region instead of above it. Alternating it
            between photographs avoids a part that shows only sky.

    Returns:
        A view of the photograph.
    """
    rows, columns = photo.shape
    if part == "test":
        return photo[:, columns // 2 :]
    left = photo[:, : columns // 2]
    fraction = TRAIN_ROWS if part == "train" else 1 - TRAIN_ROWS
    at_top = (part == "train") != upside_down
    height = round(rows * fraction)
    return left[:height] if at_top else left[rows - height :]


def cut_patch(region: np.ndarray, generator: np.random.Generator, *, height: int) -> np.ndarray:
    """Cut a random square of a quarter to half the photograph's height, and resize it to uint8 [64, 64]."""
    rows, columns = region.shape
    side = int(generator.uniform(height / 4, max(min(height / 2, rows, columns), height / 4 + 1)))
    side = min(side, rows, columns)
    top, left = generator.integers(rows - side + 1), generator.integers(columns - side + 1)
    patch = Image.fromarray(region[top : top + side, left : left + side].astype("float32"))
    resized = np.asarray(patch.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    normalized = (resized - resized.mean()) / (resized.std() + 1e-3)
    return np.clip(normalized * 48 + 128 + generator.uniform(-40, 40), 0, 255).astype("uint8")
