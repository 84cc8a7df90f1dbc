"""Keras' guide "Transfer learning & fine-tuning" (https://keras.io/guides/transfer_learning/), with tltk.

    python examples/from_keras.py photos/ --out runs/tltk             # two sub-folders, one per class
    python examples/from_keras.py --tiny --out runs/tltk              # offline, under a minute on two cores

`from_keras_plain.py` does the same in plain Keras. Both write history.csv and best.keras with the same callbacks.
"""

import argparse

import keras
import tiny

import tltk
from tltk.backbones import Preprocessing


def run(options: argparse.Namespace) -> None:
    """Train the head on the frozen backbone, then fine-tune the whole model, as the guide does."""
    photos = tltk.from_folder(options.photos)
    train, validation, _ = tltk.split(photos, val=0.2, test=0, seed=0)

    base = keras.models.load_model(options.base_model) if options.base_model else "xception"
    scaling = Preprocessing(scale=(1 / 127.5,), offset=(-1.0,))
    backbone = tltk.backbone(base, image_size=options.image_size, preprocessing=scaling)
    model = tltk.assemble(backbone, tltk.classification(photos.labels, head=tltk.head(dropout=0.2)))

    callbacks = [
        keras.callbacks.CSVLogger(options.out / "history.csv", append=True),
        keras.callbacks.ModelCheckpoint(options.out / "best.keras", save_best_only=True, monitor="val_loss"),
    ]
    recipe = tltk.fine_tune(probe_epochs=2, epochs=1, augment=(tltk.augment.flip(),))
    trained = tltk.fit(model, train, validation, recipe=recipe, callbacks=callbacks, verbose=2)

    accuracy = tltk.evaluate(trained, validation).metrics["accuracy"]
    print(f"{', '.join(photos.labels.names)}: validation accuracy {accuracy:.4f}")


def main() -> None:
    """Read the command line and run."""
    run(tiny.guide_options(__doc__, out="runs/from_keras"))


if __name__ == "__main__":
    main()
