"""Semantic segmentation: a U-Net decoder on EfficientNet-Lite0, from a folder of images and one of masks.

    python examples/segmentation.py photos/ masks/     # masks: PNG files of the same names
    python examples/segmentation.py --tiny             # offline, under a minute on two cores

The decoder is trained first, on the frozen features of six augmented copies of each image, which are computed once;
then all layers, on new augmentations in every epoch. Masks move with their images. `decoder="lraspp"` takes less time.
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
        photos = tltk.from_masks(folder / "images", folder / "masks", labels=("background", *tiny_scenes.NAMES))
    else:
        photos = tltk.from_masks(options.photos, options.masks)
    train, val, test = tltk.split(photos, val=0.15, test=0.2)
    backbone = tltk.backbone(options.backbone, image_size=options.image_size, weights=options.weights)
    model = tltk.assemble(backbone, tltk.semantic_segmentation(photos.labels, decoder="unet"))
    copies, epochs, tuned = (1, 2, 1) if options.tiny else (6, 25, 10)
    recipe = tltk.fine_tune(
        epochs=tuned, probe_epochs=epochs, probe_learning_rate=4e-3, augmentations_per_example=copies
    )
    done = tltk.fit(model, train, val, recipe=recipe, batch_size=16, out=options.out)
    report = tltk.evaluate(done, test)
    report.save(options.out / "report.html")
    print(f"test mean IoU {report.metrics['mean_iou']:.4f} on {report.example_count} images; run: {done.folder}")


def main() -> None:
    """Read the command line and run."""
    parser = tiny_scenes.parser(__doc__, out="runs/segmentation")
    parser.add_argument("photos", type=Path, nargs="?", help="folder of the images")
    parser.add_argument("masks", type=Path, nargs="?", help="folder of the masks")
    options = tiny_scenes.parsed(parser, "photos")
    if not options.tiny and options.masks is None:
        parser.error("pass the masks, or --tiny")
    with console.command(as_json=False):
        run(options)


if __name__ == "__main__":
    main()
