"""Two classes with ResNet50: the backbone is frozen, only the head is trained.

    python examples/two_classes.py photos/        # two sub-folders, one per class
    python examples/two_classes.py --tiny         # offline, under a minute on two cores

The first thing to try: it trains 4,098 of 23.6 million parameters, in minutes without a GPU, and a dozen images per
class can be enough. If the accuracy is too low, use `tltk.fine_tune`.
"""

import argparse
from pathlib import Path

import tiny

import tltk
from tltk.cli import console
from tltk.errors import InvalidInput


def run(options: argparse.Namespace) -> None:
    """Train the head, evaluate it on the test images, save the run."""
    folder = tiny.digit_images(options.out / "images", classes=2) if options.tiny else options.photos
    photos = tltk.from_folder(folder)
    if len(photos.labels) != 2:
        raise InvalidInput(
            f"{folder} must contain two classes. Received {len(photos.labels)}: {', '.join(photos.labels.names)}"
        )
    train, val, test = tltk.split(photos, val=0.2, test=0.2)
    backbone = tltk.backbone(options.backbone, image_size=options.image_size, weights=options.weights)
    model = tltk.assemble(backbone, tltk.classification(photos.labels))
    recipe = tltk.linear_probe(epochs=2 if options.tiny else 30)
    print(recipe.phases[0].plan.describe(model).splitlines()[-1])
    done = tltk.fit(model, train, val, recipe=recipe, batch_size=32, cache="memory", out=options.out)
    report = tltk.evaluate(done, test)
    report.save(options.out / "report.html")
    print(f"test accuracy {report.metrics['accuracy']:.4f} on {report.example_count} images; run: {done.folder}")


def main() -> None:
    """Read the command line and run."""
    parser = tiny.parser(__doc__, out="runs/two_classes", backbone="resnet50")
    parser.add_argument("photos", type=Path, nargs="?", help="folder with two sub-folders of images")
    options = tiny.parsed(parser, "photos")
    with console.command(as_json=False):
        run(options)


if __name__ == "__main__":
    main()
