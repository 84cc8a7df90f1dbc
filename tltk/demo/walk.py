"""The image demo, patches of photographs: linear probe, fine-tuning, training from scratch, export."""

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
from tltk.foundation.errors import ServingError
from tltk.modalities.image.augment import color_jitter, crop_resize, flip
from tltk.models.transfer_model import TransferModel
from tltk.training.run import Run

_CLIENT = """
import json, sys
import tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
outputs = serve(tf.constant([open(sys.argv[2], "rb").read()]))
label, probability = outputs["label"][0].numpy().decode(), float(outputs["probability"][0])
also_imported = [name for name in ("tltk", "keras_hub") if name in sys.modules]
print(json.dumps({"label": label, "probability": probability, "also_imported": also_imported}))
"""


PROBE_EPOCHS = 12  # these take seconds, because features are computed once
EPOCHS = 4
IMAGE_SIZE = 64  # rows and columns of a patch in pixels
# Seconds of an epoch with batch norm in training mode, relative to one in inference mode; measured on two cores.
TRAINING_MODE_SLOWDOWN = 1.4
# Grey textures have no up and no colour: flips in both directions, no change of saturation.
AUGMENT = (flip(vertical=True), crop_resize(scale=(0.4, 1.0)), color_jitter(brightness=0.1, contrast=0.3))


@dataclass(frozen=True)
class DemoResult:
    """Result of the image demo.

    Args:
        probe: Report of the linear probe on the test patches.
        tuned: Report of the fine-tuned model.
        scratch: Report of the same network, trained from random weights for the same time.
        seconds: Seconds of "probe", "tuned" and "scratch", and of the whole "demo".
        run: Folder of the fine-tuned run.
        saved_model: Folder of the exported version.
        answer: Prediction for one test patch in a clean process that imports only TensorFlow: "label", "probability",
            "image" (path of the patch) and "also_imported".
    """

    probe: Report
    tuned: Report
    scratch: Report
    seconds: dict[str, float]
    run: Path
    saved_model: Path
    answer: dict[str, Any]

    def rows(self) -> list[tuple[str, float, float]]:
        """Return the rows of the table: method, test accuracy, seconds of training."""
        return [
            ("from scratch, same time", self.scratch.metrics["accuracy"], self.seconds["scratch"]),
            ("linear probe", self.probe.metrics["accuracy"], self.seconds["probe"]),
            ("probe, then fine-tuning", self.tuned.metrics["accuracy"], self.seconds["tuned"]),
        ]

    def lines(self) -> list[str]:
        """Return the lines below the table: paths, and the served prediction."""
        prediction = f"{self.answer['label']} ({self.answer['probability']:.2f})"
        return [
            f"run:          {self.run}   (report: {self.run / 'report.html'})",
            f"SavedModel:   {self.saved_model}",
            f"its prediction for {self.answer['image']}, in a process that imports only tensorflow: {prediction}",
            f"whole demo:   {self.seconds['demo']:.0f} s",
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
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
    """Train, evaluate and export a classifier of patches, with the public functions of tltk.

    Args:
        out: Folder for the images, the run and the SavedModel.
        backbone: A name from `tltk backbones`.
        seed: Seed of the patches, the split and the training.
        say: Called with each line of progress.

    Returns:
        The accuracies, times and files.

    Raises:
        InvalidInput: If the backbone is unknown; nothing has been written then.
        NotFound: If the pretrained weights cannot be found or downloaded.
        MissingExtra: If scikit-image is not installed.
    """
    start = time.perf_counter()
    tltk.backbone(backbone, image_size=IMAGE_SIZE)  # an unknown name is an error before anything is written
    say("1/5 patches of 14 photographs, per class 25 for training, 15 for validation, 100 for the test")
    photos = tltk.from_folder(make_patches(out / "photos", seed=seed))
    train, val, test = tltk.split(photos, seed=seed)

    say("2/5 linear probe: a new head on the frozen pretrained network")
    fit = partial(tltk.fit, seed=seed, cache=out / "cache")  # fine-tuning reuses the features of the probe
    probe = fit(_model(backbone, photos, seed), train, val, recipe=tltk.linear_probe(epochs=PROBE_EPOCHS))
    probe_report = tltk.evaluate(probe, test)

    say("3/5 fine-tuning with augmentation after a linear probe")
    recipe = tltk.fine_tune(epochs=EPOCHS, probe_epochs=PROBE_EPOCHS, augment=AUGMENT)
    run = fit(_model(backbone, photos, seed), train, val, recipe=recipe, out=out / "run")
    report = tltk.evaluate(run, test)
    report.save(out / "run" / "report.html")

    say("4/5 the same network trained from random weights, for the same time")
    scratch = _from_scratch(backbone, photos, train, val, seed=seed, tuned=run)
    scratch_report = tltk.evaluate(scratch, test)

    say("5/5 export as a SavedModel, and a prediction in a clean process")
    exported = tltk.export(run, out / "serving")
    answer = _predict_in_clean_process(exported.path, out / "photos" / "test" / "cat" / "000.png")
    seconds = {
        "probe": probe.seconds,
        "tuned": run.seconds,
        "scratch": scratch.seconds,
        "demo": time.perf_counter() - start,
    }
    return DemoResult(probe_report, report, scratch_report, seconds, run.folder or out, exported.path, answer)


def _model(backbone: str, photos: Any, seed: int, *, weights: str = "pretrained") -> TransferModel:
    network = tltk.backbone(backbone, weights=weights, image_size=IMAGE_SIZE)
    return tltk.assemble(network, tltk.classification(photos.labels), seed=seed)


def _from_scratch(backbone: str, photos: Any, train: Any, val: Any, *, seed: int, tuned: Run) -> Run:
    """Train from random weights for as long as probe and fine-tuning took together.

    The number of epochs is estimated from the epochs of fine-tuning, which trains all layers, too. Its first epoch is
    longer, because it traces the graph.
    """
    first, second, *_ = (row["seconds"] for row in tuned.history if row["phase"] == "fine_tune")
    epochs = max(1, round((tuned.seconds - (first - second)) / (TRAINING_MODE_SLOWDOWN * second)))
    model = _model(backbone, photos, seed, weights="random")
    return tltk.fit(model, train, val, recipe=tltk.full(epochs=epochs), seed=seed)


def _predict_in_clean_process(saved_model: Path, image: Path) -> dict[str, Any]:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-I", "-c", _CLIENT, str(saved_model), str(image)]
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if process.returncode:
        raise ServingError(f"the SavedModel failed in a clean process:\n{process.stderr[-2000:]}")
    return {**json.loads(process.stdout.splitlines()[-1]), "image": str(image.relative_to(image.parents[2]))}
