"""Time saved by computing the features of frozen layers once: ten epochs of ResNet50 in plain Keras and in tltk.

    python examples/benchmarks/frozen_prefix.py            # a table
    python examples/benchmarks/frozen_prefix.py --json     # one JSON object and nothing else on standard output

Plain Keras follows its guide: `base.trainable = False`, a head on `base(x, training=False)`, `fit` on a `tf.data`
pipeline of decoded images; for conv5, the layers below it are frozen. tltk is `tltk.fit` with its defaults. Both use
the same generated images (224 px), batch size, optimizer and steps; random weights cost the same as pretrained ones.
The time is the wall time of everything: tracing, filling the cache, every epoch. A warm-up of both in float32 comes
first. bfloat16 is measured on processors with bfloat16 instructions, against plain Keras in float32.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import tltk
from tltk.feature_cache.compute import compute
from tltk.foundation import hardware
from tltk.modalities.modality import modality_of
from tltk.models.frozen_split import split_frozen_prefix
from tltk.optimizers.spec import sgd
from tltk.recipes import Phase, Recipe

SIZE, BATCH, CLASSES = 224, 32, 10
PLANS = {"head": tltk.freeze("backbone"), "conv5": tltk.unfreeze_from("conv5")}
PARTS = ("head", "conv5", "head_1_epoch")


def images(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Generate images, uint8 [count, size, size, 3], and labels."""
    generator = np.random.default_rng(0)
    return generator.integers(0, 255, (count, size, size, 3), "uint8"), (np.arange(count) % CLASSES).astype("int32")


def by_keras(x: np.ndarray, y: np.ndarray, part: str, epochs: int) -> float:
    """Train as in the guide, and return the seconds."""
    base = keras.applications.ResNet50(include_top=False, weights=None, input_shape=x.shape[1:])
    base.trainable = part != "head"
    for layer in base.layers if part != "head" else ():
        layer.trainable = layer.name.startswith("conv5") and not isinstance(layer, keras.layers.BatchNormalization)
    pixels = keras.Input(x.shape[1:])
    features = base(keras.applications.resnet50.preprocess_input(pixels), training=False)
    outputs = keras.layers.Dense(CLASSES)(keras.layers.GlobalAveragePooling2D()(features))
    model = keras.Model(pixels, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # On a CPU, XLA is slower than the plain graph: plain Keras gets the faster setting.
    model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), loss, metrics=["accuracy"], jit_compile=False)
    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=0).batch(BATCH).prefetch(2)
    start_time = time.perf_counter()
    model.fit(data, epochs=epochs, verbose=0)
    return time.perf_counter() - start_time


def by_tltk(x: np.ndarray, y: np.ndarray, part: str, epochs: int, precision: str = "float32") -> float:
    """Train the same with tltk, and return the seconds."""
    source = tltk.from_arrays(x, y)
    backbone = tltk.backbone("resnet50", weights="random", image_size=x.shape[1])
    model = tltk.assemble(backbone, tltk.classification(source.labels), precision=precision)
    phase = Phase(part, PLANS[part], epochs, sgd(1e-3, momentum=0.9), schedule="constant", warmup=0.0)
    start_time = time.perf_counter()
    tltk.fit(model, source, recipe=Recipe(part, (phase,)), batch_size=BATCH)
    return time.perf_counter() - start_time


def fill_over_loop(x: np.ndarray, y: np.ndarray) -> float:
    """Return the seconds of filling the head's cache, relative to a bare `tf.function` loop, both with tracing."""
    source, filled, looped = tltk.from_arrays(x, y), [], []
    backbone = tltk.backbone("resnet50", weights="random", image_size=x.shape[1])
    model = tltk.assemble(backbone, tltk.classification(source.labels), precision="float32")
    prefix = split_frozen_prefix(model.keras, PLANS["head"].resolve(model)).prefix
    for _ in range(3):
        start_time = time.perf_counter()
        run = tf.function(lambda batch: prefix(tf.cast(batch, tf.float32), training=False))
        for start in range(0, len(x), BATCH):
            run(tf.constant(x[start : start + BATCH])).numpy()
        looped.append(time.perf_counter() - start_time)
        start_time = time.perf_counter()
        reader = modality_of(model.input_spec).reader(source, model.input_spec)
        compute(prefix, reader, source, batch_size=BATCH)
        filled.append(time.perf_counter() - start_time)
    return float(np.median(filled) / np.median(looped))


def measure(options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, float | None]:
    """Time plain Keras and tltk in alternation, and return the seconds of plain Keras relative to those of tltk."""
    count = options.images
    x, y = images(count, options.image_size)
    fast = hardware.has_bfloat16_instructions()
    by_keras(x[:BATCH], y[:BATCH], "head", 1), by_tltk(x[:BATCH], y[:BATCH], "head", 2)
    methods: dict[str, Callable[[str, int], float]] = {
        "keras": lambda part, passes: by_keras(x, y, part, passes),
        "float32": lambda part, passes: by_tltk(x, y, part, passes),
    }
    if fast:
        methods["bfloat16"] = lambda part, passes: by_tltk(x, y, part, passes, "mixed_bfloat16")
    ratios: dict[str, float | None] = {f"{name}_bfloat16": None for name in options.parts if name in PLANS}
    for name in options.parts:
        part, passes = (name, options.epochs) if name in PLANS else ("head", 1)
        seconds: dict[str, list[float]] = {method: [] for method in methods}
        for _ in range(options.runs):
            for method, train in methods.items():
                keras.utils.clear_session()
                seconds[method].append(train(part, passes))
                say(f"{name}, {passes} epochs, {method}: {seconds[method][-1]:.1f} s")
        medians = {method: float(np.median(times)) for method, times in seconds.items()}
        ratios |= {f"{name}_{method}": medians["keras"] / medians[method] for method in methods if method != "keras"}
        ratios[f"{name}_keras_seconds"] = medians["keras"]
    ratios["fill_over_bare_loop"] = fill_over_loop(x[: min(count, 8 * BATCH)], y[: min(count, 8 * BATCH)])
    return ratios


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--image-size", type=int, default=SIZE, help="height and width in pixels")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--runs", type=int, default=1, help="runs of each; the median is reported")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS, help="what is trained")
    options = parser.parse_args()
    if options.images < CLASSES:
        parser.error(f"--images must be at least {CLASSES}, one per class")

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    ratios = measure(options, say)
    rounded = {key: value if value is None else round(value, 3) for key, value in ratios.items()}
    if options.json:
        print(json.dumps({**rounded, "images": options.images, "epochs": options.epochs}))
        return
    print(f"ResNet50, {options.images} images of {options.image_size} px: seconds of plain Keras relative to tltk")
    for key, value in rounded.items():
        print(f"{key:28}{'no such instructions' if value is None else value:>10}")


if __name__ == "__main__":
    main()
