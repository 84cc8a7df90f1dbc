"""Compares an export with `tltk.predict` on many images or sounds, damaged ones among them.

    python -m tests.stress.agreement --task object_detection --count 500 [--seed 0] [--format onnx]
    python -m tests.stress.agreement --task sound --count 500 [--seed 0] [--format onnx]

Trains a small network on generated scenes, exports it, and sends it scenes of many sizes as PNG, JPEG and WebP, some of
them to be turned (EXIF), every fourth one damaged as in `tests.stress.damage`. An image agrees if both can read it and
answer the same (`Task.agrees`), or if neither can: then its row of the SavedModel has "valid" false, a reason, and
empty outputs. Sounds are those of `tests.stress.sound_agreement`; FLAC and OGG files, which `tltk.predict` reads and a
SavedModel does not, agree if the SavedModel refuses them. As many requests of samples are compared with `tltk.predict`
on arrays. The last line says how many agree, and by how much they differ; the exit code is 0 if all agree.
"""

import argparse
import io
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

import tltk
from tests.stress import sound_agreement as sounds
from tests.stress.damage import damage
from tests.tasks.boxes.scenes import masked_source, scenes, source
from tltk.cli.console import show
from tltk.inference.decoded_batches import decoded_batches
from tltk.inference.forward import as_array
from tltk.modalities.modality import modality_of
from tltk.serving.agreement import tensor_differences
from tltk.serving.comparison import _load_network
from tltk.serving.signatures import request_reader

BATCH = 16
EXACT, RUNTIME = 1e-5, 1e-4  # tolerances of a SavedModel, and of files that another runtime computes
_KINDS = ("PNG", "JPEG", "WEBP")
_TURNED = 6  # EXIF orientation: the viewer turns the image by 90 degrees
_BLANK = (b"", 0, -1, False)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Agreement:
    """Result of a comparison.

    Args:
        images: Number of images or sounds.
        damaged: How many of them were damaged.
        unreadable: How many of them neither `tltk.predict` nor the export can read.
        problems: One line for each image that does not agree.
        measures: What was compared → largest difference, or number of differences.
    """

    images: int
    damaged: int
    unreadable: int
    problems: list[str]
    measures: dict[str, float]
    noun: str = "images"

    def describe(self) -> str:
        """Describe the result in one line."""
        agreeing = self.images - len({problem.split(":")[0] for problem in self.problems})
        measures = ", ".join(
            f"{name} {value:,}" if isinstance(value, int) else f"{name} {value:.1e}"
            for name, value in self.measures.items()
        )
        damaged = f"{self.damaged} damaged, {self.unreadable} unreadable"
        return f"{agreeing} of {self.images} {self.noun} agree ({damaged}); {measures}"


def write_images(folder: Path, count: int, seed: int) -> tuple[list[Path], int]:
    """Write images, every fourth one damaged; return their paths and the number of damaged ones."""
    generator = np.random.default_rng(seed)
    folder.mkdir()
    paths, damaged = [], 0
    for number in range(count):
        height, width = (int(pixels) for pixels in generator.integers(40, 160, 2))
        pixels = scenes(1, size=(height, width), seed=int(generator.integers(2**31)))[0][0]
        kind, data = _KINDS[number % len(_KINDS)], io.BytesIO()
        exif = Image.Exif()
        if generator.random() < 0.2:
            exif[0x0112] = _TURNED
        Image.fromarray(pixels).save(data, kind, quality=90, exif=exif)
        content = data.getvalue()
        if number % 4 == 3:
            content, damaged = damage(content, generator)[0], damaged + 1
        paths.append(folder / f"{number:04d}.{kind.lower()}")
        paths[-1].write_bytes(content)
    return paths, damaged


def predicted(model: tltk.TransferModel, paths: Sequence[Path]) -> dict[str, Row]:
    """Return the decoded prediction of each image that `tltk.predict` can read, by its path."""
    batches = tltk.predict(model, list(paths), batch_size=BATCH).batches
    return {
        example: {name: column[row] for name, column in batch.decoded.items()}
        for batch in batches
        for row, example in enumerate(batch.ids)
    }


