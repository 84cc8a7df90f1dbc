"""The walk from KerasHub detectors and segmenters: frozen parts, new classes, predictions, a loaded run, an export."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests import dense_families as families
from tests.conftest import weights_as_bytes
from tests.tasks.boxes.scenes import NAMES, masked_source, source
from tests.tasks.test_object_detection import phases
from tltk.errors import InvalidInput

CLASSES = ("background", *NAMES)


def weights_of_stages(model, *stages):
    """Return the weights of the layers of some stages as bytes."""
    names = [layer.name for layer in model.keras.layers if model.stages.get(layer.name) in stages]
    return {name: [weight.tobytes() for weight in model.keras.get_layer(name).get_weights()] for name in names}


@pytest.fixture(scope="module")
def detector_run(tmp_path_factory):
    """A frozen detector whose pyramid then learns, with what was frozen in each phase."""
    keras.utils.set_random_seed(0)
    backbone = tltk.backbone(families.model("retinanet_v2"))
    model = tltk.assemble(backbone, tltk.object_detection(NAMES, channels=16, depth=1))
    encoder, before = ("conv2", "conv3", "conv4", "conv5"), weights_of_stages(model, *backbone.endpoints())
    folder = tmp_path_factory.mktemp("retinanet") / "run"
    recipe = phases(tltk.freeze("backbone"), tltk.unfreeze_from("P3"), epochs=1)
    run = tltk.fit(model, source(8), recipe=recipe, batch_size=4, out=folder, verbose=0)
    return run, backbone, encoder, before


def test_the_head_takes_the_levels_of_a_detector_as_they_are(detector_run):
    run, backbone, _, _ = detector_run
    assert run.model.task.strides == (8, 16, 32, 64, 128)
    names = [layer.name for layer in run.model.keras.layers]
    assert "class_branch_0" in names and not any(name.startswith("pyramid_") for name in names)
    assert run.model.keras.output["classes"].shape == (None, 64 + 16 + 4 + 1 + 1, 2)
    some = tltk.assemble(backbone, tltk.object_detection(NAMES, channels=16, strides=(8, 16)))
    assert some.keras.output["classes"].shape == (None, 64 + 16, 2)
    with pytest.raises(InvalidInput, match=r"those of the pyramid of .*\(8, 16, 32, 64, 128\).*Received: \(4, 8"):
        tltk.assemble(backbone, tltk.object_detection(NAMES, strides=(4, 8)))


def test_the_encoder_stays_frozen_and_the_pyramid_learns_without_new_statistics(detector_run):
    run, _, encoder, before = detector_run
    after = weights_of_stages(run.model, *encoder, "P3", "P7")
    for name, values in after.items():
        if run.model.stages[name] in encoder:
            assert values == before[name]
    assert after["fpn_lateral_conv_P3"] != before["fpn_lateral_conv_P3"]
    assert after["fpn_lateral_norm_P3"] == before["fpn_lateral_norm_P3"]


def test_a_detector_is_loaded_and_exported(detector_run, tmp_path, replay_here):
    run, scenes = detector_run[0], source(3, seed=3)
    loaded = tltk.load_run(run.folder)
    assert loaded.model.task == run.model.task
    predictions = tltk.predict(loaded, scenes)
    assert predictions == tltk.predict(run, scenes)
    assert "ap50" in tltk.evaluate(loaded, scenes).metrics
    requests = [tf.io.encode_png(image).numpy() for image in scenes.examples]
    exported = tltk.export(loaded, tmp_path, requests=requests)
    served = tf.saved_model.load(str(exported.path)).signatures["serving_default"](tf.constant(requests))
    assert served["count"].numpy().tolist() == [len(prediction.objects) for prediction in predictions]


@pytest.mark.slow
def test_dfine_gives_three_levels_and_is_loaded_again(tmp_path):
    backbone = tltk.backbone(families.model("dfine"), image_size=64)
    model = tltk.assemble(backbone, tltk.object_detection(NAMES, channels=16, depth=1))
    assert model.task.strides == (8, 16, 32)
    before = weights_of_stages(model, "conv2", "conv3", "conv4", "conv5")
    plan = tltk.unfreeze_from("P3")
    recipe = phases(plan, epochs=1, optimizer=tltk.sgd(1e-2))  # a smaller graph than that of AdamW
    run = tltk.fit(model, source(4), recipe=recipe, batch_size=4, out=tmp_path, verbose=0)
    assert weights_of_stages(model, "conv2", "conv3", "conv4", "conv5") == before
    scenes = source(2, seed=3)
    assert tltk.predict(tltk.load_run(tmp_path), scenes) == tltk.predict(run, scenes)


@pytest.mark.parametrize("family", ["deeplab", pytest.param("segformer", marks=pytest.mark.slow)])
def test_a_segmenter_gets_a_new_last_layer(family, tmp_path, replay_here):
    backbone = tltk.backbone(families.model(family))
    model = tltk.assemble(backbone, tltk.semantic_segmentation(CLASSES))
    assert model.task.decoder == "linear" and model.keras.output_shape == (None, 16, 16, 3)
    before = weights_of_stages(model, *backbone.endpoints())
    recipe = phases(tltk.freeze("backbone"), epochs=2)
    run = tltk.fit(model, masked_source(8), recipe=recipe, batch_size=4, out=tmp_path / "run", verbose=0)
    assert weights_of_stages(model, *backbone.endpoints()) == before and before
    assert run.history[-1]["loss"] < run.history[0]["loss"]
    scenes = masked_source(2, seed=3)
    loaded = tltk.load_run(tmp_path / "run")
    assert loaded.model.task == run.model.task
    for one, other in zip(tltk.predict(loaded, scenes), tltk.predict(run, scenes), strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)
    if family == "segformer":
        requests = [tf.io.encode_png(image).numpy() for image in scenes.examples]
        assert tltk.export(loaded, tmp_path / "export", requests=requests).path.is_dir()


def test_the_encoder_of_a_segmenter_takes_any_decoder():
    backbone = tltk.backbone(families.model("deeplab"))
    model = tltk.assemble(backbone, tltk.semantic_segmentation(CLASSES, decoder="lraspp", channels=16))
    assert model.task.decoder == "lraspp" and "decoder" not in model.stage_names
    detector = tltk.assemble(backbone, tltk.object_detection(NAMES, channels=16, depth=1))
    assert detector.task.builds_pyramid and detector.task.strides == (8, 16, 32)
    assert weights_as_bytes(detector.keras, "pyramid_lateral")
