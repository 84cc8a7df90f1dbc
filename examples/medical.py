"""Medical images with ResNet18: probe, then fine-tune, and a report with the recall (sensitivity) of each finding.

    python examples/medical.py scans/                              # a sub-folder per finding
    python examples/medical.py scans.csv --patient patient         # columns path, label, patient
    python examples/medical.py --tiny                              # offline, under a minute on two cores

Batches of 32. With `--patient` all images of a patient are in the same part of the split; without it, a model that
recognises patients looks as good as one that recognises findings. Read the recall of each finding, not the accuracy:
if one image in fifty shows a tumour, predicting "no tumour" is right 98 % of the time.
"""

import argparse
import csv
from pathlib import Path

import tiny

import tltk
from tltk.cli import console
from tltk.errors import InvalidInput


def source(path: Path, patient: str | None) -> tuple:
    """Return the images, and the patient of each image, or None."""
    if path.suffix.lower() != ".csv":
        if patient:
            raise InvalidInput(f"`--patient` names a column of a .csv file. Received: {path}")
        return tltk.from_folder(path), None
    images = tltk.from_csv(path)
    if patient is None:
        return images, None
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if patient not in rows[0]:
        raise InvalidInput(f"{path} has no column {patient!r}. Columns: {', '.join(rows[0])}")
    return images, [row[patient] for row in rows]


def run(options: argparse.Namespace) -> None:
    """Probe, fine-tune, evaluate on the test images, write the report."""
    path = options.images or tiny.digit_images(options.out / "images", classes=3)
    images, patients = source(path, options.patient)
    train, val, test = tltk.split(images, val=0.2, test=0.2, groups=patients)
    backbone = tltk.backbone(options.backbone, image_size=options.image_size, weights=options.weights)
    model = tltk.assemble(backbone, tltk.classification(images.labels))
    recipe = tltk.fine_tune(probe_epochs=1, epochs=1) if options.tiny else tltk.fine_tune(patience=3)
    done = tltk.fit(model, train, val, recipe=recipe, batch_size=32, out=options.out)
    report = tltk.evaluate(done, test)
    for row in report.classes:
        scores = f"recall {row['recall']:.3f}, precision {row['precision']:.3f}"
        print(f"  {row['name']}: {scores} on {row['examples']} images")
    page = report.save(options.out / "report.html")
    print(f"test accuracy {report.metrics['accuracy']:.4f} on {report.example_count} images; report: {page}")


def main() -> None:
    """Read the command line and run."""
    parser = tiny.parser(__doc__, out="runs/medical", backbone="resnet_18_imagenet")
    parser.add_argument("images", type=Path, nargs="?", help="folder with a sub-folder per finding, or a .csv")
    parser.add_argument("--patient", metavar="COLUMN", help="column of the .csv that identifies patients")
    options = tiny.parsed(parser, "images")
    with console.command(as_json=False):
        run(options)


if __name__ == "__main__":
    main()