def compare_saved_model(model: tltk.TransferModel, folder: Path, *, count: int, seed: int = 0) -> Agreement:
    """Export a SavedModel and compare both of its signatures with `tltk.predict`.

    Args:
        model: Trained model of images or sounds.
        folder: Folder for images and export, which does not exist.
        count: Number of images.
        seed: Seed of the images.
    """
    folder.mkdir()
    write, noun = WRITERS[modality_of(model.input_spec).name]
    paths, damaged = write(folder / noun, count, seed)
    expected = predicted(model, paths)
    refused = [path for path in paths if str(path) in expected and noun == "sounds" and sounds.is_other_format(path)]
    exported = tltk.export(model, folder / "serving", requests=[path.read_bytes() for path in paths[:8]])
    signatures = tf.saved_model.load(str(exported.path)).signatures
    problems: list[str] = []
    measures: dict[str, float] = {}
    (name,) = modality_of(model.input_spec).request_names(model.input_spec)
    for batch, served in _served(signatures["serving_default"], name, paths):
        for row, path in enumerate(batch):
            answer = None if path in refused else expected.get(str(path))
            columns = {name: column[row] for name, column in served.items()}
            problem = _blank_problem(model, columns) if answer is None else _problem(model, answer, columns, EXACT)
            problems += [f"{path.name}: {problem}"] if problem else []
            if answer is not None and not problem:
                _add(measures, MEASURES[model.task.name](answer, columns))
    readable = [path for path in paths if str(path) in expected and path not in refused]
    problems += _tensor_problems(model, signatures["predict_tensor"], readable)
    measures |= {"of other formats, refused": len(refused)} if refused else {}
    return Agreement(count, damaged, count - len(expected), problems, measures, noun)


def compare_file(model: tltk.TransferModel, folder: Path, *, file_format: str, count: int, seed: int = 0) -> Agreement:
    """Export the network in another format, and compare its outputs, decoded by the task, with `tltk.predict`.

    Args:
        model: Trained model of images or sounds.
        folder: Folder for images and export, which does not exist.
        file_format: "onnx", "openvino" or "litert".
        count: Number of images.
        seed: Seed of the images.
    """
    folder.mkdir()
    write, noun = WRITERS[modality_of(model.input_spec).name]
    paths, damaged = write(folder / noun, count, seed)
    expected = predicted(model, paths)
    exported = tltk.export(model, folder / "serving", format=file_format)
    network, images = _load_network(exported.path, model), modality_of(model.input_spec).source(paths, model.input_spec)
    batches = decoded_batches(
        model, images, batch_size=BATCH, max_invalid_fraction=1.0, invalid=[], title="comparing", network=network
    )
    problems: list[str] = []
    measures: dict[str, float] = {}
    for batch in batches:
        for row, example in enumerate(batch.ids):
            columns = {name: column[row] for name, column in batch.decoded.items()}
            problem = model.task.agrees(expected[example], columns, RUNTIME)
            problems += [f"{Path(example).name}: {problem}"] if problem else []
            _add(measures, {} if problem else MEASURES[model.task.name](expected[example], columns))
    return Agreement(count, damaged, count - len(expected), problems, measures, noun)


def _served(
    signature: Callable[..., Any], name: str, paths: Sequence[Path]
) -> Iterator[tuple[Sequence[Path], dict[str, Any]]]:
    """Send images in batches; yield the paths of each, and the outputs: name → array [batch, …]."""
    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        outputs = signature(**{name: tf.constant([path.read_bytes() for path in batch])})
        yield batch, {name: values.numpy() for name, values in outputs.items()}


def _problem(model: tltk.TransferModel, answer: Row, served: Row, tolerance: float) -> str:
    """Say how the row of a readable image differs from the prediction."""
    if not served["valid"] or served["error"]:
        return f"only tltk.predict can read it ({served['error']!r})"
    if model.task.name == "semantic_segmentation":
        height, width = served["sizes"]
        png = np.asarray(Image.open(io.BytesIO(served["png_bytes"])))
        if not np.array_equal(png, served["classes"][:height, :width]):
            return "`png_bytes` is not the map in `classes`"
    text = {name: as_array(tf.convert_to_tensor(value)) for name, value in served.items() if name != "png_bytes"}
    return model.task.agrees(answer, text, tolerance)


def _blank_problem(model: tltk.TransferModel, served: Row) -> str:
    """Say what is wrong with the row of an unreadable image, whose outputs must be empty, but for constant ones."""
    if served["valid"] or not served["error"]:
        return "only the export can read it" if served["valid"] else "no error is given"
    outputs = {
        name: value for name, value in served.items() if name not in ("valid", "error", *model.task.constant_columns)
    }
    full = [name for name, value in outputs.items() if not all(item in _BLANK for item in np.ravel(value).tolist())]
    return f"it is unreadable, but {full} are not empty" if full else ""


