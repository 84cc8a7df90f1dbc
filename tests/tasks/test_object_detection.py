"""Object detection on scenes of coloured rectangles, from training to a checked export."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tltk
from tests import ROOT
from tests.conftest import weights_as_bytes
from tests.stress.agreement import compare_file, compare_saved_model
from tests.tasks.boxes.scenes import NAMES, scenes, source
from tltk.data.boxes import BoxTargets, as_objects
from tltk.errors import InvalidInput
from tltk.modalities.context import Context
from tltk.modalities.modality import modality_of
from tltk.specs import Boxes
from tltk.tasks.boxes.fcos import BACKGROUND
from tltk.tasks.registry import for_source, from_config


def network(size=64):
    """Build a backbone with strides 2, 4, 8 and 16."""
    x = pixels = keras.Input((size, size, 3), name="pixels")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1, name="stem_scale")(x)
    for name, filters in (("stem", 8), ("conv2", 12), ("conv3", 16), ("conv4", 24)):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", name=f"{name}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
        x = keras.layers.ReLU(name=f"{name}_relu")(x)
    return keras.Model(pixels, x, name="net")


def detector(**options):
    """Assemble a small detector."""
    stages = {name: f"{name}_relu" for name in ("stem", "conv2", "conv3", "conv4")}
    options = {"channels": 16, "depth": 1, "strides": (8, 16), **options}
    return tltk.assemble(tltk.backbone(network(), stages=stages), tltk.object_detection(NAMES, **options))


def phases(*plans, epochs=12, optimizer=None, **options):
    optimizer = optimizer or tltk.adamw(1e-2)
    steps = [tltk.Phase(f"phase {number}", plan, epochs, optimizer, **options) for number, plan in enumerate(plans)]
    return tltk.Recipe("test", tuple(steps))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("detector") / "run"
    model = detector(strides=(8,))
    recipe = phases(tltk.train_all(batch_norm="train"), epochs=20)
    return tltk.fit(model, source(64), recipe=recipe, batch_size=8, out=folder, verbose=0)


def test_a_detector_learns_to_find_objects(run):
    report = tltk.evaluate(run, source(24, seed=1))
    assert report.metrics["ap50"] > 0.9
    assert report.metrics["ap50_low"] <= report.metrics["ap50"] <= report.metrics["ap50_high"]
    assert [row["name"] for row in report.classes] == list(NAMES)


def test_predictions_are_objects_in_pixels_of_the_original(run):
    test = source(6, seed=2, most=1)
    predictions = tltk.predict(run, test)
    for prediction, boxes in zip(predictions, test.targets.values, strict=True):
        best = prediction.objects[0]
        assert best.label == NAMES[boxes.classes[0]] and best.label in prediction.label
        np.testing.assert_allclose(best.box, boxes.boxes[0], atol=6)
        assert prediction.scores[best.label] == best.score == max(prediction.scores.values())
    counts = [len(prediction.objects) for prediction in predictions]
    for name in ("boxes", "scores", "classes"):
        assert [len(values) for values in predictions.fields[name]] == counts
    assert [row["label"] for row in predictions[0].details()["objects"]] == [
        item.label for item in predictions[0].objects
    ]
    assert predictions.labels == tuple(prediction.label for prediction in predictions)


def test_a_loaded_run_finds_the_same_and_its_export_is_checked(run, tmp_path, replay_here):
    test = source(4, seed=3)
    loaded = tltk.load_run(run.folder)
    assert loaded.model.task == run.model.task
    assert tltk.predict(loaded, test) == tltk.predict(run, test)
    requests = [tf.io.encode_png(image).numpy() for image in test.examples]
    exported = tltk.export(loaded, tmp_path, requests=[*requests, b"damaged"])
    served = tf.saved_model.load(str(exported.path)).signatures["serving_default"](tf.constant(requests[:2]))
    assert {name: tuple(served[name].shape) for name in ("boxes", "scores", "labels", "count")} == {
        "boxes": (2, 100, 4),
        "scores": (2, 100),
        "labels": (2, 100),
        "count": (2,),
    }
    expected = tltk.predict(loaded, test)[0].objects
    assert int(served["count"][0]) == len(expected)
    np.testing.assert_allclose(served["boxes"][0, 0], expected[0].box, atol=1e-3)
    assert served["labels"][0, 0].numpy().decode() == expected[0].label
    assert max(tltk.verify(exported.path, measure_latency=False).largest_differences.values()) < 1e-4


def test_exports_agree_with_predict_on_images_of_many_sizes_damaged_ones_among_them(run, tmp_path, replay_here):
    agreement = compare_saved_model(run.model, tmp_path / "agreement", count=24)
    assert agreement.problems == []
    assert agreement.damaged == 6 and agreement.unreadable >= 3
    assert agreement.measures["objects"] > 24 and agreement.measures["largest difference of scores"] <= 1e-5


@pytest.mark.parametrize("file_format", ["onnx", "openvino", "litert"])
def test_files_of_other_formats_have_all_outputs_of_the_network(run, tmp_path, replay_here, file_format):
    agreement = compare_file(run.model, tmp_path / "agreement", file_format=file_format, count=8)
    assert agreement.problems == [] and agreement.measures["objects"] > 8
    exported = tmp_path / "agreement" / "serving" / "1"
    verified = tltk.verify(exported, measure_latency=False)
    assert set(verified.differences["predict_tensor"]) == {"classes", "distances", "centreness"}
    assert verified.largest_differences["predict_tensor"] <= 1e-4
    description = json.loads((exported / "model.json").read_text())
    assert description["outputs"]["classes"] == list(NAMES)
    assert description["output_shapes"] == {
        "classes": [None, 64, 2], "distances": [None, 64, 4], "centreness": [None, 64, 1]
    }  # fmt: skip
    assert description["decoding"] == {
        "level_sizes": [[8, 8]], "min_score": 0.05, "max_iou": 0.5, "max_detections": 100
    }  # fmt: skip


def test_the_example_decodes_an_onnx_file_without_tensorflow(run, tmp_path, replay_here, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import onnx_images

    exported = tltk.export(run, tmp_path, format="onnx")
    for number, size in enumerate([(48, 64), (100, 70), (31, 90)]):
        path = tmp_path / f"{number}.png"
        Image.fromarray(scenes(1, size=size, seed=number)[0][0]).save(path)
        about, outputs, image = onnx_images.run(exported.path, path)
        objects = onnx_images.objects_of(outputs, about, image)
        expected = tltk.predict(run, path)[0].objects
        assert [name for name, score, _ in objects if score > 0.2] == [
            found.label for found in expected if found.score > 0.2
        ]
        assert objects[0][1] == pytest.approx(expected[0].score, abs=0.02)
        np.testing.assert_allclose(objects[0][2], expected[0].box, atol=0.5)


def test_a_frozen_backbone_stays_as_it_is():
    model = detector()
    before = weights_as_bytes(model.keras, "stem", "conv2", "conv3", "conv4")
    head = weights_as_bytes(model.keras, "class_branch")
    tltk.fit(model, source(8), recipe=phases(tltk.freeze("backbone"), epochs=1), batch_size=4, verbose=0)
    assert weights_as_bytes(model.keras, "stem", "conv2", "conv3", "conv4") == before
    assert weights_as_bytes(model.keras, "class_branch") != head


def test_cached_features_of_augmented_copies_train_as_new_pixels_do():
    augment = (tltk.augment.flip(), tltk.augment.safe_crop(scale=(0.3, 1.0)), tltk.augment.color_jitter(hue=0.1))
    weights, losses = [], []
    for cache in ("off", "memory", tltk.Cache("memory", "bfloat16")):
        keras.utils.set_random_seed(1)
        model = detector()
        recipe = phases(tltk.freeze("backbone"), epochs=3, augment=augment, augmentations_per_example=2)
        run = tltk.fit(model, source(8), recipe=recipe, batch_size=4, cache=cache, verbose=0)
        losses.append([row["loss"] for row in run.history])
        weights.append(model.keras.get_weights())
    for cached, computed in zip(*weights[:2], strict=True):
        np.testing.assert_allclose(cached, computed, atol=2e-5)
    np.testing.assert_allclose(losses[2], losses[0], rtol=0.01)  # bfloat16 has 8 bits
    assert losses[2] != losses[1]


def test_batches_hold_what_each_position_of_the_letterboxed_image_has_to_learn():
    model = detector()
    values = [Boxes([[10, 20, 30, 50]], [1]), Boxes([], [])]
    images = np.zeros((2, 32, 64, 3), "uint8")
    data = tltk.Source("image", "arrays", images, BoxTargets(as_objects(values), [[32, 64]] * 2), source(1).labels)
    inputs, targets = next(iter(data.to_dataset(model, batch_size=2)))
    assert inputs.shape == (2, 64, 64, 3)
    classes = targets["classes"].numpy()[..., 0]
    assert set(classes[0]) == {BACKGROUND, 1} and set(classes[1]) == {BACKGROUND}
    centre = 3 * 8 + 4  # y = 28, x = 36 in the input, in which the image begins at row 16
    assert classes[0, centre] == 1
    np.testing.assert_allclose(targets["distances"][0, centre], [28 - 26, 36 - 20, 46 - 28, 50 - 36])


def test_boxes_come_back_in_pixels_of_images_of_any_shape():
    model = detector(min_score=0.0)
    outputs = {
        name: np.zeros((2, 80, size), "float32") for name, size in (("classes", 2), ("distances", 4), ("centreness", 1))
    }
    for name in ("classes", "centreness"):
        outputs[name][:, 27] = 0.9  # the position at y = 28, x = 28
    outputs["distances"][:, 27] = [4, 4, 8, 12]
    tensors = {name: tf.constant(values) for name, values in outputs.items()}
    sizes = tf.constant([[64, 64], [300, 600]])
    boxes = model.task.decode(tensors, Context(tf.constant(2, tf.int64), image_sizes=sizes))["boxes"].numpy()[:, 0]
    np.testing.assert_allclose(boxes[0], [24, 24, 36, 40], atol=1e-4)
    np.testing.assert_allclose(boxes[1], np.array([24 - 16, 24, 36 - 16, 40]) * 600 / 64, rtol=1e-5)
    in_input = model.task.decode(tensors, Context(tf.constant(2, tf.int64)))["boxes"].numpy()[:, 0]
    np.testing.assert_allclose(in_input, [[24, 24, 36, 40]] * 2, atol=1e-4)


def test_a_box_in_the_bars_around_an_image_is_no_object():
    model = detector(strides=(8,))
    outputs = {
        "classes": np.zeros((1, 64, 2)),
        "distances": np.full((1, 64, 4), 3.0),
        "centreness": np.ones((1, 64, 1)),
    }
    outputs["classes"][:, [1, 34]] = 0.9  # the positions at y = 4, in the bar above an image of 32 × 64, and at y = 36
    tensors = {name: tf.constant(values, tf.float32) for name, values in outputs.items()}
    sizes = tf.constant([[32, 64]])
    decoded = model.task.decode(tensors, Context(tf.constant(1, tf.int64), image_sizes=sizes))
    assert decoded["count"].numpy() == 2  # one of each class
    np.testing.assert_allclose(decoded["boxes"][0, :2], [[17, 17, 23, 23]] * 2)
    assert model.task.decode(tensors, Context(tf.constant(1, tf.int64)))["count"].numpy() == 4


def test_boxes_of_lists_and_datasets_come_back_in_pixels_of_their_images():
    model = detector(min_score=0.0, strides=(8,))
    image = source(1).examples[0]
    small = tf.image.resize(image, [24, 32]).numpy().astype("uint8")
    expected = tltk.predict(model, image[None]).fields["boxes"][0]
    assert expected.max() > 50
    of_list = tltk.predict(model, [image, small]).fields["boxes"]
    np.testing.assert_allclose(of_list[0], expected, atol=1e-3)
    np.testing.assert_allclose(of_list[1], tltk.predict(model, small[None]).fields["boxes"][0], atol=1e-3)
    assert of_list[1][:, 2].max() <= 24 and of_list[1][:, 3].max() <= 32
    dataset = tf.data.Dataset.from_tensor_slices(image[None])
    for data in (dataset, dataset.batch(1)):
        np.testing.assert_allclose(tltk.predict(model, data).fields["boxes"][0], expected, atol=1e-3)
    several = tf.data.Dataset.from_generator(
        lambda: iter([image, small]), output_signature=tf.TensorSpec([None, None, 3], tf.uint8)
    )
    with pytest.raises(InvalidInput, match=r"pixels of the original images.*list of arrays.*ensure_shape"):
        tltk.predict(model, several)


def test_the_task_is_the_default_for_boxes_and_can_be_saved():
    task = for_source(source(2)).for_input(tltk.ImageSpec(64, 96))
    assert task.labels.names == NAMES and task.image_size == (64, 96)
    assert from_config(task.to_config()) == task
    names = [augmentation.name for augmentation in task.default_augmentation(tltk.ImageSpec(64, 96))]
    assert names == ["flip", "scale_jitter", "color_jitter"]
    assert tltk.classification(["a", "b"]).default_augmentation(tltk.ImageSpec(64, 96)) == tltk.augment.standard()


def test_wrong_arguments_are_listed():
    with pytest.raises(InvalidInput, match=r"(?s)`strides`.*\(8, 24\).*`channels`.*0"):
        tltk.object_detection(NAMES, strides=(8, 24), channels=0)
    with pytest.raises(InvalidInput, match=r"categorical.*from_coco"):
        tltk.object_detection(tltk.LabelSpec(NAMES))
    with pytest.raises(InvalidInput, match="min_score"):
        tltk.object_detection(NAMES, min_score=1.0)


def test_data_without_the_sizes_of_images_is_refused():
    images = tf.data.Dataset.from_tensor_slices((np.zeros((4, 64, 64, 3), "float32") + 9, np.zeros((4, 1, 4)))).batch(2)
    with pytest.raises(InvalidInput, match=r"needs a Source.*from_coco"):
        tltk.fit(detector(), images, recipe=phases(tltk.freeze("backbone"), epochs=1), verbose=0)
    with pytest.raises(InvalidInput, match=r"tltk\.assemble"):
        tltk.adopt(network(), tltk.object_detection(NAMES))
    spec = tltk.ImageSpec(64, 64)
    assert modality_of(spec).name == "image" and tltk.object_detection(NAMES).input_spec(spec).resize == "pad"
