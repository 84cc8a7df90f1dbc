"""Rewrite the bytes of GIF and WebP files so that TensorFlow's decoders show them as viewers do."""

import tensorflow as tf

from tltk.modalities.image.branches import choose
from tltk.modalities.image.headers import bytes_at, find, little

# First bytes of a graphic control extension and of an image descriptor (GIF89a, sections 23, 20).
_CONTROL, _IMAGE = b"\x21\xf9\x04", 0x2C


def white_gif(data: tf.Tensor) -> tf.Tensor:
    """Make the transparent colour of a GIF's first frame opaque white.

    TensorFlow leaves transparent pixels black; a logo drawn for a white page would lose its letters.

    Args:
        data: string scalar, a GIF file.

    Returns:
        string scalar, the same file with up to four bytes changed.
    """
    control = find(data, _CONTROL)
    fields = bytes_at(data, tf.maximum(control, 0), 18)
    is_transparent = (control > 0) & (fields[3] % 2 == 1) & (fields[7] == 0) & (fields[8] == _IMAGE)
    return choose(tf.cast(is_transparent, tf.int32), [lambda data, control: data, _opaque], data, control)


def still_webp(data: tf.Tensor) -> tf.Tensor:
    """Extract the first frame of an animated WebP; return any other WebP as it is.

    TensorFlow 2.21's decode_webp frees memory twice on an animation with alpha, which ends the process.

    Args:
        data: string scalar, a WebP file.

    Returns:
        string scalar, a WebP file without animation.
    """
    head = bytes_at(data, 12, 9)
    is_animated = tf.reduce_all(head[:4] == list(b"VP8X")) & (head[8] // 2 % 2 == 1)
    return choose(tf.cast(is_animated, tf.int32), [lambda data: data, _first_frame], data)


def _palette_bytes(packed: tf.Tensor) -> tf.Tensor:
    """Return the size of the colour table that a packed field describes (GIF89a, section 18)."""
    return tf.where(packed >= 128, 3 * 2 ** (packed % 8 + 1), 0)


def _opaque(data: tf.Tensor, control: tf.Tensor) -> tf.Tensor:
    fields = bytes_at(data, control, 18)  # the control extension, 8 bytes, and the image descriptor, 10 bytes
    flags, index, local = fields[3], fields[6], fields[17]
    start = tf.where(local >= 128, control + 18, 13)
    colours = _palette_bytes(tf.where(local >= 128, local, bytes_at(data, 10, 1)[0])) // 3
    white = _replace(data, start + 3 * tf.minimum(index, colours - 1), b"\xff\xff\xff")
    return _replace(white, control + 3, _byte(flags - 1))


def _replace(data: tf.Tensor, position: tf.Tensor, new: tf.Tensor | bytes) -> tf.Tensor:
    new = tf.convert_to_tensor(new)
    after = tf.minimum(position + tf.strings.length(new), tf.strings.length(data))
    return tf.strings.join([tf.strings.substr(data, 0, position), new, tf.strings.substr(data, after, 2**31 - 1)])


def _byte(value: tf.Tensor) -> tf.Tensor:
    return tf.gather([bytes([value]) for value in range(256)], value)


def _first_frame(data: tf.Tensor) -> tf.Tensor:
    """Build a still WebP from the first ANMF chunk (RFC 9649, section 2.7.1.1)."""
    chunk = tf.maximum(find(data, b"ANMF"), 0)
    size = tf.clip_by_value(tf.cast(little(bytes_at(data, chunk + 4, 3)), tf.int32), 16, tf.strings.length(data))
    frame = tf.strings.substr(data, tf.minimum(chunk + 24, tf.strings.length(data)), size - 16)
    canvas = tf.strings.substr(data, tf.minimum(chunk + 14, tf.strings.length(data)), 6)
    extended = tf.strings.join([b"VP8X\x0a\x00\x00\x00\x10\x00\x00\x00", canvas, frame])
    body = tf.where(tf.strings.substr(frame, 0, 4) == b"ALPH", extended, frame)
    length = tf.strings.length(body) + 4
    digits = [_byte(length // 256**place % 256) for place in range(4)]
    return tf.strings.join([b"RIFF", *digits, b"WEBP", body])
