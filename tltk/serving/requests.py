"""What a request holds, read in a graph so that a bad element does not spoil the others."""

import tensorflow as tf

from tltk.modalities.image.decode import decode_image
from tltk.modalities.image.headers import MARKS
from tltk.specs import ImageSpec

_NO_PICTURE = "not a JPEG, PNG, GIF, BMP or WebP picture"
_DAMAGED = "truncated or damaged picture, or one of over 89.5 megapixels"
_BLANK = r"[\t-\r\x1c-\x20\x{85}\p{Z}]*"  # what Python's str.strip takes off


def pictures(image_bytes: tf.Tensor, spec: ImageSpec) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Decode pictures, each on its own.

    An operation that fails ends its whole graph; a pipeline of tf.data is the one thing that can pass over it.

    Args:
        image_bytes: strings [batch].
        spec: what each is brought to.

    Returns:
        Pixels float32 [batch, height, width, 3], zeros where a picture is bad; which are good, bool [batch]; and what
        is wrong with the others, strings [batch].
    """
    count = tf.size(image_bytes, tf.int64)
    numbered = tf.data.Dataset.from_tensor_slices((tf.range(count), image_bytes))
    decoded = numbered.map(
        lambda number, data: (number, decode_image(data, spec)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=False,
    ).ignore_errors(log_warning=False)
    # A dataset that is left with no element at all would be an error.
    last = tf.data.Dataset.from_tensors((count, tf.zeros(spec.shape)))
    numbers, pixels = decoded.concatenate(last).batch(count + 1).get_single_element()
    shape = tf.concat([count[None] + 1, tf.constant(spec.shape, tf.int64)], 0)
    pixels = tf.scatter_nd(numbers[:, None], pixels, shape)[:count]
    valid = tf.scatter_nd(numbers[:, None], tf.ones_like(numbers, tf.bool), count[None] + 1)[:count]
    padded = tf.strings.join([image_bytes, b"\0" * 12])
    known = [
        tf.reduce_all([tf.strings.substr(padded, at, len(mark)) == mark for at, mark in marks], 0)
        for marks in MARKS.values()
    ]
    reason = tf.where(image_bytes == b"", "0 bytes", tf.where(tf.reduce_any(known, 0), _DAMAGED, _NO_PICTURE))
    return tf.ensure_shape(pixels, [None, *spec.shape]), valid, tf.where(valid, "", reason)


def texts(*columns: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Tell which texts, or pairs of them, can be read: UTF-8 that is not blank.

    Args:
        columns: strings [batch] each.

    Returns:
        bool [batch], and what is wrong with the others, strings [batch].
    """
    reason = tf.zeros_like(columns[0])
    for column in reversed(columns):
        clean = tf.strings.unicode_transcode(column, "UTF-8", "UTF-8", errors="replace")
        own = tf.where(
            clean == column, tf.where(tf.strings.regex_full_match(clean, _BLANK), "empty text", ""), "no UTF-8"
        )
        reason = tf.where(own == b"", reason, own)
    return reason == b"", reason


def blanked(answers: dict[str, tf.Tensor], valid: tf.Tensor) -> dict[str, tf.Tensor]:
    """Empty the answers to what could not be read: "", 0, False, and -1 of whole numbers.

    Args:
        answers: name → [batch, …].
        valid: bool [batch].

    Returns:
        The same names; `labels`, which are the model's and not an answer, stay.
    """
    return {name: value if name == "labels" else _where(valid, value) for name, value in answers.items()}


def _where(valid: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    empty = {tf.string: "", tf.int32: -1}.get(value.dtype, tf.zeros([], value.dtype))
    rows = tf.reshape(valid, tf.concat([tf.shape(valid), tf.ones([tf.rank(value) - 1], tf.int32)], 0))
    return tf.where(rows, value, empty)
