"""Detectors and segmenters of KerasHub as backbones: the same features, from models, folders and names."""

from functools import cache

import keras
import keras_hub
import numpy as np
import pytest
from keras_hub.src.utils import preset_utils

import tltk
from tests import dense_families as families
from tltk.backbones.base import Endpoint
from tltk.backbones.connect import connect
from tltk.backbones.image import kerashub_dense as dense
from tltk.errors import FileError, InvalidInput, NotFound

LEVELS = {
    "retinanet": ("P3", "P4", "P5", "P6", "P7"),
    "retinanet_v2": ("P3", "P4", "P5", "P6", "P7"),
    "dfine": ("P3", "P4", "P5"),
    "deeplab": ("decoder",),
    "segformer": ("decoder",),
}
PIXELS = np.random.default_rng(1).uniform(0, 255, (2, families.SIZE, families.SIZE, 3)).astype("float32")


@cache
def expected(family):
    """What KerasHub computes, from its own preprocessing to the levels that heads take."""
    preprocessed = families.converter(family)(PIXELS)
    outputs = families.own_features(families.model(family), family).predict_on_batch(preprocessed)
    return keras.tree.flatten(outputs)


def check_features(backbone, family):
    connected = connect(backbone, LEVELS[family])
    computed = connected.network.predict_on_batch(PIXELS)
    for name, values in zip(LEVELS[family], expected(family), strict=True):
        assert np.std(values) > 0
        np.testing.assert_allclose(computed[name], values, rtol=1e-4, atol=1e-4 * np.abs(values).max())
    return connected


@pytest.mark.parametrize("family", families.FAMILIES)
def test_a_preset_folder_computes_what_kerashub_computes(family, tmp_path):
    families.save(families.model(family), family, str(tmp_path))
    backbone = tltk.backbone(str(tmp_path))
    assert backbone.input_spec.shape == (families.SIZE, families.SIZE, 3)
    own = keras.ops.convert_to_numpy(families.converter(family)(PIXELS))
    np.testing.assert_allclose(backbone.preprocess(PIXELS), own, rtol=1e-6, atol=1e-6)
    connected = check_features(backbone, family)
    assert connected.origin.kind == "path" and len(connected.origin.sha256) == 64
    is_detector = len(LEVELS[family]) > 1
    assert tuple(name for name, _ in backbone.pyramid) == (LEVELS[family] if is_detector else ())
    assert backbone.decoder == ("" if is_detector else "decoder")
    foreign = {type(layer).__name__ for layer in connected.network.layers if "keras_hub" in type(layer).__module__}
    assert foreign == ({"HGNetV2LearnableAffineBlock"} if family == "dfine" else set())  # else Keras alone can load it
    assert len({operation.name for operation in connected.network.operations}) == len(connected.network.operations)


