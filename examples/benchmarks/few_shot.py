"""Accuracy of the default recipes with 10 and 40 labelled examples per class: four methods, real images, real weights.

    python examples/benchmarks/real_images.py             # once: download Fashion-MNIST and the emoji
    tltk weights get efficientnet_lite0                     # once: download the ImageNet weights
    python examples/benchmarks/few_shot.py                  # a table
    python examples/benchmarks/few_shot.py --json           # one JSON object, nothing else on standard output

On EfficientNet-Lite0 at 64 px, which is the emoji's own size and enlarges Fashion-MNIST's 28 px:

- logistic_regression: scikit-learn's StandardScaler and LogisticRegressionCV on the pooled features;
- linear_probe, fine_tune: `tltk.linear_probe()` and `tltk.fine_tune()` without an argument;
- keras_guide: the transfer-learning guide of Keras, in Keras alone: dropout 0.2 and one dense layer, flips and
  rotations, 20 epochs frozen with Adam at 1e-3, 10 unfrozen at 1e-5, batches of 32; keras_guide_frozen is the same
  model before it is unfrozen. The guide's `base(x, training=False)` does not last in Keras 3.15, see
  docs/design-notes.md: when unfrozen, its batch norm adapts to the few images. It is measured as it is.

Every method is trained on the same images with all their labels: there is no validation part, and nothing is selected
by validation scores. Each seed draws another training set; the test set stays the same. Seconds are those of training
alone, including the computation of features and the tracing of graphs.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import keras
import numpy as np
import real_images
from real_images import ImageSet
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import tltk
from tltk.cli import console
from tltk.recipes import Recipe

Trained: TypeAlias = Iterator[tuple[str, Callable[[np.ndarray], np.ndarray], float]]  # method, predict, seconds
SIDE = 64
FOLDS = 5


def main() -> None:
    """Read the command line, measure, show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=list(real_images.SETS), choices=list(real_images.SETS))
    parser.add_argument("--fashion-mnist", type=Path, help="folder with the IDX files, at any depth")
    parser.add_argument("--emoji", type=Path, help="folder with emoji.json, at any depth")
    parser.add_argument("--get", action="store_true", help="first download both with apt-get and npm")
    parser.add_argument("--labels", nargs="+", type=int, default=[10, 40], help="training images per class")
    parser.add_argument("--seeds", type=int, default=3, help="number of training sets")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="a name from `tltk backbones`")
    parser.add_argument("--weights", default="pretrained", help='path of a weight file, or "random"')
    parser.add_argument("--tested", type=int, help="number of test images; all by default")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args()
    with console.command(as_json=options.json):
        if options.get:
            real_images.fetch()
        sets = {name: real_images.load(name, getattr(options, name), side=SIDE) for name in options.data}
        by_data = {
            name: {str(labels): measure(sets[name], labels, name, options) for labels in options.labels}
            for name in sets
        }
        if options.json:
            console.show_json(
                {"image_size": SIDE, "backbone": options.backbone, "seeds": options.seeds, "data": by_data}
            )
        else:
            show(by_data)


def measure(images: ImageSet, labels: int, name: str, options: argparse.Namespace) -> dict:
    """Run every method on `options.seeds` training sets.

    Returns:
        Method → mean accuracy, standard deviation over seeds and mean seconds; the number of test images; and the
        claims: differences of mean accuracy, and the guide's seconds over those of fine_tune.
    """
    test_x, test_y = images.test_x[: options.tested], images.test_y[: options.tested]
    results: dict[str, list[tuple[float, float]]] = {}
    for seed in range(options.seeds):
        x, y = images.draw(labels, seed=seed)
        for train in METHODS:
            keras.utils.clear_session()
            keras.utils.set_random_seed(seed)
            backbone = tltk.backbone(options.backbone, weights=options.weights, image_size=SIDE)
            for method, predict, seconds in train(backbone, images.names, x, y, seed):
                accuracy = float((predict(test_x) == test_y).mean())
                results.setdefault(method, []).append((accuracy, seconds))
                console.say(f"{name}, {labels} per class, seed {seed}: {method} {accuracy:.4f} in {seconds:.0f} s")
    methods = {
        method: {
            "accuracy": float(np.mean([accuracy for accuracy, _ in runs])),
            "std": float(np.std([accuracy for accuracy, _ in runs])),
            "seconds": float(np.mean([seconds for _, seconds in runs])),
        }
        for method, runs in results.items()
    }
    return {"methods": methods, "tested": len(test_y), **claims(methods)}


