"""Tiny detectors and segmenters of KerasHub with random weights of ordinary size."""

from functools import cache

import keras
import keras_hub
import numpy as np

SIZE = 64
FAMILIES = ("retinanet", "retinanet_v2", "dfine", "deeplab", "segformer")
_SCALE, _OFFSET = [0.02, 0.017, 0.018], [-2.1, -2.0, -1.8]


def _resnet():
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 8, 16, 16],
        stackwise_num_blocks=[1] * 4,
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
    )


def _mit():
    return keras_hub.models.MiTBackbone(
        layerwise_depths=[1, 1, 1, 2],
        num_layers=4,
        layerwise_num_heads=[1, 2, 1, 2],
        layerwise_sr_ratios=[8, 4, 2, 1],
        max_drop_path_rate=0.1,
        layerwise_patch_sizes=[7, 3, 3, 3],
        layerwise_strides=[4, 2, 2, 2],
        image_shape=(SIZE, SIZE, 3),
        hidden_dims=[4, 8, 12, 16],
    )


def _hgnet():
    return keras_hub.models.HGNetV2Backbone(
        stem_channels=[3, 8, 8],
        stackwise_stage_filters=[
            [8, 8, 16, 1, 2, 3],
            [16, 8, 16, 1, 2, 3],
            [16, 8, 24, 1, 2, 5],
            [24, 8, 32, 1, 2, 5],
        ],
        apply_downsample=[False, True, True, True],
        use_lightweight_conv_block=[False, False, True, True],
        depths=[1] * 4,
        hidden_sizes=[16, 16, 24, 32],
        embedding_size=8,
        use_learnable_affine_block=True,
        hidden_act="relu",
        out_features=["stage2", "stage3", "stage4"],
    )


def _dfine():
    return keras_hub.models.DFineBackbone(
        backbone=_hgnet(),
        decoder_in_channels=[16] * 3,
        encoder_hidden_dim=16,
        num_labels=4,
        num_denoising=0,
        learn_initial_query=False,
        num_queries=10,
        anchor_image_size=(SIZE, SIZE),
        feat_strides=[8, 16, 32],
        num_feature_levels=3,
        hidden_dim=16,
        encoder_in_channels=[16, 24, 32],
        encode_proj_layers=[2],
        num_attention_heads=2,
        encoder_ffn_dim=32,
        num_encoder_layers=1,
        hidden_expansion=0.5,
        depth_multiplier=0.34,
        eval_idx=-1,
        num_decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        decoder_n_points=[2, 2, 2],
        lqe_hidden_dim=8,
        num_lqe_layers=1,
        out_features=["stage2", "stage3", "stage4"],
        seed=0,
    )


def _body(family):
    models = keras_hub.models
    if family == "dfine":
        return _dfine()
    if family == "segformer":
        return models.SegFormerBackbone(image_encoder=_mit(), projection_filters=16)
    if family == "deeplab":
        return models.DeepLabV3Backbone(
            image_encoder=_resnet(),
            spatial_pyramid_pooling_key="P5",
            upsampling_size=8,
            dilation_rates=[2, 3],
            low_level_feature_key="P2",
            projection_filters=8,
        )
    is_v2 = family == "retinanet_v2"
    return models.RetinaNetBackbone(
        image_encoder=_resnet(), min_level=3, max_level=7, use_p5=is_v2, use_fpn_batch_norm=is_v2
    )


@cache
def model(family: str) -> keras.Model:
    """Build a tiny KerasHub task with its preprocessor (D-FINE: a backbone alone); shared by all tests of a process."""
    body, models = _body(family), keras_hub.models
    generator = np.random.default_rng(0)
    for weight in body.weights:
        value = weight.numpy()
        is_variance = "variance" in weight.path
        weight.assign(
            np.abs(value) * generator.uniform(0.5, 1.5, value.shape)
            if is_variance
            else value + 0.05 * generator.normal(size=value.shape)
        )
    if family == "dfine":
        return body
    if family == "segformer":
        preprocessor = models.SegFormerImageSegmenterPreprocessor(image_converter=converter(family))
        return models.SegFormerImageSegmenter(backbone=body, num_classes=4, preprocessor=preprocessor)
    if family == "deeplab":
        preprocessor = models.DeepLabV3ImageSegmenterPreprocessor(image_converter=converter(family))
        return models.DeepLabV3ImageSegmenter(backbone=body, num_classes=4, preprocessor=preprocessor)
    preprocessor = models.RetinaNetObjectDetectorPreprocessor(image_converter=converter(family))
    return models.RetinaNetObjectDetector(backbone=body, num_classes=4, preprocessor=preprocessor)


def converter(family: str) -> keras.layers.Layer:
    """Build the image converter of a family: 64 × 64 pixels, one scale and offset per channel."""
    prefix = {"dfine": "DFine", "deeplab": "DeepLabV3", "segformer": "SegFormer"}.get(family, "RetinaNet")
    converter_class = getattr(keras_hub.layers, f"{prefix}ImageConverter")
    return converter_class(image_size=(SIZE, SIZE), scale=_SCALE, offset=_OFFSET, crop_to_aspect_ratio=False)


def save(task: keras.Model, family: str, folder: str) -> None:
    """Write a preset folder."""
    task.save_to_preset(folder)
    if family == "dfine":
        converter(family).save_to_preset(folder)


def own_features(task: keras.Model, family: str) -> keras.Model:
    """Return what KerasHub itself computes at the ends that tltk's heads take: preprocessed pixels → list."""
    body = task if family == "dfine" else task.backbone
    if family == "dfine":
        node = next(node for node in body.encoder._inbound_nodes)
        return keras.Model(body.inputs[0], list(node.outputs[:3]))
    if family == "deeplab":
        return keras.Model(body.inputs[0], [body.get_layer("segmentation_head_relu").output])
    return keras.Model(body.inputs[0], list(getattr(body, "pyramid_outputs", {"decoder": body.output}).values()))