def test_a_preset_is_built_from_random_or_other_weights(tmp_path):
    families.save(families.model("retinanet"), "retinanet", str(tmp_path))
    random, origin = tltk.backbone(str(tmp_path), weights="random", image_size=96).build()
    assert origin.kind == "random" and random.input_shape == (None, 96, 96, 3)
    random.save_weights(tmp_path / "other.weights.h5")
    other, origin = tltk.backbone(str(tmp_path), weights=tmp_path / "other.weights.h5").build()
    assert origin.kind == "path"
    for weight, value in zip(other.weights, random.weights, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.parametrize("family", ["retinanet_v2", "segformer"])
def test_a_model_is_copied_with_its_weights_and_preprocessing(family):
    backbone = tltk.backbone(families.model(family))
    assert check_features(backbone, family).origin.kind == "model"
    alone = tltk.backbone(families.model(family).backbone, image_size=families.SIZE)
    assert alone.preprocessing.is_identity and alone.stages == backbone.stages
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert {layer.compute_dtype for layer in backbone.build()[0].layers if layer.weights} == {"bfloat16"}


def test_stages_are_those_of_the_encoder_and_the_levels():
    backbone = tltk.backbone(families.model("retinanet"))
    encoder = [f"conv{number}" for number in range(2, 6)]
    assert [stage.name for stage in backbone.stages] == [*encoder, *LEVELS["retinanet"]]
    endpoints = backbone.endpoints()
    assert [endpoints[name].stride for name in encoder] == [4, 8, 16, 32]
    assert {name: endpoints[name] for name in LEVELS["retinanet"]} == {
        f"P{level}": Endpoint(2**level, 256) for level in range(3, 8)
    }
    segmenter = tltk.backbone(families.model("segformer"))
    assert segmenter.endpoints(("conv5", "decoder")) == {"conv5": Endpoint(32, 16), "decoder": Endpoint(4, 16)}
    renamed = tltk.backbone(families.model("retinanet"), stages={"all": backbone.stages[-1].last})
    assert renamed.pyramid == ()


def test_sizes_that_cannot_be_used_are_errors():
    with pytest.raises(InvalidInput, match=r"multiple of 32\. Received: 100×64"):
        tltk.backbone(families.model("retinanet"), image_size=(100, 64))
    with pytest.raises(InvalidInput, match=r"SegFormer must be a square\. Received: 64×96"):
        tltk.backbone(families.model("segformer"), image_size=(64, 96))
    with pytest.raises(InvalidInput, match=r"takes images of any size: pass `image_size`"):
        tltk.backbone(families.model("dfine"))


def test_a_preset_is_found_by_name_in_the_caches(monkeypatch, tmp_path):
    def offline(*_, **__):
        raise ConnectionError("Max retries exceeded")

    name = "retinanet_resnet50_fpn_coco"
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TLTK_CACHE", str(tmp_path / "own"))
    monkeypatch.setattr(preset_utils, "check_file_exists", offline)
    with pytest.raises(NotFound, match=rf"(?s){name}.*kerashub cache: no .*tltk cache: no .*hub: .*copy the folder of"):
        tltk.backbone(name)
    monkeypatch.undo()
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "hub" / "models" / "keras" / "retinanet" / "keras" / name / "4"
    families.save(families.model("retinanet"), "retinanet", str(folder))
    backbone = tltk.backbone(name)
    assert backbone.name == name and tltk.backbone(name, weights="random").build()[1].kind == "random"
    assert check_features(backbone, "retinanet").origin.kind == "kerashub cache"
    (folder / "image_converter.json").unlink()
    with pytest.raises(FileError, match=r"has no image_converter\.json: copy it from"):
        tltk.backbone(name)
    with pytest.raises(InvalidInput, match="Did you mean 'dfine_nano_coco'"):
        tltk.backbone("dfine_nano_cocoo")


def test_the_names_are_those_of_kerashub():
    models = keras_hub.models
    classes = (models.RetinaNetBackbone, models.DFineBackbone, models.DeepLabV3Backbone, models.SegFormerImageSegmenter)
    presets = {name: row["kaggle_handle"] for each in classes for name, row in each.presets.items()}
    wrong = {"segformer_b1_cityscapes_1024"}  # KerasHub 0.32: the handle is that of segformer_b1_ade20k_512
    assert set(dense.PRESETS) == set(presets) - wrong
    assert all(presets[name].startswith(f"{handle}/") for name, handle in dense.PRESETS.items())


def test_kerashub_gives_the_bias_of_rare_objects_to_the_boxes():
    encoder = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 4, 4, 4],
        stackwise_num_blocks=[1] * 4,
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
    )
    backbone = keras_hub.models.RetinaNetBackbone(encoder, 3, 5, use_p5=False, image_shape=(64, 64, 3))
    detector = keras_hub.models.RetinaNetObjectDetector(backbone, num_classes=2, pre_logits_num_conv_layers=1)
    boxes, classes = (head.prediction_layer.bias for head in (detector.box_head, detector.classification_head))
    np.testing.assert_allclose(boxes, np.log(0.01 / 0.99), rtol=1e-5)
    np.testing.assert_array_equal(classes, 0)
