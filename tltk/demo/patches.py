"""The demo's pictures: small grey patches of 14 photographs, to be told apart by texture alone."""

import shutil
from importlib import util
from pathlib import Path

import numpy as np
from PIL import Image

from tltk.foundation import checks as check
from tltk.foundation import files

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
SIDE = 64
TRAIN_ROWS = 0.6


def make_patches(folder: Path, *, train: int = 25, val: int = 15, test: int = 100, seed: int = 0) -> Path:
    """Cut patches out of the photographs and write them as train/, val/ and test/ folders with a sub-folder a class.

    A patch is a square of a quarter to half the photograph's height, grey, with its contrast normalised and its
    brightness random, 64 px a side. Test patches come from the right half; training and validation patches from
    either three fifths and two fifths of the left half's height. No pixel is in two parts: patches that overlap
    those trained on would call every epoch and every phase perfect.

    Args:
        folder: what it holds of an earlier call is replaced.
        train: patches a class.
        val: patches a class.
        test: patches a class.
        seed: of places, sizes and brightness.

    Returns:
        The folder.

    Raises:
        MissingExtraError: if scikit-image is not installed.
        OSError: if the folder cannot be written.
    """
    generator = np.random.default_rng(seed)
    files.make_folder(folder, needs=14 * (train + val + test) * 8_000)
    for part, count in (("train", train), ("val", val), ("test", test)):
        shutil.rmtree(folder / part, ignore_errors=True)
        for index, label in enumerate(PHOTOS):
            place = files.make_folder(folder / part / label)
            photo = read_photo(label)
            region = region_of(photo, part, upside_down=index % 2 == 1)
            for number in range(count):
                patch = cut_patch(region, generator, height=len(photo))
                Image.fromarray(patch).save(place / f"{number:03d}.png")
    return folder


def read_photo(label: str) -> np.ndarray:
    """Read one of the 14 photographs as grey float64 [rows, columns] in [0, 255]."""
    found = util.find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        raise check.MissingExtraError(
            "the demo's photographs are in scikit-image: pip install tltk[demo]", name="skimage"
        )
    path = Path(found.submodule_search_locations[0]) / "data" / PHOTOS[label]
    with Image.open(path) as photo:
        return np.asarray(photo.convert("L"), float)


def region_of(photo: np.ndarray, part: str, *, upside_down: bool) -> np.ndarray:
    """Return the region of a photograph that the patches of one part are cut from.

    Args:
        photo: [rows, columns].
        part: "train", "val" or "test".
        upside_down: take the training region from below instead of from above, so that neither part is all sky.

    Returns:
        A view of the photograph; the regions of the three parts do not overlap.
    """
    rows, columns = photo.shape
    if part == "test":
        return photo[:, columns // 2 :]
    left = photo[:, : columns // 2]
    share = TRAIN_ROWS if part == "train" else 1 - TRAIN_ROWS
    from_above = (part == "train") != upside_down
    kept = round(rows * share)
    return left[:kept] if from_above else left[rows - kept :]


def cut_patch(region: np.ndarray, generator: np.random.Generator, *, height: int) -> np.ndarray:
    """Cut one random patch, a quarter to half as high as the whole photograph: uint8 [64, 64]."""
    rows, columns = region.shape
    side = int(generator.uniform(height / 4, max(min(height / 2, rows, columns), height / 4 + 1)))
    side = min(side, rows, columns)
    top, left = generator.integers(rows - side + 1), generator.integers(columns - side + 1)
    patch = Image.fromarray(region[top : top + side, left : left + side].astype("float32"))
    small = np.asarray(patch.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    even = (small - small.mean()) / (small.std() + 1e-3)
    return np.clip(even * 48 + 128 + generator.uniform(-40, 40), 0, 255).astype("uint8")
