"""Object detection: FCOS on EfficientNet-Lite0, from the boxes of a COCO file.

    python examples/detection.py annotations.json --images photos/    # annotations in the format of COCO
    python examples/detection.py --tiny                               # offline, under a minute on two cores

The pyramid and the head are trained first, on the frozen features of six augmented copies of each image, which are
computed once; then all layers, on new augmentations in every epoch. Boxes move with their images.
"""

import argparse
from pathlib import Path

import tiny_scenes

import tltk
from tltk.cli import console


def run(options: argparse.Namespace) -> None:
    """Train, evaluate, save the report."""
    if options.tiny:
        folder = tiny_scenes.write(options.out / "scenes")
        photos = tltk.from_coco(folder / "annotations.json", folder / "images")
    else:
        photos = tltk.from_coco(options.annotations, options.images)
    train, val, test = tltk.split(photos, val=0.15, test=0.2)
    backbone = tltk.backbone(options.backbone, image_size=options.image_size, weights=options.weights)
    model = tltk.assemble(backbone, tltk.object_detection(photos.labels))
    copies, epochs, tuned = (1, 2, 1) if options.tiny else (6, 25, 10)
    recipe = tltk.fine_tune(
        epochs=tuned, probe_epochs=epochs, probe_learning_rate=4e-3, augmentations_per_example=copies
    )
    done = tltk.fit(model, train, val, recipe=recipe, batch_size=16, out=options.out)
    report = tltk.evaluate(done, test)
    report.save(options.out / "report.html")
    print(f"test AP50 {report.metrics['ap50']:.4f} on {report.example_count} images; run: {done.folder}")


def main() -> None:
    """Read the command line and run."""
    parser = tiny_scenes.parser(__doc__, out="runs/detection")
    parser.add_argument("annotations", type=Path, nargs="?", help=".json with images, annotations and categories")
    parser.add_argument("--images", type=Path, help="folder of the images; default: beside the annotations")
    options = tiny_scenes.parsed(parser, "annotations")
    with console.command(as_json=False):
        run(options)


if __name__ == "__main__":
    main()
