"""Classification tasks of real images and texts, on which `auto.py` and `advice.py` compare choices.

Images: Fashion-MNIST with 10, 40 and 100 examples of each class, emoji in nine groups with 15, grey patches of
photographs with 25, and the 8×8 digits of scikit-learn with 20; 64 px, EfficientNet-Lite0. Patches are tested on
another part of the photographs, or, as `near_patches_25`, where the training patches are. Texts: summaries of Debian
packages with 8 and 40 examples of each section, docstrings with 30; MiniLM. `real_images.py` and `tltk weights get`
download the rest.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import real_images
import real_texts
from sklearn.datasets import load_digits

import tltk
from tltk.demo.docstrings import docstrings
from tltk.demo.patches import make_patches

SIDE, LENGTH = 64, 64
LITE0, MINILM = "efficientnet_lite0", "all_minilm_l6_v2_en"
_MAX_PATCHES = 1400  # to test on, of 14 photographs: more would be of the same places


@dataclass(frozen=True)
class Drawn:
    """A training set drawn from a pool, and a fixed test set.

    Args:
        train: Training source.
        test: Test source.
        backbone: Backbone.
    """

    train: Any
    test: Any
    backbone: Any


def _fashion(labels: int, seed: int, tested: int) -> Drawn:
    images = real_images.load("fashion_mnist", None, side=SIDE, tested=max(tested, real_images.TESTED))
    return _images(images, labels, seed, tested)


def _emoji(labels: int, seed: int, tested: int) -> Drawn:
    return _images(real_images.load("emoji", None, side=SIDE), labels, seed, tested)


def _images(images: real_images.ImageSet, labels: int, seed: int, tested: int) -> Drawn:
    rows = np.random.default_rng(0).permutation(len(images.test_y))[:tested]
    return Drawn(
        tltk.from_arrays(*images.draw(labels, seed=seed), labels=images.names),
        tltk.from_arrays(images.test_x[rows], images.test_y[rows], labels=images.names),
        tltk.backbone(LITE0, image_size=SIDE),
    )


def _digits(labels: int, seed: int, tested: int) -> Drawn:
    digits = load_digits()
    pixels = np.repeat((digits.images * 15.9).astype("uint8")[..., None], 3, -1)
    order = np.random.default_rng(0).permutation(len(pixels))
    pool, test = order[:900], order[900:][:tested]
    images = real_images.ImageSet(
        tuple(map(str, range(10))), pixels[pool], digits.target[pool], pixels[test], digits.target[test]
    )
    return _images(images, labels, seed, tested)


def _patches(labels: int, seed: int, tested: int) -> Drawn:
    folder = Path(tempfile.mkdtemp(prefix="tltk-patches-"))
    count = max(1, min(tested, _MAX_PATCHES) // 14)
    source = tltk.from_folder(make_patches(folder, train=labels, val=1, test=count, seed=seed))
    train, _, test = tltk.split(source)
    return Drawn(train, test, tltk.backbone(LITE0, image_size=SIDE))


def _near_patches(labels: int, seed: int, tested: int) -> Drawn:
    """Draw test patches too from where the training patches are: they overlap, as the latter do among themselves."""
    folder, count = Path(tempfile.mkdtemp(prefix="tltk-patches-")), max(1, min(tested, _MAX_PATCHES) // 14)
    source = tltk.from_folder(make_patches(folder, train=labels + count, val=1, test=1, seed=seed) / "train")
    train, _, test = tltk.split(source, val=0, test=count / (labels + count), seed=seed)
    return Drawn(train, test, tltk.backbone(LITE0, image_size=SIDE))


def _summaries(labels: int, seed: int, tested: int) -> Drawn:
    texts = real_texts.package_summaries()
    rows = np.random.default_rng(0).permutation(len(texts.test_y))[:tested]
    return Drawn(
        tltk.from_arrays(*texts.draw(labels, seed=seed), labels=texts.names),
        tltk.from_arrays(texts.test_x[rows].tolist(), texts.test_y[rows], labels=texts.names),
        tltk.backbone(MINILM, sequence_length=LENGTH),
    )


def _docstrings(labels: int, seed: int, tested: int) -> Drawn:
    source, files = docstrings(max_per_topic=2 * labels)
    train, _, test = tltk.split(source, val=0, test=0.5, seed=seed, groups=files)
    return Drawn(train, test.subset(np.arange(min(tested, len(test)))), tltk.backbone(MINILM, sequence_length=LENGTH))


# Name → examples of each class, and the function that draws them: (labels, seed, tested) → Drawn.
TASKS: dict[str, tuple[int, Callable[[int, int, int], Drawn]]] = {
    "fashion_mnist_10": (10, _fashion),
    "fashion_mnist_40": (40, _fashion),
    "fashion_mnist_100": (100, _fashion),
    "emoji_15": (15, _emoji),
    "patches_25": (25, _patches),
    "near_patches_25": (25, _near_patches),
    "digits_20": (20, _digits),
    "summaries_8": (8, _summaries),
    "summaries_40": (40, _summaries),
    "docstrings_30": (30, _docstrings),
}
QUICK = ("fashion_mnist_10", "digits_20", "summaries_8")


def draw(name: str, *, seed: int, tested: int, times: int = 1) -> Drawn:
    """Draw a training set of a task, with its labels or a multiple of them; equal seeds draw equal sets."""
    labels, drawn_by = TASKS[name]
    return drawn_by(times * labels, seed, tested)


def command_line(description: str) -> argparse.ArgumentParser:
    """Return the options that both benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--seeds", type=int, default=3, help="number of training sets")
    parser.add_argument("--tested", type=int, default=1000, help="test examples of a task at most")
    parser.add_argument("--quick", action="store_true", help="three tasks, one seed, 500 test examples")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    return parser


def with_quick(options: argparse.Namespace) -> argparse.Namespace:
    """Apply `--quick`."""
    if options.quick:
        options.tasks, options.seeds, options.tested = list(QUICK), 1, 500
    return options


def say(text: str) -> None:
    """Print progress on standard error."""
    print(text, file=sys.stderr, flush=True)
