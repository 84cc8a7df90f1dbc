import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tltk
from tests.conftest import coloured_squares, squares, squares_model
from tests.texts import text_model, tiny_preset
from tltk.training.run import Run


def test_predictions_are_in_order_and_agree_with_keras():
    model = squares_model(head=tltk.head(zero_init=False))
    x, _ = coloured_squares(10)
    predictions = tltk.predict(model, x, batch_size=3)
    expected = model.keras.predict(x.astype("float32"), verbose=0)
    assert [item.label for item in predictions] == [("red", "green", "blue")[i] for i in expected.argmax(-1)]
    np.testing.assert_allclose([item.probability for item in predictions], expected.max(-1), rtol=1e-5)
    np.testing.assert_allclose(predictions.probabilities, expected, rtol=1e-5)
    assert predictions.invalid == () and predictions.ids[3] == "example 3"


def test_paths_folders_and_lists_are_accepted(tmp_path):
    x, _ = coloured_squares(3)
    for index, pixels in enumerate(x):
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    model = squares_model()
    for inputs, count in ((tmp_path / "0.png", 1), (str(tmp_path), 3), ([tmp_path / "2.png", tmp_path / "0.png"], 2)):
        predictions = tltk.predict(model, inputs)
        assert len(predictions) == count
    assert predictions[0].example_id.endswith("2.png")


def test_unreadable_images_are_listed_and_the_others_predicted(tmp_path):
    x, _ = coloured_squares(2)
    Image.fromarray(x[0]).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    data = (tmp_path / "a.png").read_bytes()
    middle = len(data) // 2
    (tmp_path / "c.png").write_bytes(data[:middle] + bytes(8) + data[middle + 8 :])
    predictions = tltk.predict(squares_model(), [tmp_path / name for name in ("c.png", "a.png", "b.png")])
    assert [item.example_id.rsplit("/", 1)[-1] for item in predictions] == ["a.png"]
    assert {example.example_id.rsplit("/", 1)[-1] for example in predictions.invalid} == {"b.png", "c.png"}


def test_a_tf_dataset_with_or_without_targets_is_accepted():
    x, y = coloured_squares(5)
    model = squares_model()
    for data in (tf.data.Dataset.from_tensor_slices(x).batch(2), tf.data.Dataset.from_tensor_slices((x, y)).batch(2)):
        predictions = tltk.predict(model, data)
        assert predictions.ids == tuple(f"example {index}" for index in range(5))


def test_labels_of_a_source_are_ignored():
    predictions = tltk.predict(squares_model(), squares(4))
    assert len(predictions) == 4


def test_wrong_inputs_are_rejected(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a.png"):
        tltk.predict(squares_model(), [tmp_path / "a.png"])
    with pytest.raises(TypeError, match=r"`model` is a plain Keras model.*tltk.adopt"):
        tltk.predict(squares_model().keras, coloured_squares(2)[0])
    with pytest.raises(ValueError, match=r"`inputs` holds no text"):
        tltk.predict(text_model(tiny_preset(tmp_path / "tiny")), [])


def test_a_run_and_its_folder_predict_as_their_model(tmp_path):
    model = squares_model(head=tltk.head(zero_init=False))
    run = Run(model).save(tmp_path / "run")
    x = coloured_squares(3)[0]
    expected = tltk.predict(model, x)
    assert tltk.predict(run, x) == expected
    np.testing.assert_allclose(tltk.predict(str(run.folder), x).probabilities, expected.probabilities, rtol=1e-6)
    with pytest.raises(FileNotFoundError, match=r"runs is not the folder of a run"):
        tltk.predict(tmp_path / "runs", x)


def test_a_single_image_and_lists_of_images_are_accepted():
    model, x = squares_model(), coloured_squares(2)[0]
    expected = tltk.predict(model, x).probabilities
    for inputs, count in (
        (x[0], 1),
        (Image.fromarray(x[0]), 1),
        ([x[0], x[1]], 2),
        ([Image.fromarray(image) for image in x], 2),
        (tf.constant(x), 2),
    ):
        predictions = tltk.predict(model, inputs)
        assert len(predictions) == count
        np.testing.assert_allclose(predictions.probabilities, expected[:count], atol=1e-6)


@pytest.mark.parametrize("inputs", [None, 3, b"\x89PNG"])
def test_inputs_of_another_type_are_refused(inputs):
    with pytest.raises(TypeError, match=r"`inputs` must be paths, pixels .* Received: (NoneType|int|bytes)"):
        tltk.predict(squares_model(), inputs)


def test_images_of_different_sizes_are_resized_as_files_are(tmp_path):
    model, rng = squares_model(head=tltk.head(zero_init=False)), np.random.default_rng(0)
    images = [rng.integers(0, 256, shape, "uint8") for shape in ((20, 30, 3), (16, 16, 3), (40, 17, 3), (9, 9))]
    files = [tmp_path / f"{index}.png" for index in range(4)]
    for image, path in zip(images, files, strict=True):
        Image.fromarray(image).save(path)
    expected = tltk.predict(model, files).probabilities
    for inputs in (images, [Image.fromarray(image) for image in images], [Image.fromarray(images[0]), *images[1:]]):
        np.testing.assert_allclose(tltk.predict(model, inputs).probabilities, expected, atol=1e-6)


def test_lists_with_something_else_than_images_are_refused():
    image = np.zeros((8, 8, 3), "uint8")
    for other, shown in (("a.png", "'a.png'"), (None, "None"), (np.zeros((2, 8, 8, 3)), "array")):
        with pytest.raises(tltk.errors.InvalidType, match=rf"paths only.* Received: item 1 is {shown}"):
            tltk.predict(squares_model(), [image, other])
    with pytest.raises(tltk.errors.InvalidInput, match=r"value_range=\(0, 1\)"):
        tltk.predict(squares_model(), [image, np.full((9, 8, 3), 0.5)])
