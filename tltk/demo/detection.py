"""The demo of object detection, on composed scenes: train a head on a frozen network, evaluate, draw, export."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tltk
from tltk.demo.scenes import make_scenes
from tltk.evaluation.report import Report
from tltk.foundation import files
from tltk.inference.drawings import draw
from tltk.modalities.image.augment import color_jitter, crop_resize, flip

IMAGE_SIZE = 224  # rows and columns of the input, in which a scene is letterboxed
EPOCHS, COPIES = 30, 3
DRAWN = 12  # test scenes
AUGMENT = (flip(), crop_resize(scale=(0.5, 1.0)), color_jitter(brightness=0.2, contrast=0.2))


@dataclass(frozen=True)
class DetectionDemoResult:
    """Result of the demo of object detection.

    Args:
        report: Report of the detector on the test scenes.
        seconds: Seconds of "training", and of the whole "demo".
        run: Folder of the run.
        drawings: Folder of the test scenes with predicted and true boxes.
        saved_model: Folder of the exported version.
        answer: "image", and the "objects" that were found in it in a clean process that imports only TensorFlow.
    """

    report: Report
    seconds: dict[str, float]
    run: Path
    drawings: Path
    saved_model: Path
    answer: dict[str, Any]

    def rows(self) -> list[tuple[str, float, float, float]]:
        """Return the rows of the table: method, AP50 and AP on the test scenes, seconds of training."""
        metrics = self.report.metrics
        return [("head on the frozen network", metrics["ap50"], metrics["ap"], self.seconds["training"])]

    def lines(self) -> list[str]:
        """Return the lines below the table: paths, and the served prediction."""
        return [
            f"run:          {self.run}   (report: {self.run / 'report.html'})",
            f"drawings:     {self.drawings}   (solid: prediction, dashed: truth)",
            f"SavedModel:   {self.saved_model}",
            f"its objects in {self.answer['image']}, in a process that imports only tensorflow: "
            f"{', '.join(self.answer['objects']) or 'none'}",
            f"whole demo:   {self.seconds['demo']:.0f} s",
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "test_ap50": self.report.metrics["ap50"],
            "test_ap": self.report.metrics["ap"],
            "seconds": self.seconds["demo"],
            "seconds_of": self.seconds,
            "run": self.run,
            "drawings": self.drawings,
            "saved_model": self.saved_model,
            "served": self.answer,
        }


def run_detection_demo(
    out: Path, *, backbone: str = "efficientnet_lite0", seed: int = 0, say: Callable[[str], None]
) -> DetectionDemoResult:
    """Train, evaluate, draw and export a detector of objects in composed scenes, with the public functions of tltk.

    Args:
        out: Folder for the scenes, the run, the drawings and the SavedModel.
        backbone: A name from `tltk backbones`.
        seed: Seed of the scenes, the split and the training.
        say: Called with each line of progress.

    Returns:
        The metrics, times and files.

    Raises:
        InvalidInput: If the backbone is unknown; nothing has been written then.
        NotFound: If the pretrained weights cannot be found or downloaded.
        MissingExtra: If scikit-image is not installed.
    """
    start = time.perf_counter()
    network = tltk.backbone(backbone, image_size=IMAGE_SIZE)  # an unknown name is an error before anything is written
    folder = make_scenes(out / "scenes", seed=seed)
    scenes = tltk.from_coco(folder / "train.json", folder / "train")
    test = tltk.from_coco(folder / "test.json", folder / "test")
    say(f"1/4 {len(scenes)} scenes with objects of photographs to learn from, {len(test)} on other backgrounds to test")

    say("2/4 training: a detector on the features of the frozen pretrained network")
    train, val, _ = tltk.split(scenes, val=0.15, test=0.0, seed=seed)
    task = tltk.object_detection(scenes.labels, channels=64)
    model = tltk.assemble(network, task, seed=seed)
    recipe = tltk.linear_probe(epochs=EPOCHS, augment=AUGMENT, augmentations_per_example=COPIES)
    run = tltk.fit(model, train, val, recipe=recipe, batch_size=16, seed=seed, out=out / "run")

    say("3/4 evaluation and drawings")
    report = tltk.evaluate(run, test)
    report.save(out / "run" / "report.html")
    drawings = _draw(run, test, out / "drawings")

    say("4/4 export as a SavedModel, and a prediction in a clean process")
    image = folder / "test" / test.id_of(0)
    exported = tltk.export(run, out / "serving", requests=[image.read_bytes()])
    outputs = exported.first_outputs
    rows = zip(outputs["labels"][0], outputs["scores"][0], strict=True)
    objects = [f"{label} ({score:.2f})" for label, score in rows if score >= task.threshold]
    answer = {"image": f"{image.parent.name}/{image.name}", "objects": objects}
    seconds = {"training": run.seconds, "demo": time.perf_counter() - start}
    return DetectionDemoResult(report, seconds, run.folder or out, drawings, exported.path, answer)


def _draw(run: Any, source: Any, folder: Path) -> Path:
    """Draw predicted and true objects of some scenes."""
    files.make_generated_folder(folder, pattern=r"\d+\.png")
    selected = source[:DRAWN]
    for row, picture in draw(tltk.predict(run, selected), selected, with_truth=True):
        picture.save(folder / f"{row:02d}.png")
    return folder