def claims(methods: dict[str, dict[str, float]]) -> dict[str, float]:
    """Compare the methods: differences of accuracy, and how many times longer the guide takes."""
    accuracy = {method: metrics["accuracy"] for method, metrics in methods.items()}
    return {
        "probe_minus_logistic_regression": accuracy["linear_probe"] - accuracy["logistic_regression"],
        "fine_tune_minus_probe": accuracy["fine_tune"] - accuracy["linear_probe"],
        "fine_tune_minus_guide": accuracy["fine_tune"] - accuracy["keras_guide"],
        "fine_tune_minus_guide_frozen": accuracy["fine_tune"] - accuracy["keras_guide_frozen"],
        "guide_seconds_over_fine_tune": methods["keras_guide"]["seconds"] / methods["fine_tune"]["seconds"],
    }


def logistic_regression(backbone, names, x, y, seed) -> Trained:
    """Standardise the pooled features of the frozen backbone; choose the penalty by cross-validation."""
    assembled = tltk.assemble(backbone, tltk.classification(tltk.specs.LabelSpec(names))).keras
    pooled = keras.Model(assembled.input, assembled.get_layer("head_pool").output)
    classifier = LogisticRegressionCV(Cs=10, cv=min(FOLDS, len(y) // len(names)), max_iter=1000)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # scikit-learn 1.8 announces other defaults; these are 1.5's too
        fitted = make_pipeline(StandardScaler(), classifier).fit(_predicted(pooled, x), y)
    seconds = time.perf_counter() - start
    yield "logistic_regression", lambda pixels: fitted.predict(_predicted(pooled, pixels)), seconds


def by_recipe(recipe: Recipe) -> Callable:
    """Train by a recipe of tltk."""

    def train(backbone, names, x, y, seed) -> Trained:
        source = tltk.from_arrays(x, y, labels=names)
        model = tltk.assemble(backbone, tltk.classification(source.labels), seed=seed)
        start = time.perf_counter()
        tltk.fit(model, source, recipe=recipe, seed=seed)
        seconds = time.perf_counter() - start
        yield recipe.name, lambda pixels: _predicted(model.keras, pixels).argmax(-1), seconds

    return train


def keras_guide(backbone, names, x, y, seed) -> Trained:
    """Train as in keras.io/guides/transfer_learning, with softmax instead of a single logit."""
    base, _ = backbone.build()
    base.trainable = False
    pixels = keras.Input(backbone.input_spec.shape)
    augmented = keras.layers.RandomRotation(0.1)(keras.layers.RandomFlip("horizontal")(pixels))
    pooled = keras.layers.GlobalAveragePooling2D()(base(backbone.preprocess(augmented), training=False))
    model = keras.Model(pixels, keras.layers.Dense(len(names))(keras.layers.Dropout(0.2)(pooled)))
    floats, seconds = x.astype("float32"), 0.0
    for method, trainable, rate, epochs in (("keras_guide_frozen", False, 1e-3, 20), ("keras_guide", True, 1e-5, 10)):
        start = time.perf_counter()
        base.trainable = trainable
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer=keras.optimizers.Adam(rate), loss=loss, metrics=["accuracy"])
        model.fit(floats, y, epochs=epochs, batch_size=32, verbose=0)
        seconds += time.perf_counter() - start
        yield method, lambda pixels: _predicted(model, pixels).argmax(-1), seconds


METHODS = (logistic_regression, by_recipe(tltk.linear_probe()), by_recipe(tltk.fine_tune()), keras_guide)


def _predicted(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    return model.predict(pixels.astype("float32"), batch_size=64, verbose=0)


def show(by_data: dict[str, dict]) -> None:
    """Print the table, and the claims below it."""
    rows, gaps = [], []
    for name, by_labels in by_data.items():
        for labels, result in by_labels.items():
            rows += [
                [name, labels, method, metrics["accuracy"], metrics["std"], f"{metrics['seconds']:.1f}"]
                for method, metrics in result["methods"].items()
            ]
            gaps.append([name, labels, result["tested"], *claims(result["methods"]).values()])
    console.show_table(["data", "labelled examples per class", "method", "accuracy", "± over seeds", "seconds"], rows)
    console.show_table(
        [
            "data",
            "labelled examples per class",
            "tested",
            "probe − LR",
            "tuned − probe",
            "tuned − guide",
            "tuned − guide frozen",
            "guide s / tuned s",
        ],
        gaps,
    )


if __name__ == "__main__":
    main()
