"""Speed of reading one-megapixel JPEGs as batches of 224 px: tltk and plain Keras on the same files.

    python examples/benchmarks/decode.py            # a table
    python examples/benchmarks/decode.py --json     # one JSON object and nothing else on standard output

Both read the same generated folder (crops of scikit-learn's two photographs, enlarged to 1024 × 1024, with some seeded
noise, JPEG quality 90) in alternating passes; the results are medians. A pass is an epoch of `fit`: create an iterator,
take every batch, delete the iterator. Deletion is included because Keras' tuned iterator waits for TensorFlow's tuning
thread then; `vs_keras_to_last_batch` excludes it. How much decoding at a reduced scale saves depends on the detail in
the images, which their size in kilobytes indicates: the Huffman code must always be decoded in full.
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


def make_folder(folder: Path, count: int) -> float:
    """Write images into two class folders and return their mean size in kilobytes."""
    generator = np.random.default_rng(0)
    photos = load_sample_images().images
    sizes = []
    for number in range(count):
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
    """Read with `keras.utils.image_dataset_from_directory`: decodes in full, resizes without antialiasing."""
    options = {"image_size": (SIZE, SIZE), "batch_size": BATCH, "shuffle": False, "verbose": False}
    return keras.utils.image_dataset_from_directory(folder, **options)


def by_tltk(folder: Path) -> tf.data.Dataset:
    """Read with tltk: decodes at a reduced scale, resizes by area."""
    return batches(from_folder(folder), ImageSpec(SIZE, SIZE), batch_size=BATCH).dataset()


def timed(dataset: tf.data.Dataset) -> tuple[float, float]:
    """Return the seconds of one pass, and of the part of it up to the last batch."""
    start = time.perf_counter()
    iterator = iter(dataset)
    for _ in iterator:
        pass
    reading = time.perf_counter() - start
    del iterator
    return time.perf_counter() - start, reading


def psnr(dataset: tf.data.Dataset, folder: Path, count: int = 32) -> float:
    """Return the mean PSNR in dB against a full-size, antialiased resize of the same images."""
    paths = sorted(str(path) for path in folder.rglob("*.jpg"))[:count]
    images = np.concatenate([images.numpy() for images, _ in dataset])[:count]
    values = []
    for path, image in zip(paths, images, strict=True):
        full = tf.io.decode_jpeg(tf.io.read_file(path), channels=3, dct_method="INTEGER_ACCURATE")
        reference = tf.image.resize(full, (SIZE, SIZE), antialias=True).numpy()
        values.append(10 * np.log10(255**2 / np.mean((image - reference) ** 2)))
    return float(np.mean(values))


def measure(folder: Path, runs: int, say: Callable[[str], None]) -> dict[str, float]:
    """Time both in alternation and return medians and their ratios."""
    readers = {"keras": by_keras(folder), "tltk": by_tltk(folder)}
    for dataset in readers.values():
        timed(dataset)  # the first pass includes tracing and reading from disk
    passes: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
    for run in range(runs):
        for name, dataset in readers.items():
            passes[name].append(timed(dataset))
        say(f"run {run + 1} of {runs}: " + ", ".join(f"{name} {times[-1][0]:.2f} s" for name, times in passes.items()))
    whole = {name: float(np.median([total for total, _ in times])) for name, times in passes.items()}
    reading = {name: float(np.median([to_last for _, to_last in times])) for name, times in passes.items()}
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
    parser.add_argument("--images", type=int, default=384)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        say(f"writing {options.images} images")
        kilobytes = make_folder(folder, options.images)
        result = measure(folder, options.runs, say)
    result |= {"images": options.images, "kilobytes": kilobytes, "runs": options.runs}
    if options.json:
        print(json.dumps({key: round(value, 3) for key, value in result.items()}))
        return
    print(f"{options.images} JPEGs of 1.05 megapixels, {kilobytes:.0f} KB each, to {SIZE} px; median of {options.runs}")
    print(f"{'':8}{'images/s':>12}{'PSNR':>10}")
    for reader in ("keras", "tltk"):
        speed = options.images / result[f"seconds_{reader}"]
        print(f"{reader:8}{speed:12.0f}{result[f'psnr_{reader}']:8.1f} dB")
    print(
        f"tltk reads {result['vs_keras']:.2f} times as fast ({result['vs_keras_to_last_batch']:.2f} to the last batch)"
    )


if __name__ == "__main__":
    main()
