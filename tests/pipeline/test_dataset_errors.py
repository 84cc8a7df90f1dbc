import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.conftest import coloured_squares, squares_model
from tltk.errors import InvalidInput
from tltk.pipeline.dataset_errors import failure, reading


@pytest.fixture(scope="module")
def model():
    return squares_model()


def broken(batches, *, length=None):
    """Return a dataset of squares whose generator raises a KeyError after some batches."""
    x, y = coloured_squares(4)

    def generate():
        for _ in range(batches):
            yield x, y
        raise KeyError("my column")

    signature = (tf.TensorSpec([None, 16, 16, 3], tf.uint8), tf.TensorSpec([None], tf.int32))
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    return dataset if length is None else dataset.apply(tf.data.experimental.assert_cardinality(length))


@pytest.mark.parametrize("length", [None, 9], ids=["while it is counted", "while it is read"])
@pytest.mark.parametrize(
    "use",
    [
        lambda model, data: tltk.fit(model, data, plan=tltk.train_all(), epochs=1, verbose=0),
        tltk.evaluate,
        lambda model, data: tltk.predict(model, data.map(lambda x, y: x)),
        tltk.embed,
    ],
    ids=["fit", "evaluate", "predict", "embed"],
)
def test_what_a_generator_raises_is_said(model, use, length):
    place = r"\(line \d+ of .*test_dataset_errors.py, in generate\)"
    with pytest.raises(InvalidInput, match=rf"raised KeyError: 'my column' {place}") as caught:
        use(model, broken(3, length=length))
    assert isinstance(caught.value.__cause__, tf.errors.OpError) and "Traceback" in str(caught.value.__cause__)


def test_the_argument_is_named_while_the_dataset_is_prepared(model):
    train, plan = tltk.from_arrays(*coloured_squares(4), labels=model.task.labels), tltk.train_all()
    with pytest.raises(InvalidInput, match=r"`val`: your tf.data.Dataset raised KeyError"):
        tltk.fit(model, train, broken(1), plan=plan, epochs=1, verbose=0)


def test_images_of_different_sizes_in_a_batch_are_explained(model):
    images = [np.zeros((16, 16, 3), "uint8"), np.zeros((8, 16, 3), "uint8")]
    signature = (tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([], tf.int32))
    data = tf.data.Dataset.from_generator(lambda: zip(images, [0, 1], strict=True), output_signature=signature).batch(2)
    with pytest.raises(InvalidInput, match=r"`data`: .* cannot be read. .*Cannot batch tensors with diff"):
        tltk.evaluate(model, data)


def test_a_file_that_cannot_be_decoded_is_explained(model):
    files = tf.data.Dataset.from_tensor_slices(([b"no image"] * 4, [0] * 4))
    data = files.map(lambda x, y: (tf.io.decode_jpeg(x, 3), y))
    with pytest.raises(InvalidInput, match=r"cannot be read. TensorFlow says: Unknown image file format"):
        tltk.evaluate(model, data.batch(2))


def test_errors_that_are_not_of_a_dataset_stay_as_they_are():
    for error in (
        tf.errors.InvalidArgumentError(None, None, "incompatible shapes [Op:MatMul]"),
        tf.errors.ResourceExhaustedError(None, None, "out of memory [Op:IteratorGetNext]"),
    ):
        assert failure(error) == ""
        with pytest.raises(type(error)), reading("data"):
            raise error
