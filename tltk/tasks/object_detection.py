"""Object detection: find objects in images, each with its class and its box."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, Self, cast

import keras
import numpy as np
import tensorflow as tf

from tltk.backbones.base import Backbone
from tltk.data.boxes import BoxTargets
from tltk.data.source import Source
from tltk.data.targets import Targets
from tltk.foundation import checks as check
from tltk.foundation import familiar
from tltk.foundation.errors import InvalidInput
from tltk.heads.dense import dense_head
from tltk.heads.pyramid import feature_pyramid
from tltk.modalities.context import Context
from tltk.modalities.image.augment import dense
from tltk.modalities.image.letterbox import boxes_to_original, level_sizes
from tltk.modalities.modality import modality_of
from tltk.pipeline.readers import Reader
from tltk.specs import ImageSpec, LabelSpec
from tltk.tasks.base import EXACT, Outputs, Task
from tltk.tasks.boxes import fcos
from tltk.tasks.boxes.agreement import boxes_difference, changed_boxes
from tltk.tasks.boxes.element_targets import LetterboxedBoxes
from tltk.tasks.boxes.evaluator import DetectionEvaluator
from tltk.tasks.boxes.loss import BoxLoss, CentrenessLoss, FocalLoss
from tltk.tasks.boxes.nms import suppress
from tltk.tasks.boxes.objects import DetectedObject
from tltk.tasks.boxes.records import DetectionPrediction
from tltk.tasks.dense_endpoints import by_stride, level_stages, stages_of
from tltk.tasks.label_spec import Labels, label_spec
from tltk.tasks.records import Monitor, Prediction
from tltk.tasks.registry import register_default, register_task

STRIDES = (8, 16, 32)
MAX_DETECTIONS = 100  # of an image, as COCO evaluates
_NEEDS_SOURCE = (
    "object detection needs a Source, which knows the sizes of the original images: read boxes with "
    "tltk.from_coco(…) or tltk.from_voc(…)."
)


@register_task
@dataclass(frozen=True)
class ObjectDetection(Task):
    """A class, a box and a centreness at every position of a feature pyramid: FCOS (Tian et al. 2019).

    Args:
        labels: Classes, type "boxes".
        channels: Channels of the pyramid and of the hidden layers.
        depth: Hidden layers of the branch of classes, and of that of boxes.
        strides: Pixels per position of the levels of the pyramid, each twice the last; () for the default, until
            the model is assembled.
        box_weight: Weight of the loss of boxes, relative to that of classes.
        min_score: Objects with this score or a lower one are not returned.
        max_iou: Of two boxes of a class that overlap by more, only the one with the higher score is returned.
        threshold: Score from which an object counts in the label of a prediction.
        image_size: Height and width of the input of the network; set when the model is assembled.
        builds_pyramid: Whether the head begins with a feature pyramid; not on a backbone that ends in one.
    """

    name: ClassVar[str] = "object_detection"
    monitor: ClassVar[Monitor] = Monitor("loss", "min")
    score_name: ClassVar[str] = "ap"
    uses_pooling: ClassVar[bool] = False

    labels: LabelSpec
    channels: int = 96
    depth: int = 2
    strides: tuple[int, ...] = ()
    box_weight: float = 1.0
    min_score: float = 0.05
    max_iou: float = 0.5
    threshold: float = 0.3
    image_size: tuple[int, int] | None = None
    builds_pyramid: bool = True

    @property
    def grid(self) -> fcos.Grid:
        """Positions of the pyramid in the input."""
        if self.image_size is None:
            raise InvalidInput("the task has no input size yet: it is set by tltk.assemble(backbone, task).")
        return fcos.Grid(self.image_size, level_sizes(self.image_size, self.strides or STRIDES))

    def input_spec(self, spec: Any) -> ImageSpec:
        """Letterbox images, so that objects keep their shape and none is cut off."""
        return modality_of(spec).with_letterbox(spec, self.name)

    def for_input(self, spec: ImageSpec) -> Self:
        """Return the task with the size of the input, on which the positions depend."""
        return replace(self, image_size=(spec.height, spec.width))

    def default_augmentation(self, spec: Any) -> tuple[Any, ...]:
        """Return a flip, scale jitter and mild color changes."""
        return dense()

    def for_backbone(self, backbone: Backbone) -> Self:
        """Return the task with the strides of the backbone; a backbone with a feature pyramid needs no new one."""
        if not backbone.pyramid:
            return replace(self, strides=self.strides or STRIDES, builds_pyramid=True)
        strides = self.strides or tuple(stride for _, stride in backbone.pyramid)
        level_stages(backbone, strides)
        return replace(self, strides=strides, builds_pyramid=False)

    def endpoints(self, backbone: Backbone) -> tuple[str, ...]:
        """Return the levels of the backbone's pyramid; without one, the last stage of each stride the head needs."""
        if not self.builds_pyramid:
            return level_stages(backbone, self.strides)
        return tuple(stages_of(backbone, self.strides or STRIDES).values())

    def outputs(
        self, features: dict[str, keras.KerasTensor], *, mask: keras.KerasTensor | None = None, seed: int = 0
    ) -> Outputs:
        """Build pyramid and head; see `tltk.heads.dense.dense_head` for the outputs."""
        grid, strides = self.grid, self.strides or STRIDES
        if self.builds_pyramid:
            sizes = dict(zip(strides, grid.level_sizes, strict=True))
            stages = by_stride(features, grid.input_size, strides)
            levels = feature_pyramid(stages, sizes=sizes, channels=self.channels, seed=seed)
        else:
            levels = dict(zip(strides, features.values(), strict=True))
        options: dict[str, Any] = {"channels": self.channels, "depth": self.depth, "strides": grid.strides}
        return dense_head(levels, classes=len(self.labels), seed=seed + 100, **options)

    def adopt_outputs(self, outputs: Any, *, from_logits: bool | None = None) -> Any:
        """Raise: the positions that the outputs of another detector stand for are unknown."""
        raise InvalidInput(
            f"{self.name} needs a head of tltk: pass a backbone, such as tltk.backbone(my_model), to tltk.assemble."
        )

    def element_targets(self, targets: Targets | None, reader: Reader) -> Targets | None:
        """Return the boxes in pixels of the input."""
        return None if targets is None else LetterboxedBoxes(cast(BoxTargets, targets), cast(Any, reader).spec)

    def target_problem(self, targets: Any) -> str:
        """Say that boxes of a `tf.data.Dataset` cannot be used."""
        return _NEEDS_SOURCE

    def encode(self, targets: Any) -> Any:
        """Return class and distances each position has to learn; see `tltk.tasks.boxes.fcos.assign`."""
        classes, distances = fcos.assign(targets["boxes"], targets["labels"], targets["ignored"], self.grid)
        return {"classes": tf.cast(classes, tf.float32)[..., None], "distances": distances, "centreness": distances}

    def loss(self) -> dict[str, keras.losses.Loss]:
        """Return focal loss, GIoU loss and the cross-entropy of centreness."""
        return {"classes": FocalLoss(), "distances": BoxLoss(self.box_weight), "centreness": CentrenessLoss()}

    def metrics(self) -> dict[str, list[keras.metrics.Metric]]:
        """Return no metrics: average precision is defined for a whole test set only; see `tltk.evaluate`."""
        return {}

    def describe_outputs(self) -> dict[str, tuple[str, ...]]:
        """Name the outputs after classes and edges."""
        edges = ("top", "left", "bottom", "right")
        return {"classes": self.labels.names, "distances": edges, "centreness": ("centreness",)}

    def describe_decoding(self) -> dict[str, Any]:
        """Return rows and columns of each level, whose positions follow each other, and the limits of `decode`."""
        return {
            "level_sizes": [list(size) for size in self.grid.level_sizes],
            "min_score": self.min_score,
            "max_iou": self.max_iou,
            "max_detections": MAX_DETECTIONS,
        }

    def decode(self, outputs: Any, context: Context) -> dict[str, tf.Tensor]:
        """Return the objects of each image with the highest scores.

        Returns:
            "boxes" float32 [count, 100, 4] in pixels of the original images (of the input if their sizes are unknown),
            "scores" float32 and "labels" string [count, 100], sorted by descending score; zeros and "" after the
            "count" objects of an image, int32 [count].
        """
        scores = tf.sqrt(outputs["classes"] * outputs["centreness"])
        boxes = fcos.boxes_of(outputs["distances"], self.grid)
        if context.image_sizes is not None:
            boxes = boxes_to_original(boxes, context.image_sizes, ImageSpec(*self.grid.input_size, resize="pad"))
            is_in_image = tf.reduce_min(boxes[..., 2:] - boxes[..., :2], -1, keepdims=True) > 0
            scores = tf.where(is_in_image, scores, 0.0)  # the others are in the bars around the image
        boxes, scores, classes, counts = suppress(
            boxes, scores, max_detections=MAX_DETECTIONS, min_score=self.min_score, max_iou=self.max_iou
        )
        is_object = tf.sequence_mask(counts, MAX_DETECTIONS)
        labels = tf.where(is_object, tf.gather(tf.constant(self.labels.names), classes), "")
        return {"boxes": boxes, "scores": scores, "labels": labels, "count": counts}

    def predictions(self, decoded: Mapping[str, np.ndarray], ids: Sequence[str]) -> list[Prediction]:
        """Return the objects of each image."""
        predictions: list[Prediction] = []
        columns = (decoded[name] for name in ("boxes", "scores", "labels", "count"))
        for example_id, boxes, scores, labels, count in zip(ids, *columns, strict=True):
            rows = zip(labels[:count], scores[:count].tolist(), boxes[:count].tolist(), strict=True)
            objects = tuple(DetectedObject(str(label), score, *box) for label, score, box in rows)
            sure = Counter(detected.label for detected in objects if detected.score >= self.threshold)
            summary = ", ".join(f"{number} {label}" for label, number in sure.items())
            best = {detected.label: detected.score for detected in reversed(objects)}
            by_score = dict(sorted(best.items(), key=lambda item: -item[1]))
            shown: dict[str, Any] = {"names": self.labels.names, "threshold": self.threshold}
            predictions.append(DetectionPrediction(example_id, summary, None, by_score, objects=objects, **shown))
        return predictions

    def fields(self, decoded: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Return "boxes" float32 [k, 4], "scores" float32 [k], "classes", k strings, and the label of each image."""
        counts = decoded["count"].tolist()
        predictions = self.predictions(decoded, [""] * len(counts))
        return {
            "boxes": tuple(boxes[:count] for boxes, count in zip(decoded["boxes"], counts, strict=True)),
            "scores": tuple(scores[:count] for scores, count in zip(decoded["scores"], counts, strict=True)),
            "classes": tuple(tuple(labels[:count]) for labels, count in zip(decoded["labels"], counts, strict=True)),
            "labels": tuple(prediction.label for prediction in predictions),
        }

    def evaluator(self) -> DetectionEvaluator:
        """Return the evaluator: average precision as COCO defines it."""
        return DetectionEvaluator(self.labels.names, threshold=self.threshold)

    def changed_answers(self, predictions: Sequence[Prediction], others: Sequence[Prediction]) -> np.ndarray:
        """Tell which images have different objects above the threshold."""
        pairs = zip(cast(Any, predictions), cast(Any, others), strict=True)
        return np.array([changed_boxes(one.objects, other.objects, self.threshold) for one, other in pairs], bool)

    def agrees(self, answer: Mapping[str, Any], other: Mapping[str, Any], tolerance: float) -> str:
        """Compare objects and scores; skipped in 16 bits, which change the choice between overlapping boxes."""
        if tolerance > EXACT:
            return ""
        return boxes_difference(answer, other, tolerance=tolerance, min_score=self.min_score)


@familiar.arguments
def object_detection(
    labels: Labels,
    *,
    channels: int = 96,
    depth: int = 2,
    strides: tuple[int, ...] | None = None,
    box_weight: float = 1.0,
    min_score: float = 0.05,
    max_iou: float = 0.5,
    threshold: float = 0.3,
) -> ObjectDetection:
    """Build a task that finds objects in images, each with its class and its box.

    The detector is FCOS (Tian et al. 2019) on a light feature pyramid: every position says whether it lies in an
    object, in which, and how far its edges are. Images are letterboxed, and boxes come back in pixels of the originals.
    Objects should span some 16 pixels of the input: choose its size with `tltk.backbone(name, image_size=…)`. A frozen
    backbone suffices for many detectors (Vasconcelos et al. 2022), and its features are computed only once.

    Args:
        labels: `source.labels` of type "boxes", or a list of the classes.
        channels: Channels of the pyramid and of the hidden layers; fewer take less time, more give the head
            more capacity.
        depth: Hidden layers of the branch of classes, and of that of boxes.
        strides: Pixels per position of the levels of the pyramid, each twice the last; a first 4 is for objects
            of a few pixels, and has four times as many positions. The default is (8, 16, 32), or all levels of a
            backbone that ends in a feature pyramid, as those made of detectors do.
        box_weight: Weight of the loss of boxes, relative to that of classes.
        min_score: Objects with this score or a lower one are not returned, in [0, 1).
        max_iou: Of two boxes of a class that overlap by more, only the one with the higher score is returned, in (0,
            1].
        threshold: Score from which an object counts in the label of a prediction, and when exports are compared.

    Returns:
        A task for `assemble`.

    Raises:
        InvalidType: If `labels` has no names.
        InvalidInput: If the labels do not have the type "boxes", or a value is out of range; all problems are listed.

    Examples:
        >>> object_detection(["cat", "dog"]).describe_outputs()["classes"]
        ('cat', 'dog')
    """
    spec = label_spec(labels, "boxes")
    problems = check.Problems()
    if spec.type != "boxes":
        problems.add(
            f"`labels` must be classes of boxes. Received: type {spec.type!r}. Read boxes with tltk.from_coco(…), "
            "tltk.from_voc(…) or tltk.from_yolo(…)"
        )
    is_doubling = strides is None or (
        all(check.is_whole(stride) and stride > 0 for stride in strides)
        and all(second == 2 * first for first, second in pairwise(strides))
    )
    if strides == () or not is_doubling:
        problems.add(f"`strides` must be whole numbers, each twice the previous. Received: {strides!r}")
    for name, value in (("channels", channels), ("depth", depth)):
        if not check.is_whole(value) or value < 1:
            problems.add(f"`{name}` must be a whole number above 0. Received: {value!r}")
    problems.raise_if_any()
    check.positive(box_weight=box_weight)
    check.within("min_score", min_score, low=0, high=1, open_high=True)
    check.within("max_iou", max_iou, low=0, high=1)
    check.within("threshold", threshold, low=0, high=1)
    return ObjectDetection(
        spec,
        int(channels),
        int(depth),
        tuple(map(int, strides or ())),
        float(box_weight),
        float(min_score),
        float(max_iou),
        float(threshold),
    )


def _default(source: Source) -> ObjectDetection:
    return object_detection(source)


register_default("boxes", _default)
