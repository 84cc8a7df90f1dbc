"""Semantic segmentation on scenes of coloured rectangles, from training to a checked export."""

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tltk
from tests import ROOT
from tests.conftest import weights_as_bytes
from tests.stress.agreement import compare_saved_model
from tests.tasks.boxes.scenes import masked_source, scenes
from tests.tasks.test_object_detection import network, phases
from tltk.errors import InvalidInput
from tltk.modalities.context import Context
from tltk.tasks.masks.frequencies import class_frequencies
from tltk.tasks.registry import for_source, from_config

NAMES = ("background", "red", "green")
FIRST_BIAS: list[float] = []  # of the logits, when training began


def segmenter(**options):
    """Assemble a small model."""
    stages = {name: f"{name}_relu" for name in ("stem", "conv2", "conv3", "conv4")}
    task = tltk.semantic_segmentation(NAMES, **{"channels": 16, **options})
    return tltk.assemble(tltk.backbone(network(), stages=stages), task)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("segmenter") / "run"
    recipe = phases(tltk.train_all(batch_norm="train"), epochs=20)
    model = segmenter()
    bias = model.keras.get_layer("class_logits").bias
    first = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: FIRST_BIAS.extend(np.asarray(bias).tolist()))
    data, options = (masked_source(64), masked_source(8, seed=9)), {"callbacks": [first], "verbose": 0}
    return tltk.fit(model, *data, recipe=recipe, batch_size=8, out=folder, **options)


def test_a_segmenter_learns_where_things_are(run):
    report = tltk.evaluate(run, masked_source(16, seed=1))
    assert report.metrics["mean_iou"] > 0.6 and report.metrics["pixel_accuracy"] > 0.9
    assert 0 < report.metrics["boundary_f1"] <= 1
    assert [row["name"] for row in report.classes] == list(NAMES)
    assert run.history[-1]["val_mean_iou"] > 0.6


def test_predictions_are_maps_in_the_original_size(run):
    test = masked_source(3, seed=2)
    predictions = tltk.predict(run, test)
    for prediction, mask, true in zip(predictions, predictions.fields["masks"], test.targets.values, strict=True):
        assert mask.shape == (48, 64) and np.array_equal(mask, prediction.mask)
        assert np.mean(mask == true) > 0.85
        assert prediction.label.startswith("background") and sum(prediction.scores.values()) == pytest.approx(1)


def test_a_loaded_run_predicts_the_same_and_its_export_is_checked(run, tmp_path, replay_here):
    test = masked_source(2, seed=3)
    loaded = tltk.load_run(run.folder)
    assert loaded.model.task == run.model.task
    expected = tltk.predict(loaded, test).fields["masks"]
    assert all(map(np.array_equal, expected, tltk.predict(run, test).fields["masks"]))
    requests = [tf.io.encode_png(image).numpy() for image in (*test.examples, test.examples[0][:20, :30])]
    exported = tltk.export(loaded, tmp_path, requests=[*requests, b"damaged"])
    served = tf.saved_model.load(str(exported.path)).signatures["serving_default"](tf.constant([*requests, b"damaged"]))
    assert served["classes"].shape == (4, 64, 64) and served["classes"].dtype == tf.uint8
    assert served["sizes"].numpy().tolist() == [[48, 64], [48, 64], [20, 30], [-1, -1]]
    assert np.mean(served["classes"][0, :48].numpy() == expected[0]) > 0.998
    assert set(np.unique(served["classes"][2, 20:])) == {255}
    for row in range(3):
        height, width = served["sizes"][row].numpy()
        decoded = np.asarray(Image.open(io.BytesIO(served["png_bytes"][row].numpy())))
        np.testing.assert_array_equal(decoded, served["classes"][row, :height, :width])
    assert served["png_bytes"][3].numpy() == b""


def test_exports_agree_with_predict_on_images_of_many_sizes_damaged_ones_among_them(run, tmp_path, replay_here):
    agreement = compare_saved_model(run.model, tmp_path / "agreement", count=24)
    assert agreement.problems == []
    assert agreement.damaged == 6 and agreement.unreadable >= 3
    assert agreement.measures["pixels that differ"] <= 0.002 * agreement.measures["pixels"]


