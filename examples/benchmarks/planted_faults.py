"""Writes images to folders as people have them, with faults, for `inspection.py`.

    python examples/benchmarks/real_images.py                       # once: download Fashion-MNIST and the emoji
    python examples/benchmarks/planted_faults.py faults/            # faults/train and faults/test, to look at

Images of one set become PNG files of 64 px. Planted are, as fractions of them: 5 % exact copies (half of them in
another file format), 2.5 % in the test folder too, 3 % broken files (empty, truncated, damaged in the middle, not an
image), 10 % near duplicates (cropped to 90 %, resized to half or three quarters, JPEG of quality 40 to 90, brightness
0.75 to 1.25, rotated by 2 to 6 degrees), 5 % labels changed to another class.
"""

import argparse
import io
from pathlib import Path

import numpy as np
import real_images
from PIL import Image, ImageEnhance

SIDE = 64
FORMATS = (("png", {"compress_level": 1}), ("bmp", {}), ("webp", {"lossless": True}), ("tiff", {}))
CHANGES = ("crop", "resize", "re-encode", "brightness", "rotate")
SHARES = {"copies": 0.05, "leaks": 0.025, "broken": 0.03, "near": 0.1, "labels": 0.05}


def main() -> None:
    """Read the command line, write the folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to create")
    parser.add_argument("--data", default="emoji", choices=list(real_images.SETS))
    parser.add_argument("--folder", type=Path, help="folder with the files of the set, at any depth")
    parser.add_argument("--count", type=int, default=500, help="images at most")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    images = real_images.load(options.data, options.folder, side=SIDE)
    x, y = images.x[: options.count], images.y[: options.count]
    planted = plant(x, y, images.names, options.out, np.random.default_rng(options.seed))
    print({fault: len(planted[fault]) for fault in SHARES})


def plant(x: np.ndarray, y: np.ndarray, names: tuple[str, ...], folder: Path, generator: np.random.Generator) -> dict:
    """Write the images and the faults; return the ids of what was planted."""
    folders = [f"{number:02} {name.replace('/', '-')}" for number, name in enumerate(names)]
    for part in ("train", "test"):
        for name in folders:
            (folder / part / name).mkdir(parents=True)
    counts = {fault: round(share * len(x)) for fault, share in SHARES.items()}
    rows = generator.permutation(len(x))
    given = y.copy()
    flipped = rows[: counts["labels"]]
    given[flipped] = (given[flipped] + generator.integers(1, len(names), len(flipped))) % len(names)
    ids = [f"{folders[label]}/{row:05}.png" for row, label in enumerate(given)]
    for row, name in enumerate(ids):
        Image.fromarray(x[row]).save(folder / "train" / name)
    planted: dict = {"labels": {ids[row] for row in flipped}, "copies": set(), "leaks": set(), "broken": set()}
    planted |= {"near": {}, "family": {name: row for row, name in enumerate(ids)}}
    rest = rows[counts["labels"] :]
    for number, row in enumerate(generator.choice(rest, counts["copies"], replace=False)):
        planted["copies"].add(copy(x[row], folder / "train", f"{folders[y[row]]}/copy {row:05}", number))
    for number, row in enumerate(generator.choice(rest, counts["leaks"], replace=False)):
        copy(x[row], folder / "test", f"{folders[y[row]]}/{row:05}", number)
        planted["leaks"].add(ids[row])
    for number, row in enumerate(generator.choice(rest, counts["broken"], replace=False)):
        name = f"{folders[y[row]]}/broken {row:05}.{('png', 'jpg')[number % 2]}"
        (folder / "train" / name).write_bytes(broken(x[row], number, generator))
        planted["broken"].add(name)
    for number, row in enumerate(generator.choice(rest, counts["near"], replace=False)):
        change = CHANGES[number % len(CHANGES)]
        name = f"{folders[y[row]]}/near {row:05}.png"
        Image.fromarray(changed(x[row], change, generator)).save(folder / "train" / name)
        planted["near"][name] = (ids[row], change)
        planted["family"][name] = int(row)
    return planted


def copy(pixels: np.ndarray, folder: Path, name: str, number: int) -> str:
    """Write a copy, every second time in another format than the original or with another compression."""
    ending, settings = FORMATS[number // 2 % len(FORMATS)] if number % 2 else ("png", {})
    Image.fromarray(pixels).save(folder / f"{name}.{ending}", **settings)
    return f"{name}.{ending}"


def broken(pixels: np.ndarray, number: int, generator: np.random.Generator) -> bytes:
    """Return a file that cannot be read: a PNG for even numbers, a JPEG for odd ones."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, ("PNG", "JPEG")[number % 2])
    data = bytearray(file.getvalue())
    kind = number // 2 % 4
    if kind == 0:
        return b""
    if kind == 1:
        return bytes(data[: int(len(data) * generator.uniform(0.3, 0.9))])
    if kind == 2:
        return b"<html><body>404 Not Found</body></html>"
    # libjpeg decodes damaged data as grey blocks; without its tables, it cannot.
    start = data.index(b"\xff\xdb") if number % 2 else data.index(b"IDAT") + 4
    data[start : start + 60] = b"\xaa" * 60
    return bytes(data)


def changed(pixels: np.ndarray, change: str, generator: np.random.Generator) -> np.ndarray:
    """Return a near duplicate of an image."""
    image = Image.fromarray(pixels)
    size = image.size
    if change == "crop":
        side = int(0.9 * SIDE)
        left, top = (int(value) for value in generator.integers(0, SIDE - side + 1, 2))
        image = image.crop((left, top, left + side, top + side)).resize(size, Image.Resampling.BILINEAR)
    elif change == "resize":
        side = int(SIDE * generator.choice([0.5, 0.75]))
        image = image.resize((side, side), Image.Resampling.BILINEAR).resize(size, Image.Resampling.BILINEAR)
    elif change == "re-encode":
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(generator.integers(40, 91)))
        image = Image.open(file).convert("RGB")
    elif change == "brightness":
        image = ImageEnhance.Brightness(image).enhance(float(generator.choice([0.75, 0.85, 1.15, 1.25])))
    else:
        angle = float(generator.uniform(2, 6) * generator.choice([-1, 1]))
        image = image.rotate(angle, Image.Resampling.BILINEAR, fillcolor=tuple(int(value) for value in pixels[0, 0]))
    return np.asarray(image)


if __name__ == "__main__":
    main()
