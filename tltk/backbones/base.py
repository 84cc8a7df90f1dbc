"""The frozen `Backbone` value, and the records it is made of."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tltk.foundation import checks as check
from tltk.foundation import display
from tltk.foundation import keras_graph as graph
from tltk.foundation import keras_private as private
from tltk.foundation.errors import InvalidInput

if TYPE_CHECKING:
    import keras

CHANNEL_ORDERS = ("rgb", "bgr")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """A named part of a backbone.

    Args:
        name: Name as in the ResNet paper: "stem", "conv2" … "conv5".
        last: Name of the layer (in ConvNeXt, of the addition) whose output ends the stage.
    """

    name: str
    last: str


@dataclass(frozen=True)
class Endpoint:
    """Features at the end of a stage, as they are known before the network is built.

    Args:
        stride: Pixels of the input per position, along each side, rounded to a power of two; positions of the input
            per position, rounded, for features with one axis of positions; 1 for texts.
        channels: Size of the last axis.
    """

    stride: int
    channels: int


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of pixels in [0, 255]: reorder the channels if necessary, then `x * scale + offset`.

    Args:
        scale: One factor, or one per channel in the order of `channel_order`.
        offset: One offset, or one per channel.
        channel_order: "rgb" or "bgr", the order that the network expects; the input is always RGB. "rgb" also stands
            for other channels, in the order of the images.
        source: Where the preprocessing is documented.
    """

    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    channel_order: str = "rgb"
    source: str = ""

    def __post_init__(self) -> None:
        check.one_of("channel_order", self.channel_order, CHANNEL_ORDERS)
        problems = check.Problems()
        for name, values in (("scale", self.scale), ("offset", self.offset)):
            if not isinstance(values, tuple) or not values or not all(map(check.is_number, values)):
                problems.add(f"`{name}` must be a tuple of one number, or one per channel. Received: {values!r}")
        problems.raise_if_any()

    @property
    def rescales(self) -> bool:
        """Whether pixels are multiplied or shifted."""
        return any(value != 1 for value in self.scale) or any(value != 0 for value in self.offset)

    def from_range(self, value_range: tuple[float, float]) -> "Preprocessing":
        """Return the preprocessing of images whose values lie in another range than [0, 255].

        Args:
            value_range: Value of black and of white.

        Returns:
            Scale and offset that map the range to [0, 255] first.
        """
        low, high = value_range
        factor = 255 / (high - low)
        count = max(len(self.scale), len(self.offset))
        scale, offset = (values * (count // len(values)) for values in (self.scale, self.offset))
        shifted = tuple(shift - factor * low * scaling for scaling, shift in zip(scale, offset, strict=True))
        return replace(self, scale=tuple(factor * scaling for scaling in self.scale), offset=shifted)

    @property
    def is_identity(self) -> bool:
        """Whether pixels pass unchanged."""
        return not self.rescales and self.channel_order == "rgb"

    def apply(self, x: Any) -> Any:
        """Add the preprocessing to a graph, as stock layers that load without tltk.

        Args:
            x: Keras tensor (or array) [batch, height, width, channels] in [0, 255].

        Returns:
            The preprocessed pixels in the same shape; `x` itself if nothing is to be done.
        """
        import keras

        if self.channel_order == "bgr":
            x = keras.ops.flip(x, axis=-1)
            node = private.producing_node(x)
            if node is not None:  # an array has none
                node.operation.name = "preprocessing_bgr"
        if self.rescales:
            scale, offset = _scalar_or_list(self.scale), _scalar_or_list(self.offset)
            x = keras.layers.Rescaling(scale, offset=offset, name="preprocessing_rescaling")(x)
        return x


@dataclass(frozen=True)
class Origin:
    """Which weights were used; recorded in the run.

    Args:
        kind: "path", "keras cache", "kerashub cache", "tltk cache", "hub", "random" or "model".
        path: File, or folder or handle of a preset; None for random weights and models.
        sha256: SHA-256 of the file; None if no file was read.
    """

    kind: str
    path: str | None
    sha256: str | None


@dataclass(frozen=True)
class Backbone:
    """A pretrained network as a value: nothing is read, and TensorFlow is not imported, until `build`.

    Args:
        name: As in `tltk backbones`.
        modality: "image" or "text".
        input_spec: Input format that it expects.
        preprocessing: What is done to pixels first.
        stages: From the input to the output; every layer belongs to the first stage that it leads to.
        weights: "pretrained", "random", "model" or the path of a file.
        parameters: Number of weights without the classifier; None if unknown.
        top1: Published ImageNet top-1 accuracy in [0, 1]; None if none is published.
        top1_source: Where that is published.
        fast_bfloat16: Whether bfloat16 was measured to be faster on processors with bfloat16 instructions.
        builder: Input shape and origin of the weights → functional model with those weights.
        locator: Finds the weights.
        shapes: Input shape → {operation name: shape of its output}, in order, without reading weights.
        min_image_size: Smallest height and width in pixels that it takes.
        max_sequence_length: Maximum number of tokens, or of samples of a sound, that it has positions for; None if
            there is no limit.
        pyramid: Last stages that are the levels of a feature pyramid, which heads take as they are: (stage, stride).
        decoder: Last stage, if its features are those of a decoder of segmentation; else "".
    """

    name: str
    modality: str
    input_spec: Any
    preprocessing: Preprocessing
    stages: tuple[Stage, ...]
    weights: str
    parameters: int | None
    top1: float | None
    top1_source: str
    fast_bfloat16: bool
    builder: Callable[[tuple, Origin], "keras.Model"] = field(repr=False, compare=False)
    locator: Callable[[], Origin] = field(repr=False, compare=False)
    shapes: Callable[[tuple], Mapping[str, tuple]] = field(repr=False, compare=False)
    min_image_size: int = 1
    max_sequence_length: int | None = None
    pyramid: tuple[tuple[str, int], ...] = ()
    decoder: str = ""

    __repr__ = display.short_repr

    def endpoints(self, names: Iterable[str] = ()) -> dict[str, Endpoint]:
        """Tell stride and channels of the features at the end of stages, without reading weights.

        Args:
            names: Of stages; the default is all of them.

        Returns:
            Stage → endpoint, in the order asked for.

        Raises:
            InvalidInput: If there is no such stage, or a stage ends at an unknown layer.

        Examples:
            >>> import tltk
            >>> tltk.backbone("resnet50").endpoints(("conv3", "conv5"))
            {'conv3': Endpoint(stride=8, channels=512), 'conv5': Endpoint(stride=32, channels=2048)}
        """
        names = tuple(names) or tuple(stage.name for stage in self.stages)
        require_stages(self, names)
        shapes = self.shapes(self.input_spec.shape)
        check_stage_ends(shapes, self.stages)
        ends = {stage.name: shapes[stage.last] for stage in self.stages}
        if not self.pyramid:  # what follows the last declared stage belongs to it
            ends[self.stages[-1].name] = list(shapes.values())[-1]
        endpoints = {name: _endpoint(self.input_spec.shape, ends[name]) for name in names}
        # The coarsest levels of a pyramid are padded: the stride of one position is not that of the level.
        strides = dict(self.pyramid)
        return {
            name: replace(endpoint, stride=strides.get(name, endpoint.stride)) for name, endpoint in endpoints.items()
        }

    def build(self) -> tuple["keras.Model", Origin]:
        """Find the weights and build the network under the global dtype policy.

        Returns:
            A functional model, preprocessed float [batch, height, width, channels] → features [batch, h, w, filters],
            or token ids int32 [batch, tokens] → features [batch, tokens, channels]; and where its weights came from.

        Raises:
            NotFound: If no pretrained weights are found; lists what was tried, and what to do.
            InvalidInput: If a file contains no weights, or those of another network.
        """
        import keras

        if keras.config.image_data_format() != "channels_last":
            raise InvalidInput("backbones need keras.config.set_image_data_format('channels_last').")
        origin = self.locator()
        model = self.builder(self.input_spec.shape, origin)
        check_stage_order(model, self.stages)
        _log.info("%s: weights from %s%s", self.name, origin.kind, f" ({origin.path})" if origin.path else "")
        return model, origin

    def preprocess(self, x: Any) -> Any:
        """Add the preprocessing to a graph, as stock layers that load without tltk.

        Args:
            x: Keras tensor (or array) [batch, height, width, channels], usually RGB, in [0, 255].

        Returns:
            The input that the network was trained on, in the same shape; `x` itself if the network preprocesses it.
        """
        return self.preprocessing.apply(x)

    def describe(self) -> str:
        """Summarize name, size, accuracy, preprocessing and stages in a few lines.

        Examples:
            >>> import tltk
            >>> for line in tltk.backbone("vgg16", weights="random").describe().splitlines()[:3]:
            ...     print(line)
            vgg16: 14,714,688 parameters, 224×224, random weights
            ImageNet top-1 0.713 (https://keras.io/api/applications)
            preprocessing: BGR, x × 1 + (-103.939, -116.779, -123.68)
        """
        count = f"{self.parameters:,} parameters" if self.parameters is not None else "unknown parameters"
        lines = [f"{self.name}: {count}, {self.input_spec.describe()}, {self.weights} weights"]
        if self.top1 is not None:
            lines.append(f"ImageNet top-1 {self.top1:.3f} ({self.top1_source})")
        lines.append(f"preprocessing: {_in_words(self.preprocessing)}")
        lines.append("stages: " + ", ".join(f"{stage.name} ({stage.last})" for stage in self.stages))
        return "\n".join(lines)


def layer_stages(model: "keras.Model", stages: Iterable[Stage]) -> dict[str, str]:
    """Tell for each layer of a flat functional model which stage it belongs to.

    Args:
        model: A backbone, or raw input → preprocessing → backbone layers → head.
        stages: From the input to the output.

    Returns:
        Layer name → the first stage whose last layer it is or leads to; layers after the last stage are left out.

    Raises:
        InvalidInput: If a stage ends at a layer that is not in the model.
    """
    stage_of = operation_stages(model, stages)
    return {layer.name: stage_of[layer.name] for layer in model.layers if layer.name in stage_of}


def operation_stages(model: "keras.Model", stages: Iterable[Stage]) -> dict[str, str]:
    """Tell for each layer and operation which stage it belongs to, as `layer_stages` does for layers."""
    stages = tuple(stages)
    check_stages(model, stages)
    order = graph.nodes(model)
    stage_of: dict[str, str] = {}
    for stage in stages:
        for name in graph.ancestors(order, stage.last):
            stage_of.setdefault(name, stage.name)
    return stage_of


def require_stages(backbone: Backbone, names: Iterable[str]) -> None:
    """Raise unless a backbone has stages of these names."""
    stage_names = [stage.name for stage in backbone.stages]
    problems = check.Problems()
    for name in names:
        if name not in stage_names:
            near = check.did_you_mean(name, stage_names)
            stages = check.listing(stage_names, limit=60)
            problems.add(f"{backbone.name} has no stage {name!r}; stages: {stages}.{near}")
    problems.raise_if_any()


def check_stages(model: "keras.Model", stages: Iterable[Stage]) -> None:
    """Raise unless every stage ends at an operation of the model."""
    check_stage_ends([operation.name for operation in model.operations], stages)


def check_stage_order(model: "keras.Model", stages: Iterable[Stage]) -> None:
    """Raise unless every stage ends at an operation of the model, and has operations that no earlier stage has."""
    stages = tuple(stages)
    check_stages(model, stages)
    order = graph.nodes(model)
    problems = check.Problems()
    earlier: set[str] = set()
    for stage in stages:
        leading = graph.ancestors(order, stage.last)
        if leading <= earlier:
            problems.add(
                f"stage {stage.name!r} is empty: an earlier stage contains its end, {stage.last!r}. Name the stages "
                "from the input to the output"
            )
        earlier |= leading
    problems.raise_if_any()


def check_stage_ends(operations: Iterable[str], stages: Iterable[Stage]) -> None:
    """Raise unless every stage ends at one of the named operations."""
    operations = set(operations)
    problems = check.Problems()
    for stage in stages:
        if stage.last not in operations:
            near = check.did_you_mean(stage.last, operations)
            problems.add(f"stage {stage.name!r} ends at {stage.last!r}, which is not in the model.{near}")
    problems.raise_if_any()


def _endpoint(input_shape: tuple, shape: tuple) -> Endpoint:
    """Describe features [batch, h, w, channels] or [batch, positions, channels]; tokens keep their positions."""
    if len(shape) < 3 or input_shape[0] is None or shape[1] is None:
        return Endpoint(1, shape[-1])
    ratio = input_shape[0] / shape[1]
    return Endpoint(2 ** round(math.log2(ratio)) if len(shape) == 4 else round(ratio), shape[-1])


def _scalar_or_list(values: tuple[float, ...]) -> float | list[float]:
    """Return one number or a list: Keras writes both into a .keras file as plain JSON."""
    return values[0] if len(values) == 1 else list(values)


def _in_words(preprocessing: Preprocessing) -> str:
    parts = ["BGR"] if preprocessing.channel_order == "bgr" else []
    if preprocessing.rescales:
        scale, offset = (_numbers(values) for values in (preprocessing.scale, preprocessing.offset))
        parts.append(f"x × {scale} + {offset}")
    return ", ".join(parts) or "none outside the network"


def _numbers(values: tuple[float, ...]) -> str:
    shown = ", ".join(f"{value:.6g}" for value in values)
    return shown if len(values) == 1 else f"({shown})"
