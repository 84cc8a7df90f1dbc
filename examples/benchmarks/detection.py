"""Detectors from 200 composed scenes: tltk beside KerasHub's RetinaNet, pretrained beside random weights.

    python examples/benchmarks/real_images.py             # once: download the emoji
    tltk weights get efficientnet_lite0                     # once: download the ImageNet weights
    python examples/benchmarks/detection.py                 # a table; --json for one JSON object

The scenes are those of `scenes.py`, with 256 pixels; all detectors use EfficientNet-Lite0.

- known: `tltk.fine_tune` with six cached copies of each scene in the probe;
- quick: `tltk.linear_probe` with two cached copies;
- KerasHub: RetinaNet on the same network and weights, all layers trained, with the losses of its guide, Adam at 1e-3,
  gradients clipped to norm 10, horizontal flips. It is helped twice: its heads get group normalization, which is an
  option, and the initial bias for rare objects, which KerasHub 0.32 gives to the boxes, is given to the classes;
- unseen and unseen_random: other emoji of the categories in the test, with pretrained weights, and with the whole
  network trained from random weights.

AP50 is that of pycocotools for all. Nothing is selected by the test scenes. The time is that of training, including the
tracing of graphs and the computation of features.
"""

import contextlib
import io
import math
import time

import dense_training as dense
import keras
import keras_hub
import numpy as np
import tensorflow as tf
from dense_training import Result, Schedule
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scenes import Scenes

import tltk

MOST_BOXES = 4  # of a scene
KERAS_HUB_RATE = 1e-3
PRIOR = 0.01  # probability that an anchor box holds an object of a class, at the start (Lin et al. 2017)


def main() -> None:
    """Measure, and show the results."""
    dense.main(
        __doc__,
        metric="ap50",
        quick=Schedule(20, 0, copies=2),
        whole=Schedule(25, 10, copies=6),
        scratch=18,
        with_tltk=with_tltk,
        with_keras_hub=with_keras_hub,
    )


def with_tltk(train: Scenes, test: Scenes, backbone: tltk.Backbone, recipe: tltk.Recipe) -> Result:
    """Train `tltk.object_detection`."""

    def score(model: tltk.TransferModel) -> float:
        fields = tltk.predict(model, test.images).fields
        classes = [[test.names.index(name) for name in names] for names in fields["classes"]]
        return ap50(test, fields["boxes"], classes, fields["scores"])

    source = train.with_boxes()
    return dense.train(backbone, tltk.object_detection(source), source, recipe, score)


def with_keras_hub(train: Scenes, test: Scenes, backbone: tltk.Backbone, epochs: int) -> Result:
    """Train KerasHub's RetinaNet on the same network."""
    keras.utils.set_random_seed(0)
    start = time.perf_counter()
    shape = backbone.input_spec.shape
    pyramid = keras_hub.models.RetinaNetBackbone(dense.encoder(backbone), 3, 7, use_p5=False, image_shape=shape)
    detector = keras_hub.models.RetinaNetObjectDetector(
        pyramid,
        num_classes=len(train.names),
        bounding_box_format="yxyx",
        use_prediction_head_norm=True,
        prediction_decoder=keras_hub.layers.NonMaxSuppression("yxyx", from_logits=True, confidence_threshold=0.01),
    )
    for head, bias in ((detector.box_head, 0.0), (detector.classification_head, math.log(PRIOR / (1 - PRIOR)))):
        head.prediction_layer.bias.assign(keras.ops.full_like(head.prediction_layer.bias, bias))
    detector.compile(
        optimizer=keras.optimizers.Adam(KERAS_HUB_RATE, global_clipnorm=10.0),
        box_loss=keras.losses.MeanAbsoluteError(reduction="sum"),
        classification_loss=keras.losses.BinaryFocalCrossentropy(from_logits=True, reduction="sum"),
    )
    detector.fit(_flipped(train, backbone), epochs=epochs, verbose=0)
    seconds = time.perf_counter() - start
    # KerasHub 0.32 finds no boxes in batches of unknown size: "Expected int32, but got None".
    pixels = tf.data.Dataset.from_tensor_slices(test.images).batch(dense.TESTED_AT_ONCE, drop_remainder=True)
    found = detector.predict(pixels.map(lambda x: backbone.preprocess(tf.cast(x, tf.float32))), verbose=0)
    counts = found["num_detections"].tolist()
    columns = (found[name] for name in ("boxes", "labels", "confidence"))
    boxes, classes, scores = ([row[:count] for row, count in zip(column, counts, strict=True)] for column in columns)
    return Result(ap50(test, boxes, classes, scores), seconds)


def _flipped(train: Scenes, backbone: tltk.Backbone) -> tf.data.Dataset:
    """Return shuffled batches of scenes that are flipped at random, with boxes padded as KerasHub takes them."""
    boxes = np.zeros((len(train.boxes), MOST_BOXES, 4), np.float32)
    labels = np.full(boxes.shape[:2], -1, np.float32)
    for row, (own, classes) in enumerate(zip(train.boxes, train.classes, strict=True)):
        boxes[row, : len(own)], labels[row, : len(own)] = own, classes
    flip = keras.layers.RandomFlip("horizontal", bounding_box_format="yxyx")

    def augmented(images: tf.Tensor, truth: dict[str, tf.Tensor]):
        flipped = flip({"images": tf.cast(images, tf.float32), "bounding_boxes": truth}, training=True)
        return backbone.preprocess(flipped["images"]), truth | {"boxes": flipped["bounding_boxes"]["boxes"]}

    dataset = tf.data.Dataset.from_tensor_slices((train.images, {"boxes": boxes, "labels": labels}))
    return dataset.shuffle(len(boxes), seed=0).batch(8).map(augmented).prefetch(2)


def ap50(test: Scenes, boxes, classes, scores) -> float:
    """Compute the average precision at an IoU of 0.5 with pycocotools."""

    def rows(boxes, classes):
        for image, (own, labels) in enumerate(zip(boxes, classes, strict=True)):
            for (top, left, bottom, right), label in zip(np.asarray(own, float).tolist(), labels, strict=True):
                bbox = [left, top, right - left, bottom - top]
                yield {"image_id": image, "category_id": int(label), "bbox": bbox, "area": bbox[2] * bbox[3]}

    found = list(rows(boxes, classes))
    if not found:
        return 0.0
    for row, score in zip(found, np.concatenate([np.asarray(own, float) for own in scores]), strict=True):
        row["score"] = float(score)
    truth = COCO()
    truth.dataset = {
        "images": [{"id": number} for number in range(len(test.boxes))],
        "categories": [{"id": number} for number in range(len(test.names))],
        "annotations": [{**row, "id": i, "iscrowd": 0} for i, row in enumerate(rows(test.boxes, test.classes), 1)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[1])


if __name__ == "__main__":
    main()
