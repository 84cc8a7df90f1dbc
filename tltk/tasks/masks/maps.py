"""Class maps in the size of the original images, in the graph of `predict` and of exports."""

from typing import NamedTuple

import tensorflow as tf

from tltk.data.masks import IGNORE
from tltk.modalities.image.letterbox import bars, fitted_size
from tltk.specs import ImageSpec


class ClassMaps(NamedTuple):
    """Class maps of a batch.

    Attributes:
        classes: uint8 [b, largest height, largest width], padded below and right with 255.
        sizes: int32 [b, 2], height and width of each map.
        png_bytes: string [b], each map as a grey PNG.
    """

    classes: tf.Tensor
    sizes: tf.Tensor
    png_bytes: tf.Tensor


def class_maps(logits: tf.Tensor, sizes: tf.Tensor, spec: ImageSpec) -> ClassMaps:
    """Enlarge logits to the original images and choose the most probable class of each pixel.

    Args:
        logits: float32 [b, rows, columns, classes], of letterboxed images.
        sizes: int32 [b, 2], height and width of the original images.
        spec: Input format of the network.
    """
    largest = tf.reduce_max(tf.concat([sizes, [[1, 1]]], 0), 0)

    def class_map(image: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        scores, size = image
        classes = _likeliest(scores, size, spec)
        height, width = largest[0] - size[0], largest[1] - size[1]
        padded = tf.pad(classes, [[0, height], [0, width]], constant_values=IGNORE)
        return padded, tf.io.encode_png(classes[..., None])

    signature = (tf.TensorSpec([None, None], tf.uint8), tf.TensorSpec([], tf.string))
    classes, png = tf.map_fn(class_map, (logits, sizes), fn_output_signature=signature)
    return ClassMaps(classes, sizes, png)


def _likeliest(logits: tf.Tensor, size: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Return the class of each pixel of one image, uint8 [height, width].

    Class by class: the logits of all classes of a large photograph would take gigabytes.
    """
    by_class = tf.transpose(logits, [2, 0, 1])[..., None]  # [classes, rows, columns, 1]
    fitted = fitted_size(size, spec)
    to_original = tf.cast(size, tf.float32) / tf.cast(fitted, tf.float32)
    positions = tf.cast(tf.shape(logits)[:2], tf.float32)
    scale = to_original * tf.constant([spec.height, spec.width], tf.float32) / positions
    offset = -tf.cast(bars(fitted, spec), tf.float32) * to_original

    def enlarged(number: tf.Tensor) -> tf.Tensor:
        return tf.raw_ops.ScaleAndTranslate(
            images=by_class[number][None],
            size=size,
            scale=scale,
            translation=offset,
            kernel_type="triangle",
            antialias=False,
        )[0, ..., 0]

    def better(number: tf.Tensor, best: tf.Tensor, classes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        class_logits = enlarged(number)
        is_better = class_logits > best
        return number + 1, tf.maximum(class_logits, best), tf.where(is_better, tf.cast(number, tf.uint8), classes)

    first = enlarged(tf.constant(0))
    _, _, classes = tf.while_loop(
        lambda number, *_: number < tf.shape(by_class)[0],
        better,
        [tf.constant(1), first, tf.zeros(size, tf.uint8)],
        shape_invariants=[tf.TensorShape([]), tf.TensorShape([None, None]), tf.TensorShape([None, None])],
    )
    return classes
