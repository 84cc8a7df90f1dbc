"""Keras' guide "Transfer learning & fine-tuning" (https://keras.io/guides/transfer_learning/), in plain Keras.

    python examples/from_keras_plain.py photos/ --out runs/plain      # two sub-folders, one per class
    python examples/from_keras_plain.py --tiny --out runs/plain       # offline, under a minute on two cores

`from_keras.py` does the same with tltk. Both write history.csv and best.keras with the same callbacks.
"""

import argparse

import keras
import tiny


def run(options: argparse.Namespace) -> None:
    """Train the head on the frozen base model, then fine-tune the whole model, as the guide does."""
    size = options.image_size
    train, validation = keras.utils.image_dataset_from_directory(
        options.photos, validation_split=0.2, subset="both", seed=0, image_size=(size, size), batch_size=32
    )
    names = train.class_names
    augment = keras.layers.RandomFlip("horizontal", seed=0)
    train = train.map(lambda images, labels: (augment(images, training=True), labels))

    if options.base_model:
        base_model = keras.models.load_model(options.base_model)
    else:
        base_model = keras.applications.Xception(weights="imagenet", input_shape=(size, size, 3), include_top=False)
    base_model.trainable = False
    inputs = keras.Input(shape=(size, size, 3))
    x = keras.layers.Rescaling(scale=1 / 127.5, offset=-1)(inputs)
    x = base_model(x, training=False)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.2, seed=0)(x)
    outputs = keras.layers.Dense(1)(x)
    model = keras.Model(inputs, outputs)

    callbacks = [
        keras.callbacks.CSVLogger(options.out / "history.csv", append=True),
        keras.callbacks.ModelCheckpoint(options.out / "best.keras", save_best_only=True, monitor="val_loss"),
    ]
    loss, metrics = keras.losses.BinaryCrossentropy(from_logits=True), [keras.metrics.BinaryAccuracy(name="accuracy")]
    model.compile(optimizer=keras.optimizers.Adam(), loss=loss, metrics=metrics)
    model.fit(train, epochs=2, validation_data=validation, callbacks=callbacks, verbose=2)

    base_model.trainable = True
    model.compile(optimizer=keras.optimizers.Adam(1e-5), loss=loss, metrics=metrics)
    model.fit(train, epochs=3, initial_epoch=2, validation_data=validation, callbacks=callbacks, verbose=2)

    _, accuracy = model.evaluate(validation, verbose=0)
    print(f"{', '.join(names)}: validation accuracy {accuracy:.4f}")


def main() -> None:
    """Read the command line and run."""
    run(tiny.guide_options(__doc__, out="runs/from_keras_plain"))


if __name__ == "__main__":
    main()
