"""Segmenters from 200 composed scenes: tltk beside KerasHub's DeepLabV3+, pretrained beside random weights.

    python examples/benchmarks/real_images.py             # once: download the emoji
    tltk weights get efficientnet_lite0                     # once: download the ImageNet weights
    python examples/benchmarks/segmentation.py              # a table; --json for one JSON object

The scenes are those of `scenes.py`, with 256 pixels; all segmenters use EfficientNet-Lite0.

- known: `tltk.linear_probe` of 45 epochs with eight cached copies of each scene, and the decoder "unet";
- quick: the same with 15 epochs and two copies;
- KerasHub: DeepLabV3+ on the same network and weights, all layers trained: cross-entropy of one-hot masks, Adam,
  horizontal flips;
- unseen and unseen_random: other emoji of the categories in the test, with pretrained weights, and with the whole
  network trained from random weights.

The mean IoU is the macro average of scikit-learn's `jaccard_score` over all pixels, the background among the classes.
Nothing is selected by the test scenes. The time is that of training, including the tracing of graphs and the
computation of features.
"""

import time

import dense_training as dense
import keras
import keras_hub
import numpy as np
import tensorflow as tf
from dense_training import Result, Schedule
from scenes import Scenes
from sklearn.metrics import jaccard_score

import tltk

KERAS_HUB_RATE = 3e-4


def main() -> None:
    """Measure, and show the results."""
    dense.main(
        __doc__,
        metric="miou",
        quick=Schedule(15, 0, copies=2),
        whole=Schedule(45, 0, copies=8),
        scratch=18,
        with_tltk=with_tltk,
        with_keras_hub=with_keras_hub,
    )


def with_tltk(train: Scenes, test: Scenes, backbone: tltk.Backbone, recipe: tltk.Recipe) -> Result:
    """Train `tltk.semantic_segmentation`."""

    def score(model: tltk.TransferModel) -> float:
        return mean_iou(test, np.stack(tltk.predict(model, test.images).fields["masks"]))

    source = train.with_masks()
    return dense.train(backbone, tltk.semantic_segmentation(source, decoder="unet"), source, recipe, score)


def with_keras_hub(train: Scenes, test: Scenes, backbone: tltk.Backbone, epochs: int) -> Result:
    """Train KerasHub's DeepLabV3+ on the same network."""
    keras.utils.set_random_seed(0)
    start = time.perf_counter()
    network = keras_hub.models.DeepLabV3Backbone(
        image_encoder=dense.encoder(backbone),
        spatial_pyramid_pooling_key="P5",
        low_level_feature_key="P2",
        upsampling_size=8,
        dilation_rates=[6, 12, 18],
        image_shape=backbone.input_spec.shape,
    )
    classes = len(train.names) + 1
    segmenter = keras_hub.models.DeepLabV3ImageSegmenter(network, num_classes=classes)
    segmenter.compile(
        optimizer=keras.optimizers.Adam(KERAS_HUB_RATE),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
    )
    segmenter.fit(_flipped(train, backbone, classes), epochs=epochs, verbose=0)
    seconds = time.perf_counter() - start
    pixels = tf.data.Dataset.from_tensor_slices(test.images).batch(8).map(lambda x: _preprocessed(backbone, x))
    masks = [np.argmax(segmenter.predict_on_batch(batch), -1) for batch in pixels]
    return Result(mean_iou(test, np.concatenate(masks)), seconds)


def _flipped(train: Scenes, backbone: tltk.Backbone, classes: int) -> tf.data.Dataset:
    """Return shuffled batches of scenes, half of them flipped, with one-hot masks."""

    def augmented(image: tf.Tensor, mask: tf.Tensor):
        both = tf.concat([image, mask[..., None]], -1)
        both = tf.cond(tf.random.uniform([]) < 0.5, lambda: tf.reverse(both, [1]), lambda: both)
        return both[..., :3], tf.one_hot(both[..., 3], classes)

    dataset = tf.data.Dataset.from_tensor_slices((train.images, train.masks)).shuffle(len(train.masks), seed=0)
    batches = dataset.map(augmented).batch(8)
    return batches.map(lambda images, masks: (_preprocessed(backbone, images), masks)).prefetch(2)


def _preprocessed(backbone: tltk.Backbone, images: tf.Tensor) -> tf.Tensor:
    return backbone.preprocess(tf.cast(images, tf.float32))


def mean_iou(test: Scenes, masks: np.ndarray) -> float:
    """Compute the mean intersection over union of the classes."""
    return float(jaccard_score(test.masks.ravel(), masks.ravel(), average="macro"))


if __name__ == "__main__":
    main()
