"""A small training that uses everything a checkpoint has to hold, and can kill itself: `tests.stress.kill` runs it."""

import argparse
import os
import signal
import threading
import time
from functools import wraps
from pathlib import Path

import keras
import numpy as np
from PIL import Image

import tltk
from tests.conftest import STAGES, coloured_squares, conv_net
from tests.texts import WORDS, tiny_preset
from tltk.feature_cache import compute
from tltk.recipes import Phase, Recipe
from tltk.training import checkpoint_file, checkpoints, history

KINDS = ("image", "text")
# Moment → the function at whose call the clock of the kill starts, as (owner, name).
MOMENTS = {
    "step": (checkpoints.WriteCheckpoints, "on_train_batch_end"),
    "checkpoint": (checkpoint_file, "write"),
    "rename": (checkpoint_file.files, "flush"),
    "fill": (compute._Computation, "fill"),
    "publish": (history, "publish_run"),
    "report": (tltk.Report, "save"),
}


def write_data(folder: Path) -> None:
    """Write the data of both kinds: photographs in folders, two of them damaged, and a preset of a text model."""
    x, y = coloured_squares(72)
    for index, (pixels, label) in enumerate(zip(x, y, strict=True)):
        path = folder / "photos" / ("red", "green", "blue")[label] / f"{index:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        if index in (5, 40):
            path.write_bytes(path.read_bytes()[:60])
    tiny_preset(folder / "preset")


def train(kind: str, data: Path, out: Path, *, every: str = "2 steps") -> tltk.Run:
    """Train, or resume the training in `out`; evaluate and write the report."""
    keras.utils.set_random_seed(0)
    model, source, phases = (_image if kind == "image" else _text)(data)
    train_part, val_part, test_part = tltk.split(source, val=0.25, test=0.25, seed=0)
    stopping = keras.callbacks.EarlyStopping(monitor="val_loss", patience=3, restore_best_weights=True)
    options = {"batch_size": 6, "seed": 3, "cache": out.parent / f"{out.name}-features", "callbacks": [stopping]}
    recipe = Recipe("stress", phases)
    checkpoint = tltk.Checkpoint(every, keep=2)
    run = tltk.fit(
        model, train_part, val_part, recipe=recipe, out=out, checkpoint=checkpoint, resume=True, verbose=0, **options
    )
    report = tltk.evaluate(run, test_part)
    report.save(out / "report.html")
    np.savez(out / "report.npz", **{name: np.asarray(value) for name, value in report.metrics.items()})
    return run


def _image(data):
    backbone = tltk.backbone(conv_net(dropout=0.2), stages=STAGES)
    model = tltk.assemble(backbone, tltk.classification(["blue", "green", "red"], head=tltk.head(dropout=0.3)))
    augment = (tltk.augment.flip(), tltk.augment.color_jitter(brightness=0.2))
    tune = {"augment": augment, "patience": 2, "warmup": 0.2}
    ema = tltk.adamw(3e-3, weight_decay=0.1, ema_momentum=0.7, gradient_accumulation_steps=2)
    phases = (
        Phase("probe", tltk.freeze("backbone"), 3, tltk.adamw(1e-2)),
        Phase("tune", tltk.unfreeze_from("conv3"), 4, ema, **tune),
    )
    return model, tltk.from_folder(data / "photos"), phases


def _text(data):
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(list(WORDS), 8)) for _ in range(72)]
    labels = [("good", "bad")[words.count("a") % 2] for words in texts]
    model = tltk.assemble(tltk.backbone(str(data / "preset")), tltk.classification(["bad", "good"]))
    ema = tltk.adamw(3e-3, weight_decay=0.1, ema_momentum=0.7, l2_sp=0.01)
    phases = (
        Phase("lora", tltk.lora(2), 2, tltk.adamw(1e-2)),
        Phase("tune", tltk.train_all(), 3, ema, patience=2),
    )
    return model, tltk.from_arrays(texts, labels), phases


def die(moment: str, count: int, delay: float) -> None:
    """Kill this process some seconds after a moment has come for the n-th time."""
    owner, name = MOMENTS[moment]
    original, calls = getattr(owner, name), []

    @wraps(original)
    def counted(*arguments, **options):
        calls.append(time.monotonic())
        if len(calls) == count:
            threading.Timer(delay, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
        return original(*arguments, **options)

    setattr(owner, name, counted)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--die", nargs=3, metavar=("MOMENT", "COUNT", "DELAY"))
    given = parser.parse_args()
    if given.die:
        die(given.die[0], int(given.die[1]), float(given.die[2]))
    train(given.kind, given.data, given.out)
