"""Measures the memory of an evaluation of many images or sounds: it must not grow with them.

    python -m tests.stress.evaluation_memory --count 5000 [--task detection|segmentation|sound]

A tiny network with random weights evaluates images of 160 x 120 pixels in files, each with its annotation: first a
tenth of them, then all. The resident memory of the process is read after each batch. The line of JSON of each task has
the peak of both evaluations in MB, what was added for each further image in bytes, and the bytes that the evaluator
holds of each image. Sounds are clips of 2 s at 8 kHz in WAV files, 32 KB each; they are also trained on for two epochs,
with and without features on disk. The exit code is 1 if an image or a sound adds more than 6 KB, a tenth of the pixels:
a detector keeps 41 bytes for each predicted box, and takes about seven times as much while it computes the result.
"""

import argparse
import json
import pickle
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

import tltk
from tests.sounds import picture_backbone, tone, wav
from tests.tasks.test_object_detection import detector
from tests.tasks.test_semantic_segmentation import segmenter
from tltk.cli.console import say, show_json
from tltk.evaluation.evaluate import evaluate_network
from tltk.inference.decoded_batches import decoded_batches

SIZE = (160, 120)  # width and height in pixels
_DISTINCT = 50  # images; further ones are links to them
_MOST_BYTES = 6144  # of memory for each further image
_EVERY = 0.02  # seconds between two looks at the memory


class Peak:
    """Reads the largest resident memory of this process in a thread."""

    def __init__(self) -> None:
        self.process, self.bytes, self.stopped = psutil.Process(), 0, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Peak":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.stopped.wait(_EVERY):
            self.bytes = max(self.bytes, self.process.memory_info().rss)


def write(folder: Path, count: int) -> None:
    """Write images, their boxes in the format of COCO, and their masks; links to a few distinct files."""
    generator = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    images, annotations = [], []
    for number in range(count):
        name = f"{number:06d}.png"
        first = f"{number % _DISTINCT:06d}.png"
        if number < _DISTINCT:
            pixels = generator.integers(0, 255, (SIZE[1], SIZE[0], 3)).astype("uint8")
            mask = np.zeros(pixels.shape[:2], "uint8")
            mask[20:80, 30:90] = 1 + number % 2
            Image.fromarray(pixels).save(folder / "images" / name)
            Image.fromarray(mask).save(folder / "masks" / name)
        else:
            for part in ("images", "masks"):
                (folder / part / name).hardlink_to(folder / part / first)
        images.append({"id": number, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
        boxes = [[30, 20, 60, 60], [5, 90, 25, 20]]
        annotations += [{"image_id": number, "category_id": 1 + number % 2, "bbox": box, "iscrowd": 0} for box in boxes]
    categories = [{"id": 1, "name": "red"}, {"id": 2, "name": "green"}]
    numbered = [{"id": number, **annotation} for number, annotation in enumerate(annotations, 1)]
    content = {"images": images, "annotations": numbered, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content))


def write_sounds(folder: Path, count: int) -> None:
    """Write clips of two classes; links to a few distinct files."""
    for name, pitch in (("high", 1500), ("low", 300)):
        (folder / name).mkdir(parents=True)
        for number in range(count // 2):
            file = folder / name / f"{number:06d}.wav"
            if number < _DISTINCT // 2:
                file.write_bytes(wav(tone(pitch=pitch, seconds=2, rate=8000, seed=number), 8000))
            else:
                file.hardlink_to(folder / name / f"{number % (_DISTINCT // 2):06d}.wav")


def measure_sounds(folder: Path, count: int) -> dict[str, Any]:
    """Train on a tenth of the clips and evaluate them, and then all of them."""
    source = tltk.from_folder(folder)
    order = np.random.default_rng(0).permutation(len(source))
    spec = tltk.AudioSpec(sample_rate=8000, seconds=2)
    model = tltk.assemble(picture_backbone(spec), tltk.classification(source.labels), precision="float32")
    recipe = tltk.linear_probe(epochs=2, learning_rate=1e-2)
    few, result = count // 10, {"task": "sound", "sounds": count}
    parts = {number: source.subset(order[:number]) for number in (few, count)}
    stored = folder.parent / "features"
    actions = {
        "evaluate": lambda part: evaluate_network(model, part),
        "train": lambda part: tltk.fit(model, part, recipe=recipe, cache="off", verbose=0),
        "train_on_stored": lambda part: tltk.fit(model, part, recipe=recipe, cache=stored, verbose=0),
    }
    for name, action in actions.items():
        action(source.subset(order[:100]))  # traces the graphs
        peaks = {}
        for number, part in parts.items():
            with Peak() as peak:
                action(part)
            peaks[number] = peak.bytes
            result[f"{name}_peak_mb_of_{number}"] = round(peak.bytes / 1e6, 1)
        result[f"{name}_bytes_per_further_sound"] = round((peaks[count] - peaks[few]) / (count - few))
    return {**result, "evaluator_bytes_per_sound": _kept(model, parts[few])}


def measure(task: str, folder: Path, count: int) -> dict[str, Any]:
    """Evaluate a tenth of the images and then all of them."""
    if task == "detection":
        model = detector(min_score=0.0)  # 100 boxes in every image, the most there can be
        source = tltk.from_coco(folder / "annotations.json", folder / "images")
    else:
        model = segmenter()
        source = tltk.from_masks(folder / "images", folder / "masks", labels=("background", "red", "green"))
    few, result = count // 10, {"task": task, "images": count}
    evaluate_network(model, source[:100])  # traces the graphs
    peaks = {}
    for number in (few, count):
        with Peak() as peak:
            evaluate_network(model, source[:number])
        peaks[number] = peak.bytes
        result[f"peak_mb_of_{number}"] = round(peak.bytes / 1e6, 1)
    result["bytes_per_further_image"] = round((peaks[count] - peaks[few]) / (count - few))
    return {**result, "evaluator_bytes_per_image": _kept(model, source[:200])}


def _kept(model: Any, source: Any) -> int:
    """Return the bytes that the evaluator holds of each further image, once it has 100 of the worst."""
    sizes = []
    for number in (100, 200):
        evaluator = model.task.evaluator()
        options: dict[str, Any] = {"batch_size": 32, "max_invalid_fraction": 0.0, "invalid": [], "title": "measuring"}
        for batch in decoded_batches(model, source[:number], **options, with_targets=True):
            evaluator.update(batch.targets, batch.decoded, batch.ids)
        sizes.append(len(pickle.dumps(evaluator)))
    return (sizes[1] - sizes[0]) // 100


def main() -> None:
    """Measure the tasks, and exit with 1 if the memory grows with the images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--task", choices=("detection", "segmentation", "sound"))
    given = parser.parse_args()
    grows = False
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "data"
        if given.task != "sound":
            write(folder, given.count)
            say(f"{given.count} images of {SIZE[0]} x {SIZE[1]} pixels")
        for task in (given.task,) if given.task else ("detection", "segmentation", "sound"):
            if task == "sound":
                write_sounds(folder / "sounds", given.count)
                result = measure_sounds(folder / "sounds", given.count)
            else:
                result = measure(task, folder, given.count)
            grows |= any(value > _MOST_BYTES for name, value in result.items() if "_per_further_" in name)
            show_json(result)
    sys.exit(grows)


if __name__ == "__main__":
    main()
