"""CIFAR-10 with a frozen ResNet50 at 224 px: only the new head of ten classes is trained.

    python examples/cifar10.py --download     # 163 MB of images, 95 MB of ImageNet weights; needs a GPU
    python examples/cifar10.py --tiny         # offline, under a minute on two cores

SGD at a constant 1e-3 with momentum 0.9, batches of 64, ten epochs. The 32 px images are enlarged to the size that the
weights were trained at, because the features of a frozen network are poor at 32 px. Two cores process 20 images per
second, 40 minutes per epoch.
"""

import argparse
from pathlib import Path

import tiny

import tltk
from tltk.cli import console
from tltk.optimizers.spec import sgd
from tltk.recipes import Phase, Recipe


def sources(options: argparse.Namespace) -> tuple:
    """Return the training, validation and test images."""
    if options.tiny:
        return tltk.split(tltk.from_folder(tiny.digit_images(options.out / "images")), val=0.2, test=0.2)
    load = {"data_dir": options.data_dir, "download": options.download}
    train, val, _ = tltk.split(tltk.from_tfds("cifar10", split="train", **load), val=0.1, test=0)
    return train, val, tltk.from_tfds("cifar10", split="test", **load)


def run(options: argparse.Namespace) -> None:
    """Train the head, evaluate it on the test images, save the run."""
    train, val, test = sources(options)
    backbone = tltk.backbone(options.backbone, image_size=options.image_size, weights=options.weights)
    model = tltk.assemble(backbone, tltk.classification(train.labels))
    head = Phase(
        "head",
        tltk.freeze("backbone"),
        epochs=1 if options.tiny else 10,
        optimizer=sgd(1e-3, momentum=0.9),
        schedule="constant",
        warmup=0.0,
    )
    done = tltk.fit(model, train, val, recipe=Recipe("cifar10", (head,)), batch_size=64, out=options.out)
    report = tltk.evaluate(done, test)
    report.save(options.out / "report.html")
    print(f"test accuracy {report.metrics['accuracy']:.4f} on {report.example_count} images; run: {done.folder}")


def main() -> None:
    """Read the command line and run."""
    parser = tiny.parser(__doc__, out="runs/cifar10", backbone="resnet50")
    parser.add_argument("--data-dir", type=Path, help="folder of TensorFlow Datasets")
    parser.add_argument("--download", action="store_true", help="download CIFAR-10 if necessary")
    options = tiny.parsed(parser)
    with console.command(as_json=False):
        run(options)


if __name__ == "__main__":
    main()
