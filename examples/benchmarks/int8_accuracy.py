"""Accuracy that exports lose: float16 and 8 bits beside the trained model, on 1,000 test examples of the demos.

    python examples/benchmarks/int8_accuracy.py             # a table
    python examples/benchmarks/int8_accuracy.py --json      # one JSON object, nothing else on standard output

MiniLM classifies docstrings by topic, and EfficientNet-Lite0 patches of photographs by texture, after a linear probe.
`tltk.export` refuses a file that loses more than one point on its calibration examples, here the validation part; its
accuracy on the test part is measured independently of that. `docs/serving.md` has the results.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import tltk
from tltk.cli import console
from tltk.demo.docstrings import TOPICS, docstrings
from tltk.demo.patches import make_patches
from tltk.serving.comparison import KERAS, measure
from tltk.specs import LabelSpec

FORMATS = (KERAS, "litert_float16", "litert_int8")
TEST_EXAMPLES, EPOCHS = 1000, 20


def main() -> None:
    """Read the command line, measure, show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args()
    with console.command(as_json=options.json), tempfile.TemporaryDirectory() as folder:
        results = {"minilm": measure_texts(Path(folder)), "efficientnet_lite0": measure_images(Path(folder))}
        if options.json:
            console.show_json(results)
            return
        rows = [
            (name, file_format, *row.values()) for name, rows in results.items() for file_format, row in rows.items()
        ]
        console.show_table(["model", "format", "accuracy", "points lost", "changed answers", "refused"], rows)


def measure_texts(folder: Path) -> dict[str, dict[str, Any]]:
    """Measure MiniLM on docstrings."""
    source, groups = docstrings()
    parts = tltk.split(source, val=0.1, test=0.55, seed=0, groups=groups)
    backbone = tltk.backbone("all_minilm_l6_v2_en", sequence_length=64)
    return measure_formats(tltk.assemble(backbone, tltk.classification(LabelSpec(tuple(TOPICS)))), parts, folder)


def measure_images(folder: Path) -> dict[str, dict[str, Any]]:
    """Measure EfficientNet-Lite0 on patches of photographs."""
    photos = tltk.from_folder(make_patches(folder / "photos"))
    backbone = tltk.backbone("efficientnet_lite0", image_size=64)
    return measure_formats(tltk.assemble(backbone, tltk.classification(photos.labels)), tltk.split(photos), folder)


def measure_formats(model: Any, parts: Any, folder: Path) -> dict[str, dict[str, Any]]:
    """Train a head, export the model and evaluate the files.

    Args:
        model: Model to train.
        parts: Training, validation and test part.
        folder: Parent of the exports.

    Returns:
        Format → "accuracy" on the test part, "points_lost", "changed" (share of the calibration examples whose answer
        changed) and "refused" (the reason, if the export was refused).
    """
    train, val, test = parts
    trained = tltk.fit(model, train, val, recipe=tltk.linear_probe(epochs=EPOCHS), seed=0).model
    test = test.subset(np.unique(np.linspace(0, len(test) - 1, TEST_EXAMPLES).astype(int)))
    results: dict[str, dict[str, Any]] = {}
    for name in FORMATS:
        row = measure(trained, folder / trained.backbone, test, calibration=val, file_format=name)
        lost = None if row.score is None else 100 * (results[KERAS]["accuracy"] - row.score) if results else 0.0
        results[name] = {"accuracy": row.score, "points_lost": lost, "changed": row.changed, "refused": row.refused}
    return results


if __name__ == "__main__":
    main()
