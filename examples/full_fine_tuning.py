"""Full fine-tuning of ResNet18: every layer is trained from the first step, including batch norm.

    python examples/full_fine_tuning.py photos/        # a sub-folder per class, or train/ val/ test/ with such folders
    python examples/full_fine_tuning.py --tiny         # offline, under a minute on two cores

SGD with momentum 0.9 and a cosine schedule from 1e-2, augmented by flips, crops and colours. For thousands of images,
or images unlike photographs. With a few hundred images it is worse than a linear probe: use `tltk.fine_tune`.
"""

import argparse
from pathlib import Path

import tiny

import tltk
from tltk.cli import console


def run(options: argparse.Namespace) -> None:
    """Train every layer, evaluate on the test images, save the run."""
    folder = tiny.digit_images(options.out / "images", classes=4) if options.tiny else options.photos
    photos = tltk.from_folder(folder)
    train, val, test = tltk.split(photos, val=0.2, test=0.2)
    backbone = tltk.backbone(options.backbone, image_size=options.image_size, weights=options.weights)
    model = tltk.assemble(backbone, tltk.classification(photos.labels))
    recipe = tltk.full(epochs=2 if options.tiny else options.epochs, learning_rate=options.learning_rate)
    print(recipe.phases[0].plan.describe(model).splitlines()[-1])
    done = tltk.fit(model, train, val, recipe=recipe, batch_size=32, out=options.out)
    report = tltk.evaluate(done, test)
    report.save(options.out / "report.html")
    print(f"test accuracy {report.metrics['accuracy']:.4f} on {report.example_count} images; run: {done.folder}")


def main() -> None:
    """Read the command line and run."""
    parser = tiny.parser(__doc__, out="runs/full_fine_tuning", backbone="resnet_18_imagenet")
    parser.add_argument("photos", type=Path, nargs="?", help="folder with a sub-folder per class")
    parser.add_argument("--epochs", type=int, default=30, help="passes over the training images")
    parser.add_argument("--learning-rate", type=float, default=1e-2, help="highest rate of the cosine")
    options = tiny.parsed(parser, "photos")
    with console.command(as_json=False):
        run(options)


if __name__ == "__main__":
    main()
