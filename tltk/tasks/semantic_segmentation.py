"""Semantic segmentation: the class of every pixel of an image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, cast

import keras
import numpy as np
import tensorflow as tf

from tltk.backbones.base import Backbone
from tltk.data.masks import MaskTargets
from tltk.data.source import Source
from tltk.data.targets import Targets
from tltk.foundation import checks as check
from tltk.foundation import familiar
from tltk.foundation.errors import InvalidInput
from tltk.heads.segmentation import LOGITS, linear, lraspp, unet
from tltk.modalities.context import Context
from tltk.modalities.image.augment import dense
from tltk.modalities.image.letterbox import level_sizes
from tltk.modalities.modality import modality_of
from tltk.pipeline.readers import Reader
from tltk.specs import ImageSpec, LabelSpec
from tltk.tasks.base import EXACT, Task
from tltk.tasks.dense_endpoints import by_stride, stages_of
from tltk.tasks.label_spec import Labels, label_spec
from tltk.tasks.loss_terms import LossTerms
from tltk.tasks.masks.element_targets import LetterboxedMasks
from tltk.tasks.masks.frequencies import class_frequencies
from tltk.tasks.masks.loss import MeanIoU, SegmentationLoss
from tltk.tasks.masks.maps import class_maps
from tltk.tasks.masks.records import SegmentationPrediction
from tltk.tasks.masks.scores import SegmentationEvaluator
from tltk.tasks.records import Monitor, Prediction
from tltk.tasks.registry import register_default, register_task
from tltk.tasks.uneven import ClassCounts

_DECODERS = {"lraspp": (lraspp, (8, 16)), "unet": (unet, (4, 8, 16, 32))}  # with their strides
_CHANNELS = {"lraspp": 128, "unet": 64}
_MAX_CLASSES = 255  # 255 marks pixels that do not count
_CHANGED = 0.01  # fraction of pixels from which an answer is another one
_ROUNDING = 0.002  # fraction of pixels that may differ by rounding: logits of two classes can be nearly equal


@register_task
@dataclass(frozen=True)
class SemanticSegmentation(Task):
    """One logit per class at every position, enlarged to the pixels: cross-entropy and Dice loss.

    Args:
        labels: Classes, type "masks".
        decoder: "lraspp", "unet" or "linear"; "" for the default, until the model is assembled.
        channels: Channels of the decoder.
        dropout: Fraction of channels that are set to 0 during training, in [0, 1).
        dice_weight: Weight of the Dice loss, relative to that of the cross-entropy.
        image_size: Height and width of the input of the network; set when the model is assembled.
    """

    name: ClassVar[str] = "semantic_segmentation"
    monitor: ClassVar[Monitor] = Monitor("mean_iou", "max")
    score_name: ClassVar[str] = "mean_iou"
    uses_pooling: ClassVar[bool] = False
    export_columns: ClassVar[tuple[str, ...]] = ("png_bytes",)
    balance_methods: ClassVar[tuple[str, ...]] = ("inverse", "square_root")
    why_unbalanced: ClassVar[str] = "an image has pixels of several classes"

    labels: LabelSpec
    decoder: str = ""
    channels: int = 128
    dropout: float = 0.1
    dice_weight: float = 1.0
    image_size: tuple[int, int] | None = None

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the input."""
        if self.image_size is None:
            raise InvalidInput("the task has no input size yet: it is set by tltk.assemble(backbone, task).")
        return self.image_size

    def input_spec(self, spec: Any) -> ImageSpec:
        """Letterbox images, so that objects keep their shape and none is cut off."""
        return modality_of(spec).with_letterbox(spec, self.name)

    def for_input(self, spec: ImageSpec) -> Self:
        """Return the task with the size of the input."""
        return replace(self, image_size=(spec.height, spec.width))

    def default_augmentation(self, spec: Any) -> tuple[Any, ...]:
        """Return a flip, scale jitter and mild color changes."""
        return dense()

    def for_backbone(self, backbone: Backbone) -> Self:
        """Return the task with its decoder; by default a linear layer on a backbone that ends in a decoder."""
        return replace(self, decoder=self.decoder or ("linear" if backbone.decoder else "lraspp"))

    def endpoints(self, backbone: Backbone) -> tuple[str, ...]:
        """Return the last stage at each stride that the decoder uses; for "linear", the last stage."""
        if self.decoder == "linear":
            return (backbone.stages[-1].name,)
        return tuple(stages_of(backbone, _DECODERS[self.decoder or "lraspp"][1]).values())

    def outputs(
        self, features: dict[str, keras.KerasTensor], *, mask: keras.KerasTensor | None = None, seed: int = 0
    ) -> keras.KerasTensor:
        """Build the decoder, which outputs logits, float32 [batch, rows, columns, classes]."""
        options: dict[str, Any] = {"dropout": self.dropout, "seed": seed}
        if self.decoder == "linear":
            return linear(list(features.values())[-1], classes=len(self.labels), **options)
        build, strides = _DECODERS[self.decoder or "lraspp"]
        sizes = dict(zip(strides, level_sizes(self.input_size, strides), strict=True))
        stages = by_stride(features, self.input_size, strides)
        return build(stages, sizes=sizes, classes=len(self.labels), channels=self.channels, **options)

    def initialize(self, head: Sequence[keras.layers.Layer], targets: Targets | None) -> None:
        """Set the bias of the logits to the logarithms of the frequencies of classes, unless it was trained before.

        Otherwise the first hundreds of steps only learn that most pixels are background (Lin et al. 2017, section 4.1).
        """
        layer = next((layer for layer in head if layer.name == LOGITS), None)
        if layer is not None and targets is not None and not np.any(layer.bias):
            layer.bias.assign(np.log(class_frequencies(cast(MaskTargets, targets), len(self.labels))))

    def adopt_outputs(self, outputs: Any, *, from_logits: bool | None = None) -> Any:
        """Take logits [batch, rows, columns, classes] of a model that keeps the aspect of its input."""
        if from_logits is False:
            raise InvalidInput(f"{self.name} takes logits. Remove the softmax of the model.")
        return super().adopt_outputs(outputs)

    def element_targets(self, targets: Targets | None, reader: Reader) -> Targets | None:
        """Return the masks in the size of the input."""
        return None if targets is None else LetterboxedMasks(cast(MaskTargets, targets), cast(Any, reader).spec)

    def target_problem(self, targets: Any) -> str:
        """Say that masks of a `tf.data.Dataset` cannot be used."""
        return (
            "semantic segmentation needs a Source, which resizes masks with their images: read them with "
            "tltk.from_masks(…)."
        )

    def encode(self, targets: Any) -> Any:
        """Return the classes of pixels, int32 [batch, height, width, 1]."""
        return tf.cast(targets["masks"], tf.int32)[..., None]

    def loss(self) -> keras.losses.Loss:
        """Return the sum of cross-entropy and Dice loss."""
        return SegmentationLoss(self.dice_weight)

    def class_counts(self, targets: Targets) -> ClassCounts:
        """Count the pixels of up to 100 training masks, as fractions of at least 0.001."""
        frequencies = class_frequencies(cast(LetterboxedMasks, targets).values, len(self.labels)).astype(np.float64)
        return ClassCounts(self.labels.names, frequencies, float(frequencies.sum()))

    def balanced_loss(self, terms: LossTerms) -> keras.losses.Loss:
        """Return the loss with weights of classes in its cross-entropy."""
        return SegmentationLoss(self.dice_weight, class_weights=terms.class_weights)

    def metrics(self) -> list[keras.metrics.Metric]:
        """Return the mean IoU at the positions of the outputs; `evaluate` measures it at the original size."""
        return [MeanIoU(len(self.labels))]

    def describe_outputs(self) -> dict[str, tuple[str, ...]]:
        """Name the logits after the classes."""
        return {"logits": self.labels.names}

    def decode(self, outputs: tf.Tensor, context: Context) -> dict[str, tf.Tensor]:
        """Return the class of every pixel of the original images.

        Returns:
            "classes" uint8 [count, largest height, largest width], padded with 255; "sizes" int32 [count, 2], height
            and width of each map (those of the input if the original ones are unknown); and "png_bytes" string [count],
            the maps as grey PNG files, in exports only.
        """
        spec, sizes = ImageSpec(*self.input_size, resize="pad"), context.image_sizes
        if sizes is None:
            sizes = tf.tile(tf.constant([self.input_size]), [tf.shape(outputs)[0], 1])
        return class_maps(outputs, sizes, spec)._asdict()

    def predictions(self, decoded: Mapping[str, np.ndarray], ids: Sequence[str]) -> list[Prediction]:
        """Return the map of each image."""
        predictions: list[Prediction] = []
        for example_id, classes, (height, width) in zip(ids, decoded["classes"], decoded["sizes"], strict=True):
            mask = classes[:height, :width]
            fractions = np.bincount(mask.ravel(), minlength=len(self.labels)) / mask.size
            order = [int(number) for number in np.argsort(-fractions, kind="stable") if fractions[number] > 0]
            scores = {self.labels.names[number]: float(fractions[number]) for number in order}
            label = ", ".join(f"{name} {fraction:.0%}" for name, fraction in scores.items())
            shown: dict[str, Any] = {"mask": mask, "names": self.labels.names}
            predictions.append(SegmentationPrediction(example_id, label, None, scores, **shown))
        return predictions

    def fields(self, decoded: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Return "masks", uint8 [height, width] of each image, and "labels"."""
        predictions = cast(list[SegmentationPrediction], self.predictions(decoded, [""] * len(decoded["sizes"])))
        masks = tuple(prediction.mask for prediction in predictions)
        return {"masks": masks, "labels": tuple(prediction.label for prediction in predictions)}

    def evaluator(self) -> SegmentationEvaluator:
        """Return the evaluator: intersection over union, accuracy of pixels, F1 of boundaries."""
        return SegmentationEvaluator(self.labels.names)

    def changed_answers(self, predictions: Sequence[Prediction], others: Sequence[Prediction]) -> np.ndarray:
        """Tell in which images more than 1 % of the pixels have another class."""
        pairs = zip(cast(Any, predictions), cast(Any, others), strict=True)
        return np.array([float(np.mean(one.mask != other.mask)) > _CHANGED for one, other in pairs], bool)

    def agrees(self, answer: Mapping[str, Any], other: Mapping[str, Any], tolerance: float) -> str:
        """Compare the classes of pixels; skipped in 16 bits, which change them at boundaries."""
        if tolerance > EXACT:
            return ""
        if not np.array_equal(answer["sizes"], other["sizes"]):
            return f"`sizes`: {answer['sizes']} is not {other['sizes']}"
        height, width = answer["sizes"]
        one, two = (np.asarray(values["classes"])[:height, :width] for values in (answer, other))
        changed = float(np.mean(one != two))
        return "" if changed <= _ROUNDING else f"`classes`: {changed:.1%} of the pixels differ"


@familiar.arguments
def semantic_segmentation(
    labels: Labels,
    *,
    decoder: str | None = None,
    channels: int | None = None,
    dropout: float = 0.1,
    dice_weight: float = 1.0,
) -> SemanticSegmentation:
    """Build a task that finds the class of every pixel of an image.

    Images are letterboxed, and maps come back in the size of the original images. Pixels with the value 255 in a mask
    count neither in the loss nor in the metrics.

    Args:
        labels: `source.labels` of type "masks", or a list of the classes in the order of their numbers, the background
            among them.
        decoder: "lraspp" (Howard et al. 2019) uses features of strides 8 and 16, and takes little time; "unet" those of
            strides 4 to 32 (Ronneberger et al. 2015), and finds thin and small objects better; "linear" has only
            the last layer, on the last features of the backbone. The default is "linear" for backbones that end in a
            decoder, as those made of segmenters do, else "lraspp".
        channels: Channels of the decoder; None means 128 for "lraspp" and 64 for "unet".
        dropout: Fraction of channels that are set to 0 during training, in [0, 1).
        dice_weight: Weight of the Dice loss, relative to that of the cross-entropy; 0 leaves it out.

    Returns:
        A task for `assemble`.

    Raises:
        InvalidType: If `labels` has no names.
        InvalidInput: If the labels do not have the type "masks", or a value is out of range; all problems are listed.

    Examples:
        >>> semantic_segmentation(["background", "cat"]).describe_outputs()
        {'logits': ('background', 'cat')}
    """
    spec = label_spec(labels, "masks")
    problems = check.Problems()
    if spec.type != "masks":
        problems.add(
            f"`labels` must be classes of masks. Received: type {spec.type!r}. Read masks with tltk.from_masks(…)"
        )
    if not 2 <= len(spec) <= _MAX_CLASSES:
        problems.add(f"`labels` must be 2 to {_MAX_CLASSES} classes, the background among them. Received: {len(spec)}")
    if channels is not None and (not check.is_whole(channels) or channels < 1):
        problems.add(f"`channels` must be a whole number above 0. Received: {channels!r}")
    if not check.is_number(dice_weight) or dice_weight < 0:
        problems.add(f"`dice_weight` must be at least 0. Received: {dice_weight!r}")
    problems.raise_if_any()
    if decoder is not None:
        check.one_of("decoder", decoder, (*_DECODERS, "linear"))
    channels = _CHANNELS.get(decoder or "", 128) if channels is None else int(channels)
    check.within("dropout", dropout, low=0, high=1, open_high=True)
    return SemanticSegmentation(spec, decoder or "", channels, float(dropout), float(dice_weight))


def _default(source: Source) -> SemanticSegmentation:
    return semantic_segmentation(source)


register_default("masks", _default)