def _tensor_problems(model: tltk.TransferModel, signature: Callable[..., Any], paths: Sequence[Path]) -> list[str]:
    """Compare `predict_tensor` with `tltk.predict` for the inputs that the network gets of readable files."""
    problems: list[str] = []
    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        read = request_reader(model.input_spec)[0]
        tensor = read(tf.constant([path.read_bytes() for path in batch])).inputs.numpy()
        results = signature(**{model.input_spec.name: tf.constant(tensor)})
        outputs = {name: values.numpy() for name, values in results.items()}
        problems += [
            f"{batch[int(line.split(':')[0].split()[1])].name}: predict_tensor, {line}"
            for line in tensor_differences(model, tensor, outputs)
        ]
    return problems


def _add(measures: dict[str, float], differences: Mapping[str, tuple[float, Callable[..., float]]]) -> None:
    for name, (value, join) in differences.items():
        measures[name] = join((measures.get(name, 0), value))


def _detection_measures(answer: Row, served: Row) -> dict[str, tuple[float, Callable[..., float]]]:
    """Return the number of objects, and largest differences where both find equally many in the same order."""
    one, two = int(answer["count"]), int(served["count"])
    labels = [value.decode() if isinstance(value, bytes) else value for value in served["labels"][:two]]
    measures: dict[str, tuple[float, Callable[..., float]]] = {"objects": (one, sum)}
    if list(answer["labels"][:one]) != labels:
        return {**measures, "images with another order or number of objects": (1, sum)}
    for name, title in (("scores", "largest difference of scores"), ("boxes", "of boxes in pixels")):
        measures[title] = (float(np.abs(answer[name][:one] - served[name][:two]).max(initial=0)), max)
    return measures


def _segmentation_measures(answer: Row, served: Row) -> dict[str, tuple[float, Callable[..., float]]]:
    height, width = answer["sizes"]
    changed = answer["classes"][:height, :width] != served["classes"][:height, :width]
    return {"pixels": (changed.size, sum), "pixels that differ": (int(changed.sum()), sum)}


MEASURES: dict[str, Callable[[Row, Row], dict[str, tuple[float, Callable[..., float]]]]] = {
    "object_detection": _detection_measures,
    "semantic_segmentation": _segmentation_measures,
    "classification": sounds.classification_measures,
}
WRITERS = {"image": (write_images, "images"), "audio": (sounds.write_sounds, "sounds")}
TASKS = ("object_detection", "semantic_segmentation", "sound")


def trained(task: str) -> tltk.TransferModel:
    """Train a small model on scenes or tones."""
    if task == "sound":
        return sounds.classifier()
    from tests.tasks.test_object_detection import detector, phases  # which import this module
    from tests.tasks.test_semantic_segmentation import segmenter

    keras.utils.set_random_seed(0)
    recipe = phases(tltk.train_all(batch_norm="train"), epochs=20)
    if task == "object_detection":
        return tltk.fit(detector(), source(64), recipe=recipe, batch_size=8, verbose=0).model
    validation = masked_source(8, seed=9)
    return tltk.fit(segmenter(), masked_source(64), validation, recipe=recipe, batch_size=8, verbose=0).model


def main() -> None:
    """Run the command line, and exit with 1 unless all images agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, default="object_detection")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", choices=("saved_model", "onnx", "openvino", "litert"), default="saved_model")
    options = parser.parse_args()
    model = trained(options.task)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "agreement"
        if options.format == "saved_model":
            agreement = compare_saved_model(model, folder, count=options.count, seed=options.seed)
        else:
            agreement = compare_file(model, folder, file_format=options.format, count=options.count, seed=options.seed)
        problems = [*agreement.problems]
        if options.task == "sound" and options.format == "saved_model":
            problems += _sample_problems(model, folder, options.count, options.seed)
    for problem in problems:
        show(problem)
    show(f"{options.task}, {options.format}: {agreement.describe()}")
    sys.exit(bool(problems))


def _sample_problems(model: tltk.TransferModel, folder: Path, count: int, seed: int) -> list[str]:
    """Compare requests of samples, show how many agree, and return what differs."""
    saved_model = tf.saved_model.load(str(folder / "serving" / "1"))
    signature = saved_model.signatures["predict_padded_waveform"]
    problems, unreadable = sounds.sample_problems(model, signature, count=count, seed=seed)
    show(f"{count - len(problems)} of {count} requests of samples agree ({unreadable} unreadable)")
    return problems


if __name__ == "__main__":
    main()