def test_an_onnx_file_returns_logits_and_the_example_makes_a_map_of_them(run, tmp_path, replay_here, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import onnx_images

    exported = tltk.export(run, tmp_path, format="onnx")
    assert set(exported.differences["predict_tensor"]) == {"logits"} and exported.answers.changed == 0
    for number, size in enumerate([(48, 64), (100, 70), (31, 90)]):
        path = tmp_path / f"{number}.png"
        Image.fromarray(scenes(1, size=size, seed=number)[0][0]).save(path)
        about, outputs, image = onnx_images.run(exported.path, path)
        assert about["output_shapes"] == {"logits": [None, *outputs["logits"].shape[1:]]}
        expected = tltk.predict(run, path)[0].mask
        assert np.mean(onnx_images.class_map_of(outputs, image) == expected) > 0.99


def test_a_frozen_backbone_stays_and_cached_features_of_copies_train_as_new_pixels_do():
    augment = (tltk.augment.flip(), tltk.augment.safe_crop(scale=(0.3, 1.0)), tltk.augment.scale_jitter())
    weights, losses = [], []
    for cache in ("off", "memory"):  # bfloat16 is tested with objects
        keras.utils.set_random_seed(1)
        model = segmenter(dropout=0.0)
        before = weights_as_bytes(model.keras, "stem", "conv2", "conv3", "conv4")
        recipe = phases(tltk.freeze("backbone"), epochs=3, augment=augment, augmentations_per_example=2)
        run = tltk.fit(model, masked_source(8), recipe=recipe, batch_size=4, cache=cache, verbose=0)
        losses.append([row["loss"] for row in run.history])
        assert weights_as_bytes(model.keras, "stem", "conv2", "conv3", "conv4") == before
        weights.append(model.keras.get_weights())
    for cached, computed in zip(*weights, strict=True):
        np.testing.assert_allclose(cached, computed, atol=2e-5)
    np.testing.assert_allclose(*losses, rtol=1e-3)


def test_the_outputs_have_the_stride_of_the_decoder():
    assert segmenter().keras.output_shape == (None, 8, 8, 3)
    assert segmenter(decoder="unet").keras.output_shape == (None, 16, 16, 3)


def test_without_original_sizes_maps_have_the_size_of_the_input():
    decoded = segmenter().task.decode(tf.zeros([2, 8, 8, 3]), Context(tf.constant(2, tf.int64)))
    assert decoded["classes"].shape == (2, 64, 64) and decoded["sizes"].numpy().tolist() == [[64, 64]] * 2


def test_the_task_is_the_default_for_masks_and_can_be_saved():
    task = for_source(masked_source(2)).for_input(tltk.ImageSpec(64, 96))
    assert task.labels.names == NAMES and task.image_size == (64, 96)
    assert from_config(task.to_config()) == task


def test_wrong_arguments_are_refused():
    with pytest.raises(InvalidInput, match=r"(?s)2 to 255 classes.*Received: 1.*`channels`.*`dice_weight`"):
        tltk.semantic_segmentation(["cat"], channels=0, dice_weight=-1)
    with pytest.raises(InvalidInput, match=r"categorical.*from_masks"):
        tltk.semantic_segmentation(tltk.LabelSpec(NAMES))
    with pytest.raises(InvalidInput, match="lraspp"):
        tltk.semantic_segmentation(NAMES, decoder="deeplab")
    images = tf.data.Dataset.from_tensors((np.zeros((2, 64, 64, 3), "float32") + 9, np.zeros((2, 64, 64))))
    with pytest.raises(InvalidInput, match="from_masks"):
        tltk.fit(segmenter(), images, recipe=phases(tltk.freeze("backbone"), epochs=1), verbose=0)


def test_training_starts_at_the_frequencies_of_classes(run):
    np.testing.assert_allclose(np.exp(FIRST_BIAS), class_frequencies(masked_source(64).targets, 3), rtol=1e-5)


def test_a_trained_bias_of_the_logits_is_kept():
    model, targets = segmenter(), masked_source(8).targets
    bias = model.keras.get_layer("class_logits").bias
    head = model.keras.layers
    model.task.initialize(head, None)
    assert not np.any(bias)
    model.task.initialize(head, targets)
    np.testing.assert_allclose(np.exp(bias), class_frequencies(targets, 3), rtol=1e-5)
    bias.assign([1.0, 2.0, 3.0])
    model.task.initialize(head, targets)
    assert np.asarray(bias).tolist() == [1, 2, 3], "trained before"
