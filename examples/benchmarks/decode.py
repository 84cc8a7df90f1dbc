"""How fast a folder of one-megapixel JPEGs becomes batches of 224 px: tltk beside plain Keras, on the same files.

    python examples/benchmarks/decode.py            # a table
    python examples/benchmarks/decode.py --json     # one JSON object and nothing else on standard output

Both read the same generated folder (crops of scikit-learn's two photographs, enlarged to 1024 × 1024, a little seeded
noise, JPEG quality 90) in alternating passes; each figure is a median. A pass is what an epoch of `fit` does: make an
iterator, take every batch, let the iterator go. Letting go is part of it because Keras' tuned iterator then waits for
TensorFlow's tuning thread; `vs_keras_to_last_batch` leaves it out. How much a reduced scale saves depends on the
detail in the pictures, of which the kilobytes are a measure: unpacking the Huffman code cannot be reduced.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_images

from tltk.data.formats.folder import from_folder
from tltk.modalities.batches import batches
from tltk.specs import ImageSpec

SIDE = 1024  # pixels: 1.05 megapixels
SIZE = 224
BATCH = 32


def make_folder(folder: Path, pictures: int) -> float:
    """Write the pictures into two class folders and return their mean size in kilobytes."""
    generator = np.random.default_rng(0)
    photos = load_sample_images().images
    sizes = []
    for number in range(pictures):
        photo = photos[number % len(photos)]
        side = int(min(photo.shape[:2]) * generator.uniform(0.3, 0.8))
        top, left = (int(generator.integers(length - side)) for length in photo.shape[:2])
        crop = Image.fromarray(photo[top : top + side, left : left + side])
        large = np.asarray(crop.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32)
        noisy = large + generator.normal(0, 1, large.shape)
        path = folder / ("china", "flower")[number % 2] / f"{number:04d}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(path, quality=90)
        sizes.append(path.stat().st_size)
    return float(np.mean(sizes)) / 1000


def by_keras(folder: Path) -> tf.data.Dataset:
    """Read it as `keras.utils.image_dataset_from_directory` does: decode in full, resize without antialiasing."""
    options = {"image_size": (SIZE, SIZE), "batch_size": BATCH, "shuffle": False, "verbose": False}
    return keras.utils.image_dataset_from_directory(folder, **options)


def by_tltk(folder: Path) -> tf.data.Dataset:
    """Read it as tltk does: decode at a reduced scale, resize by area."""
    return batches(from_folder(folder), ImageSpec(SIZE, SIZE), batch_size=BATCH).dataset()


def timed(dataset: tf.data.Dataset) -> tuple[float, float]:
    """Return the seconds of one pass, and of the part of it up to the last batch."""
    begun = time.perf_counter()
    iterator = iter(dataset)
    for _ in iterator:
        pass
    reading = time.perf_counter() - begun
    del iterator
    return time.perf_counter() - begun, reading


def psnr(dataset: tf.data.Dataset, folder: Path, pictures: int = 32) -> float:
    """Return the mean PSNR in dB against a full-size, antialiased resize of the same pictures."""
    paths = sorted(str(path) for path in folder.rglob("*.jpg"))[:pictures]
    images = np.concatenate([images.numpy() for images, _ in dataset])[:pictures]
    found = []
    for path, image in zip(paths, images, strict=True):
        full = tf.io.decode_jpeg(tf.io.read_file(path), channels=3, dct_method="INTEGER_ACCURATE")
        reference = tf.image.resize(full, (SIZE, SIZE), antialias=True).numpy()
        found.append(10 * np.log10(255**2 / np.mean((image - reference) ** 2)))
    return float(np.mean(found))


def measure(folder: Path, runs: int, say: Callable[[str], None]) -> dict[str, float]:
    """Time both in alternation and return medians and their ratios."""
    readers = {"keras": by_keras(folder), "tltk": by_tltk(folder)}
    for dataset in readers.values():
        timed(dataset)  # the first pass pays for tracing and for the disk
    passes: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
    for run in range(runs):
        for name, dataset in readers.items():
            passes[name].append(timed(dataset))
        say(f"run {run + 1} of {runs}: " + ", ".join(f"{name} {times[-1][0]:.2f} s" for name, times in passes.items()))
    whole = {name: float(np.median([both[0] for both in times])) for name, times in passes.items()}
    reading = {name: float(np.median([both[1] for both in times])) for name, times in passes.items()}
    return {
        "vs_keras": whole["keras"] / whole["tltk"],
        "vs_keras_to_last_batch": reading["keras"] / reading["tltk"],
        **{f"seconds_{name}": seconds for name, seconds in whole.items()},
        **{f"psnr_{name}": psnr(dataset, folder) for name, dataset in readers.items()},
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--pictures", type=int, default=384)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        say(f"writing {options.pictures} pictures")
        kilobytes = make_folder(folder, options.pictures)
        found = measure(folder, options.runs, say)
    found |= {"pictures": options.pictures, "kilobytes": kilobytes, "runs": options.runs}
    if options.json:
        print(json.dumps({key: round(value, 3) for key, value in found.items()}))
        return
    print(
        f"{options.pictures} JPEGs of 1.05 megapixels, {kilobytes:.0f} KB each, to {SIZE} px; median of {options.runs}"
    )
    print(f"{'':8}{'pictures/s':>12}{'PSNR':>10}")
    for reader in ("keras", "tltk"):
        speed = options.pictures / found[f"seconds_{reader}"]
        print(f"{reader:8}{speed:12.0f}{found[f'psnr_{reader}']:8.1f} dB")
    print(f"tltk reads {found['vs_keras']:.2f} times as fast ({found['vs_keras_to_last_batch']:.2f} to the last batch)")


if __name__ == "__main__":
    main()
