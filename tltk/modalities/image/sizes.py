"""Heights and widths of images as they are shown, read from their headers."""

import weakref
from pathlib import Path

import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.modalities.image import animated, headers
from tltk.modalities.image.branches import choose
from tltk.modalities.image.tiff import is_tiff, read_as_png
from tltk.pipeline.readers import Reader

# Sizes of the images of streams, which can only be read as a whole.
_stream_sizes: "weakref.WeakKeyDictionary[Reader, np.ndarray]" = weakref.WeakKeyDictionary()


def upright_size(data: tf.Tensor) -> tf.Tensor:
    """Return the size that an image is decoded to, EXIF rotation included, in a graph.

    Args:
        data: String scalar, the bytes of a file that `decode_image` accepts.

    Returns:
        int32 [2]: height and width in pixels.

    Examples:
        >>> upright_size(tf.io.encode_png(tf.zeros([4, 6, 3], tf.uint8))).numpy().tolist()
        [4, 6]
    """
    image_format = headers.format_of(data)
    readers = [
        lambda data: tf.cast(tf.io.extract_jpeg_shape(data)[:2], tf.int64),
        headers.png_size,
        lambda data: animated.still_gif(data).size,
        lambda data: tf.abs(headers.bmp_size(data)),
        lambda data: headers.webp_size(tf.ensure_shape(animated.still_webp(data), [])),
        lambda data: tf.zeros([2], tf.int64),
    ]
    size = choose(image_format, readers, data)
    orientation = headers.orientation(data, headers.find_exif(data, image_format))
    return tf.ensure_shape(tf.cast(tf.where(orientation >= 5, size[::-1], size), tf.int32), [2])


_size_of = tf.function(upright_size, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


def image_sizes(source: Source, reader: Reader, rows: np.ndarray) -> np.ndarray:
    """Return the original sizes of images that can be decoded.

    Args:
        source: Source of the images.
        reader: Its reader, for which the sizes of a stream are read once.
        rows: Indices of the images, int64 [n].

    Returns:
        int32 [n, 2]: height and width in pixels.
    """
    if source.original_sizes is not None:
        return source.original_sizes[rows]
    if source.storage == "arrays":
        return np.tile(np.array(source.examples.shape[1:3], np.int32), (len(rows), 1))
    if source.storage == "files":
        return np.array([_size_of(_content(source.examples[row])).numpy() for row in rows], np.int32).reshape(-1, 2)
    if reader not in _stream_sizes:
        sizes = np.zeros((len(source), 2), np.int32)
        for positions, images in source.examples.read():
            sizes[positions] = [_size_of(data).numpy() for data in images]
        _stream_sizes[reader] = sizes
    return _stream_sizes[reader][rows]


def _content(path: str) -> bytes:
    return read_as_png(path) if is_tiff(path) else Path(path).read_bytes()
