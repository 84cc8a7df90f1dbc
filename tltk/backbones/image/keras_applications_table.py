"""One row per Keras Applications model: sizes, published accuracy, preprocessing, stages, weight file."""

import math
from dataclasses import dataclass

from tltk.backbones.base import Preprocessing, Stage

SOURCE = "https://keras.io/api/applications"
# MobileNetV3 is missing from that table; Keras' docstring of MobileNetV3 has the accuracies.
_V3_SOURCE = "https://keras.io/api/applications/mobilenet"

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_WHERE = "keras.applications.imagenet_utils.preprocess_input, mode "
CAFFE = Preprocessing(offset=(-103.939, -116.779, -123.68), channel_order="bgr", source=_WHERE + "'caffe'")
TF = Preprocessing(scale=(1 / 127.5,), offset=(-1.0,), source=_WHERE + "'tf'")
IMAGENET = Preprocessing(
    scale=tuple(1 / (255 * std) for std in IMAGENET_DEVIATION),
    offset=tuple(-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)),
    source=_WHERE + "'torch'",
)
INSIDE = Preprocessing(source="the network's own first layers")


@dataclass(frozen=True)
class Application:
    """One Keras Applications model.

    Args:
        name: Name in tltk.
        function: Function of `keras.applications` that builds the model.
        module: Module of `keras.applications` with the reference `preprocess_input`.
        size: Height and width in pixels that the weights were trained at.
        parameters: Number of weights without the classifier, as Keras 3 counts them.
        top1: Published ImageNet top-1 accuracy in [0, 1].
        file: File name of the weights without the classifier in Keras' cache.
        preprocessing: Preprocessing outside of the network.
        stages: Names and last layers of the stages.
        minimum: Smallest height and width that Keras accepts.
        fast_bfloat16: See `Backbone`.
        source: Where `top1` is published.
    """

    name: str
    function: str
    module: str
    size: int
    parameters: int
    top1: float
    file: str
    preprocessing: Preprocessing
    stages: tuple[Stage, ...]
    minimum: int = 32
    fast_bfloat16: bool = False
    source: str = SOURCE


def stages(*lasts: str) -> tuple[Stage, ...]:
    """Name stages as in the ResNet paper: stem, conv2, conv3 …"""
    names = ["stem", *(f"conv{number}" for number in range(2, len(lasts) + 1))]
    return tuple(Stage(name, last) for name, last in zip(names, lasts, strict=True))


def _residual(depths: tuple[int, ...], *, last: str | None = None) -> tuple[Stage, ...]:
    """ResNet: the stem ends at its pooling, each stack at its last block."""
    ends = [f"conv{number}_block{depth}_out" for number, depth in enumerate(depths, start=2)]
    return stages("pool1_pool", *ends[:-1], last or ends[-1])


def efficient_stages(repeats: tuple[int, ...], *, single: str = "project_bn") -> tuple[Stage, ...]:
    """EfficientNet: block groups 1, 2, 3, 4 and 5, and the rest, which are the five resolutions.

    Args:
        repeats: Number of blocks in each group.
        single: Name of the last layer of a group of one block; larger groups end with an addition.
    """
    ends = [
        f"block{group}{chr(96 + count)}_{'add' if count > 1 else single}"
        for group, count in enumerate(repeats, start=1)
    ]
    return stages(ends[0], ends[1], ends[2], ends[4], "top_activation")


def _scaled(repeats: tuple[int, ...], depth: float) -> tuple[int, ...]:
    return tuple(math.ceil(depth * count) for count in repeats)


def _convnext(name: str, depths: tuple[int, ...]) -> tuple[Stage, ...]:
    """ConvNeXt: a block ends with a nameless addition, counted through the whole network."""
    ends = [sum(depths[:group]) - 1 for group in (1, 2, 3)]
    return stages(f"{name}_stem", *(f"add_{end}" for end in ends), "layer_normalization")


