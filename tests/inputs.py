"""Ten faults that users of neighbouring libraries reported, tried on tltk.

python -m tests.inputs --json    # one JSON object with a boolean for each; True means right
"""

import argparse
import gc
import json
import logging
import os
import sys
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path


def memory_after_predict(folder: Path) -> bool:
    """Arrays are freed when their user deletes them."""
    import tltk
    from tests.conftest import coloured_squares, squares_model

    model, x = squares_model(), coloured_squares(32)[0]
    tltk.predict(model, x)
    reference = weakref.ref(x)
    del x
    gc.collect()
    return reference() is None


def sequential_adopted_and_fitted(folder: Path) -> bool:
    """A Sequential model of the user is adopted, trained, saved and loaded."""
    import keras
    import numpy as np

    import tltk
    from tests.conftest import squares

    layers = [keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D()]
    network = keras.Sequential([*layers, keras.layers.Dense(3, activation="softmax")])
    model = tltk.adopt(network, tltk.classification(("red", "green", "blue")))
    run = tltk.fit(model, squares(), plan=tltk.train_all(), epochs=1, out=folder / "run", verbose=0)
    probabilities = [tltk.predict(one, squares()).probabilities for one in (run, folder / "run")]
    return bool(np.array_equal(*probabilities))


def head_conv_of_the_backbone_stays_frozen(folder: Path) -> bool:
    """A layer of the user's backbone called `head_conv` is not part of the head."""
    import keras
    import numpy as np

    import tltk
    from tests.conftest import squares

    pixels = keras.Input((16, 16, 3))
    features = keras.layers.Conv2D(4, 3, name="head_conv")(pixels)
    model = tltk.assemble(tltk.backbone(keras.Model(pixels, features)), tltk.classification(("red", "green", "blue")))
    before = model.keras.get_layer("head_conv").get_weights()
    tltk.fit(model, squares(), recipe=tltk.linear_probe(epochs=1), verbose=0)
    return all(map(np.array_equal, before, model.keras.get_layer("head_conv").get_weights()))


def training_and_testing_are_parts(folder: Path) -> bool:
    """`Training/` and `Testing/` are parts, and no classes."""
    import tltk
    from tests.images import class_folder

    for name in ("Training", "Testing"):
        class_folder(folder / name, count=2)
    source = tltk.from_folder(folder)
    return source.labels.names == ("cat", "dog") and set(source.parts) == {"train", "test"}


def one_picture_is_not_many(folder: Path) -> bool:
    """An image [height, width, 3] is not read as `height` grey images."""
    import numpy as np

    import tltk
    from tests.conftest import squares_model
    from tltk.errors import InvalidInput

    one = np.zeros((16, 16, 3), "uint8")
    if len(tltk.predict(squares_model(), one)) != 1:
        return False
    try:
        tltk.from_arrays(np.zeros((224, 200, 3), "uint8"))
    except InvalidInput as error:
        return "x[None]" in str(error)
    return False


def labels_from_1_to_k(folder: Path) -> bool:
    """Classes that start at 1 are an error with the way out, in a dataset and in arrays with names."""
    import tensorflow as tf

    import tltk
    from tests.conftest import coloured_squares, squares_model
    from tltk.errors import InvalidInput

    x, y = coloured_squares(12)
    dataset = tf.data.Dataset.from_tensor_slices((x, y + 1)).batch(4)
    messages = []
    for call in (
        lambda: tltk.fit(squares_model(), dataset, plan=tltk.train_all(), epochs=1, verbose=0),
        lambda: tltk.from_arrays(x, y + 1, labels=("red", "green", "blue")),
    ):
        try:
            call()
        except InvalidInput as error:
            messages.append(str(error))
    return ["start at 1" in message for message in messages] == [True, True]


def none_is_no_label(folder: Path) -> bool:
    """None, NaN and an empty string among labels are refused."""
    import tltk
    from tltk.errors import InvalidInput

    refused = 0
    for missing in (None, float("nan"), ""):
        try:
            tltk.from_arrays(["a", "b", "c"], ["x", missing, "y"])
        except InvalidInput as error:
            refused += "`y`[1]" in str(error)
    return refused == 3


def scaled_dataset(folder: Path) -> bool:
    """Pixels in [0, 1] in a dataset are an error instead of being scaled twice."""
    import tensorflow as tf

    import tltk
    from tests.conftest import coloured_squares, squares_model
    from tltk.errors import InvalidInput

    x, y = coloured_squares(12)
    dataset = tf.data.Dataset.from_tensor_slices((x / 255.0, y)).batch(4)
    try:
        tltk.fit(squares_model(), dataset, plan=tltk.train_all(), epochs=1, verbose=0)
    except InvalidInput as error:
        return "[0, 255]" in str(error)
    return False


def quotation_marks_in_a_tsv(folder: Path) -> bool:
    """Stray quotation marks do not glue rows together."""
    import tltk

    rows = ['he said "hi\tpro', '"quoted start\tpro', 'end"\tcon']
    (folder / "data.tsv").write_text("\n".join(["text\tlabel", *rows]))
    source = tltk.from_csv(folder / "data.tsv", input="text", modality="text")
    return source.examples.tolist() == [row.partition("\t")[0] for row in rows]


def logits_adopted(folder: Path) -> bool:
    """The logits of a user's model become probabilities."""
    import keras
    import numpy as np

    import tltk
    from tests.conftest import coloured_squares, conv_net

    network = conv_net()
    logits = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(network.output))
    model = keras.Model(network.input, logits)
    x = coloured_squares(4)[0]
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(model(x.astype("float32"))))
    adopted = tltk.adopt(model, tltk.classification(("red", "green", "blue")))
    return bool(np.allclose(tltk.predict(adopted, x).probabilities, expected, atol=1e-5))


REPORTS: tuple[Callable[[Path], bool], ...] = (
    memory_after_predict,
    sequential_adopted_and_fitted,
    head_conv_of_the_backbone_stays_frozen,
    training_and_testing_are_parts,
    one_picture_is_not_many,
    labels_from_1_to_k,
    none_is_no_label,
    scaled_dataset,
    quotation_marks_in_a_tsv,
    logits_adopted,
)


def main() -> int:
    """Try all reports; return 0 if all are right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tltk").setLevel(logging.ERROR)
    results = {}
    for report in REPORTS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                results[report.__name__] = report(Path(folder))
            except Exception as error:  # noqa: BLE001 - any error is a fault, told and counted
                print(f"{report.__name__}: {type(error).__name__}: {error}", file=sys.stderr)
                results[report.__name__] = False
    if options.json:
        print(json.dumps(results))
    else:
        for name, is_right in results.items():
            print(f"{'right' if is_right else 'WRONG'}  {name}")
    return 0 if all(results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
