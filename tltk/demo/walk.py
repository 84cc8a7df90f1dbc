"""The demo's walk: probe, fine-tune, compare with training from scratch, export, ask a clean process."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tltk
from tltk.demo.patches import make_patches
from tltk.evaluation.report import Report
from tltk.modalities.image.augment import color_jitter, crop_resize, flip
from tltk.models.transfer_model import TransferModel
from tltk.training.run import Run

_CLIENT = """
import json, sys
import tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
answer = serve(tf.constant([open(sys.argv[2], "rb").read()]))
label, probability = answer["label"][0].numpy().decode(), float(answer["probability"][0])
foreign = [name for name in ("tltk", "keras_hub") if name in sys.modules]
print(json.dumps({"label": label, "probability": probability, "also_imported": foreign}))
"""


# Textures have no up and no colour, so patches may be mirrored both ways and need no change of saturation.
PROBE_EPOCHS = 12  # on features computed once: seconds
EPOCHS = 4
SLOWER = 1.4  # an epoch with batch norm in training mode over one without, measured on two cores
AUGMENT = (flip(vertical=True), crop_resize(scale=(0.4, 1.0)), color_jitter(brightness=0.1, contrast=0.3))


@dataclass(frozen=True)
class DemoResult:
    """What the demo found.

    Args:
        probe: report of the linear probe on the test patches.
        tuned: report after fine-tuning.
        scratch: report of the same network trained from random weights for the same time.
        seconds: of probe, fine-tuning and scratch training, and of the whole demo as "demo".
        run: folder of the fine-tuned run.
        saved_model: folder of the exported version.
        answer: what a clean process that imports only tensorflow said of one test patch.
    """

    probe: Report
    tuned: Report
    scratch: Report
    seconds: dict[str, float]
    run: Path
    saved_model: Path
    answer: dict[str, Any]

    def rows(self) -> list[tuple[str, float, float]]:
        """The table: what was trained, test accuracy, seconds of training."""
        return [
            ("from scratch, same time", self.scratch.metrics["accuracy"], self.seconds["scratch"]),
            ("linear probe", self.probe.metrics["accuracy"], self.seconds["probe"]),
            ("probe, then fine-tuning", self.tuned.metrics["accuracy"], self.seconds["tuned"]),
        ]

    def lines(self) -> list[str]:
        """What follows the table: paths, and the served answer."""
        said = f"{self.answer['label']} ({self.answer['probability']:.2f})"
        return [
            f"run:          {self.run}   (report: {self.run / 'report.html'})",
            f"SavedModel:   {self.saved_model}",
            f"its answer to {self.answer['picture']}, from a process that imports only tensorflow: {said}",
            f"whole demo:   {self.seconds['demo']:.0f} s",
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain values for scripts."""
        return {
            "test_accuracy": self.tuned.metrics["accuracy"],
            "probe_accuracy": self.probe.metrics["accuracy"],
            "scratch_accuracy": self.scratch.metrics["accuracy"],
            "seconds": self.seconds["demo"],
            "seconds_of": self.seconds,
            "run": self.run,
            "saved_model": self.saved_model,
            "served": self.answer,
        }


def run_demo(
    out: Path, *, backbone: str = "efficientnet_lite0", seed: int = 0, say: Callable[[str], None]
) -> DemoResult:
    """Do the whole walk with the public calls that a user makes.

    Args:
        out: folder for the pictures, the runs and the SavedModel.
        backbone: a name from `tltk backbones`; its weights must be within reach.
        seed: of the patches, the split and the training.
        say: takes one line of progress.

    Returns:
        What was found.

    Raises:
        FileNotFoundError: if the pretrained weights are out of reach.
        MissingExtraError: if scikit-image is missing.
    """
    begun = time.perf_counter()
    say("1/5 cutting patches out of 14 photographs: 25 labels a class to learn from, 15 to choose by, 100 to test")
    photos = tltk.from_folder(make_patches(out / "photos", seed=seed))
    train, val, test = tltk.split(photos, seed=seed)

    say("2/5 linear probe: the pretrained network frozen, a head on top")
    fit = partial(tltk.fit, seed=seed, cache=out / "cache")  # fine-tuning finds the features of the probe there
    probe = fit(_model(backbone, photos, seed), train, val, recipe=tltk.linear_probe(epochs=PROBE_EPOCHS))
    probe_report = tltk.evaluate(probe.model, test)

    say("3/5 the same, then fine-tuning with augmentation")
    recipe = tltk.fine_tune(epochs=EPOCHS, probe_epochs=PROBE_EPOCHS, augment=AUGMENT)
    run = fit(_model(backbone, photos, seed), train, val, recipe=recipe, out=out / "run")
    report = tltk.evaluate(run.model, test)
    report.save(out / "run" / "report.html")

    say("4/5 the same network from random weights, for the same time")
    scratch = _from_scratch(backbone, photos, train, val, seed=seed, tuned=run)
    scratch_report = tltk.evaluate(scratch.model, test)

    say("5/5 SavedModel, and a question to it from a clean process")
    exported = tltk.export(run.model, out / "serving")
    answer = _ask(exported.path, out / "photos" / "test" / "cat" / "000.png")
    seconds = {
        "probe": probe.seconds,
        "tuned": run.seconds,
        "scratch": scratch.seconds,
        "demo": time.perf_counter() - begun,
    }
    return DemoResult(probe_report, report, scratch_report, seconds, run.folder or out, exported.path, answer)


def _model(backbone: str, photos: Any, seed: int, *, weights: str = "pretrained") -> TransferModel:
    chosen = tltk.backbone(backbone, weights=weights, image_size=64)
    return tltk.assemble(chosen, tltk.classification(photos.labels), seed=seed)


def _from_scratch(backbone: str, photos: Any, train: Any, val: Any, *, seed: int, tuned: Run) -> Run:
    """Train from random weights for as long as probe and fine-tuning took together.

    The epochs of fine-tuning, which trains all layers too, tell how many fit; its first one also traced the graph.
    """
    first, second, *_ = (row["seconds"] for row in tuned.history if row["phase"] == "fine_tune")
    epochs = max(1, round((tuned.seconds - (first - second)) / (SLOWER * second)))
    model = _model(backbone, photos, seed, weights="random")
    return tltk.fit(model, train, val, recipe=tltk.full(epochs=epochs), seed=seed)


def _ask(saved_model: Path, picture: Path) -> dict[str, Any]:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-I", "-c", _CLIENT, str(saved_model), str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"the SavedModel could not be asked from a clean process:\n{done.stderr[-2000:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "picture": str(picture.relative_to(picture.parents[2]))}