def _resnets() -> list[Application]:
    rows = []
    for layers, depths, first, second in (
        (50, (3, 4, 6, 3), (23_587_712, 0.749), (23_564_800, 0.760)),
        (101, (3, 4, 23, 3), (42_658_176, 0.764), (42_626_560, 0.772)),
        (152, (3, 8, 36, 3), (58_370_944, 0.766), (58_331_648, 0.780)),
    ):
        file = f"resnet{layers}{{}}_weights_tf_dim_ordering_tf_kernels_notop.h5"
        name, function = f"resnet{layers}", f"ResNet{layers}"
        rows.append(
            Application(
                name, function, "resnet", 224, *first, file.format(""), CAFFE, _residual(depths), fast_bfloat16=True
            )
        )
        ends = _residual(depths, last="post_relu")
        rows.append(
            Application(
                f"{name}_v2",
                f"{function}V2",
                "resnet_v2",
                224,
                *second,
                file.format("v2"),
                TF,
                ends,
                fast_bfloat16=True,
            )
        )
    return rows


def _vggs() -> list[Application]:
    ends = stages(*(f"block{number}_pool" for number in range(1, 6)))
    return [
        Application(
            f"vgg{layers}",
            f"VGG{layers}",
            f"vgg{layers}",
            224,
            parameters,
            0.713,
            f"vgg{layers}_weights_tf_dim_ordering_tf_kernels_notop.h5",
            CAFFE,
            ends,
            fast_bfloat16=True,
        )
        for layers, parameters in ((16, 14_714_688), (19, 20_024_384))
    ]


def _densenets() -> list[Application]:
    ends = stages("pool1", "pool2_pool", "pool3_pool", "pool4_pool", "relu")
    return [
        Application(
            f"densenet{layers}",
            f"DenseNet{layers}",
            "densenet",
            224,
            parameters,
            top1,
            f"densenet{layers}_weights_tf_dim_ordering_tf_kernels_notop.h5",
            IMAGENET,
            ends,
        )
        for layers, parameters, top1 in ((121, 7_037_504, 0.750), (169, 12_642_880, 0.762), (201, 18_321_984, 0.773))
    ]


def _convnexts() -> list[Application]:
    return [
        Application(
            f"convnext_{size.lower()}",
            f"ConvNeXt{size}",
            "convnext",
            224,
            parameters,
            top1,
            f"convnext_{size.lower()}_notop.h5",
            INSIDE,
            _convnext(f"convnext_{size.lower()}", depths),
        )
        for size, depths, parameters, top1 in (
            ("Tiny", (3, 3, 9, 3), 27_820_128, 0.813),
            ("Small", (3, 3, 27, 3), 49_454_688, 0.823),
            ("Base", (3, 3, 27, 3), 87_566_464, 0.853),
            ("Large", (3, 3, 27, 3), 196_230_336, 0.863),
            ("XLarge", (3, 3, 27, 3), 348_147_968, 0.867),
        )
    ]


def _efficientnets() -> list[Application]:
    return [
        Application(
            f"efficientnet_b{number}",
            f"EfficientNetB{number}",
            "efficientnet",
            size,
            parameters,
            top1,
            f"efficientnetb{number}_notop.h5",
            INSIDE,
            efficient_stages(_scaled((1, 2, 2, 3, 3, 4, 1), depth)),
        )
        for number, (size, depth, parameters, top1) in enumerate(
            (
                (224, 1.0, 4_049_571, 0.771),
                (240, 1.1, 6_575_239, 0.791),
                (260, 1.2, 7_768_569, 0.801),
                (300, 1.4, 10_783_535, 0.816),
                (380, 1.8, 17_673_823, 0.829),
                (456, 2.2, 28_513_527, 0.836),
                (528, 2.6, 40_960_143, 0.840),
                (600, 3.1, 64_097_687, 0.843),
            )
        )
    ]


def _efficientnets_v2() -> list[Application]:
    base = (1, 2, 2, 3, 5, 8)
    return [
        Application(
            f"efficientnet_v2_{variant}",
            f"EfficientNetV2{variant.upper()}",
            "efficientnet_v2",
            size,
            parameters,
            top1,
            f"efficientnetv2-{variant}_notop.h5",
            INSIDE,
            efficient_stages(repeats, single="project_activation"),
        )
        for variant, size, repeats, parameters, top1 in (
            ("b0", 224, base, 5_919_312, 0.787),
            ("b1", 240, _scaled(base, 1.1), 6_931_124, 0.798),
            ("b2", 260, _scaled(base, 1.2), 8_769_374, 0.805),
            ("b3", 300, _scaled(base, 1.4), 12_930_622, 0.820),
            ("s", 384, (2, 4, 4, 6, 9, 15), 20_331_360, 0.839),
            ("m", 480, (3, 5, 5, 7, 14, 18, 5), 53_150_388, 0.853),
            ("l", 480, (4, 7, 7, 10, 19, 25, 7), 117_746_848, 0.857),
        )
    ]


_MOBILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
_V3_FILE = "weights_mobilenet_v3_{}_224_1.0_float_no_top_v2.h5"
_INCEPTION_FILE = "inception_{}_weights_tf_dim_ordering_tf_kernels_notop.h5"

_MOBILENET = stages("conv_pw_1_relu", "conv_pw_3_relu", "conv_pw_5_relu", "conv_pw_11_relu", "conv_pw_13_relu")
_MOBILENET_V2 = stages("expanded_conv_project_BN", "block_2_add", "block_5_add", "block_12_add", "out_relu")
_V3_SMALL = stages(
    "activation", "expanded_conv_project_bn", "expanded_conv_2_add", "expanded_conv_7_add", "activation_17"
)
_V3_LARGE = stages(
    "expanded_conv_add", "expanded_conv_2_add", "expanded_conv_5_add", "expanded_conv_11_add", "activation_19"
)
_NASNET_MOBILE = stages("stem_bn1", "reduction_concat_stem_1", "normal_concat_3", "normal_concat_8", "activation_187")
_NASNET_LARGE = stages("stem_bn1", "reduction_concat_stem_1", "normal_concat_5", "normal_concat_12", "activation_259")
_INCEPTION_V3 = stages("max_pooling2d", "max_pooling2d_1", "mixed2", "mixed7", "mixed10")
_INCEPTION_RESNET = stages("max_pooling2d", "max_pooling2d_1", "block35_10_ac", "block17_20_ac", "conv_7b_ac")
_XCEPTION = stages("block1_conv2_act", "add", "add_1", "add_10", "block14_sepconv2_act")

_XCEPTION_FILE = "xception_weights_tf_dim_ordering_tf_kernels_notop.h5"

# name, function, module, size, parameters, top-1,
#     file, preprocessing, stages, minimum, bfloat16, source
_OTHERS = (
    ("mobilenet", "MobileNet", "mobilenet", 224, 3_228_864, 0.704,
        "mobilenet_1_0_224_tf_no_top.h5", TF, _MOBILENET),
    ("mobilenet_v2", "MobileNetV2", "mobilenet_v2", 224, 2_257_984, 0.713,
        _MOBILE, TF, _MOBILENET_V2),
    ("mobilenet_v3_small", "MobileNetV3Small", "mobilenet_v3", 224, 939_120, 0.681,
        _V3_FILE.format("small"), INSIDE, _V3_SMALL, 32, False, _V3_SOURCE),
    ("mobilenet_v3_large", "MobileNetV3Large", "mobilenet_v3", 224, 2_996_352, 0.756,
        _V3_FILE.format("large"), INSIDE, _V3_LARGE, 32, False, _V3_SOURCE),
    ("nasnet_mobile", "NASNetMobile", "nasnet", 224, 4_269_716, 0.744,
        "nasnet_mobile_no_top.h5", TF, _NASNET_MOBILE),
    ("nasnet_large", "NASNetLarge", "nasnet", 331, 84_916_818, 0.825,
        "nasnet_large_no_top.h5", TF, _NASNET_LARGE),
    ("inception_v3", "InceptionV3", "inception_v3", 299, 21_802_784, 0.779,
        _INCEPTION_FILE.format("v3"), TF, _INCEPTION_V3, 75),
    ("inception_resnet_v2", "InceptionResNetV2", "inception_resnet_v2", 299, 54_336_736, 0.803,
        _INCEPTION_FILE.format("resnet_v2"), TF, _INCEPTION_RESNET, 75),
    ("xception", "Xception", "xception", 299, 20_861_480, 0.790,
        _XCEPTION_FILE, TF, _XCEPTION, 71),
)  # fmt: skip

_ROWS = [*_resnets(), *_vggs(), *_densenets(), *_efficientnets(), *_efficientnets_v2(), *_convnexts()]
APPLICATIONS = {row.name: row for row in (*_ROWS, *(Application(*row) for row in _OTHERS))}
