"""The demo's pictures: small grey patches of 14 photographs, to be told apart by texture alone."""

import shutil
from importlib import util
from pathlib import Path

import numpy as np
from PIL import Image

from tltk import files

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


def make_patches(folder: Path, *, train: int = 25, val: int = 0, test: int = 100, seed: int = 0) -> Path:
    """Cut patches out of the photographs and write them as train/, val/ and test/ folders with a sub-folder a class.

    A patch is a square of a quarter to half the photograph's height, grey, with its contrast normalised and its
    brightness random, 64 px a side. Training and validation patches come from the left half, test patches from the
    right half: no test pixel was ever seen.

    Args:
        folder: what it holds of an earlier call is replaced.
        train: patches a class.
        val: patches a class; 0 makes no val/ folder.
        test: patches a class.
        seed: of places, sizes and brightness.

    Returns:
        The folder.

    Raises:
        ModuleNotFoundError: if scikit-image is not installed.
        OSError: if the folder cannot be written.
    """
    generator = np.random.default_rng(seed)
    files.make_folder(folder, needs=14 * (train + val + test) * 8_000)
    for part, count in (("train", train), ("val", val), ("test", test)):
        shutil.rmtree(folder / part, ignore_errors=True)
        for label in PHOTOS if count else ():
            place = files.make_folder(folder / part / label)
            half = _half(read_photo(label), right=part == "test")
            for number in range(count):
                Image.fromarray(cut_patch(half, generator)).save(place / f"{number:03d}.png")
    return folder


def read_photo(label: str) -> np.ndarray:
    """Read one of the 14 photographs as grey float64 [rows, columns] in [0, 255]."""
    found = util.find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("the demo's photographs are in scikit-image: pip install tltk[demo]", name="skimage")
    path = Path(found.submodule_search_locations[0]) / "data" / PHOTOS[label]
    return np.asarray(Image.open(path).convert("L"), float)


def cut_patch(half: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Cut one random patch out of half a photograph: uint8 [64, 64]."""
    rows, columns = half.shape
    side = int(generator.uniform(rows / 4, min(rows / 2, columns)))
    top, left = generator.integers(rows - side + 1), generator.integers(columns - side + 1)
    patch = Image.fromarray(half[top : top + side, left : left + side].astype("float32"))
    small = np.asarray(patch.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    even = (small - small.mean()) / (small.std() + 1e-3)
    return np.clip(even * 48 + 128 + generator.uniform(-40, 40), 0, 255).astype("uint8")


def _half(photo: np.ndarray, *, right: bool) -> np.ndarray:
    middle = photo.shape[1] // 2
    return photo[:, middle:] if right else photo[:, :middle]
