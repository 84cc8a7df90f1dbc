"""CIFAR-10 with a frozen ResNet50 at 224 px: only the new head of ten classes learns.

    python examples/cifar10.py --download     # 163 MB of pictures, 95 MB of ImageNet weights; wants a GPU
    python examples/cifar10.py --tiny         # offline, under a minute on two cores

SGD at a constant 1e-3 with momentum 0.9, batches of 64, ten epochs. The 32 px pictures are enlarged to the size that
the weights were trained at: at 32 px a frozen network sees almost nothing of what it knows. Two cores make 20 pictures
a second of it, 40 minutes an epoch.
"""

import argparse
from pathlib import Path

import tiny

import tltk
from tltk.cli import console
from tltk.optimizers.spec import sgd
from tltk.recipes import Phase, Recipe


def sources(options: argparse.Namespace) -> tuple:
    """Return pictures to learn from, to judge epochs by, and to judge the result by."""
    if options.tiny:
        return tltk.split(tltk.from_folder(tiny.digit_pictures(options.out / "pictures")), val=0.2, test=0.2)
    load = {"data_dir": options.data_dir, "download": options.download}
    train, val, _ = tltk.split(tltk.from_tfds("cifar10", split="train", **load), val=0.1, test=0)
    return train, val, tltk.from_tfds("cifar10", split="test", **load)


def run(options: argparse.Namespace) -> None:
    """Train the head, judge it on the test pictures, keep the run."""
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
    report = tltk.evaluate(done.model, test)
    report.save(options.out / "report.html")
    print(f"test accuracy {report.metrics['accuracy']:.4f} on {report.examples} pictures; run: {done.folder}")


def main() -> None:
    """Read the command line and run."""
    parser = tiny.parser(__doc__, out="runs/cifar10", backbone="resnet50")
    parser.add_argument("--data-dir", type=Path, help="where TensorFlow Datasets keeps its data")
    parser.add_argument("--download", action="store_true", help="fetch CIFAR-10 if it is not there")
    options = tiny.parsed(parser)
    with console.command(as_json=False):
        run(options)


if __name__ == "__main__":
    main()
