"""Rewrite GIF and WebP files so that TensorFlow decodes their first frame as image viewers show it."""

import tensorflow as tf

from tltk.modalities.image.branches import choose
from tltk.modalities.image.headers import bytes_at, find, little_endian

# First bytes of a graphic control extension and of an image descriptor (GIF89a, sections 23, 20).
_CONTROL_EXTENSION, _IMAGE_DESCRIPTOR = b"\x21\xf9\x04", 0x2C


def opaque_gif(data: tf.Tensor) -> tf.Tensor:
    """Replace the transparent colour of a GIF's first frame by opaque white.

    TensorFlow decodes transparent pixels as black, which would hide the black letters of a logo.

    Args:
        data: String scalar, the bytes of a GIF file.

    Returns:
        String scalar, the same file with up to four bytes changed.
    """
    extension = find(data, _CONTROL_EXTENSION)
    fields = bytes_at(data, tf.maximum(extension, 0), 18)
    has_transparency = (extension > 0) & (fields[3] % 2 == 1) & (fields[7] == 0) & (fields[8] == _IMAGE_DESCRIPTOR)
    branches = [lambda data, extension: data, _whiten_transparent_colour]
    return choose(tf.cast(has_transparency, tf.int32), branches, data, extension)


def still_webp(data: tf.Tensor) -> tf.Tensor:
    """Extract the first frame of an animated WebP; return any other WebP unchanged.

    TensorFlow 2.21's decode_webp frees memory twice on an animation with alpha, which crashes the process.

    Args:
        data: String scalar, the bytes of a WebP file.

    Returns:
        String scalar, the bytes of a WebP file without animation.
    """
    header = bytes_at(data, 12, 9)
    is_animated = tf.reduce_all(header[:4] == list(b"VP8X")) & (header[8] // 2 % 2 == 1)
    return choose(tf.cast(is_animated, tf.int32), [lambda data: data, _first_frame], data)


def _palette_size(packed: tf.Tensor) -> tf.Tensor:
    """Return the number of colours in the palette that a packed field describes (GIF89a, section 18)."""
    return tf.where(packed >= 128, 2 ** (packed % 8 + 1), 0)


def _whiten_transparent_colour(data: tf.Tensor, extension: tf.Tensor) -> tf.Tensor:
    fields = bytes_at(data, extension, 18)  # the control extension, 8 bytes, and the image descriptor, 10 bytes
    flags, colour_index, local_packed = fields[3], fields[6], fields[17]
    has_local_palette = local_packed >= 128
    palette_start = tf.where(has_local_palette, extension + 18, 13)
    palette_size = _palette_size(tf.where(has_local_palette, local_packed, bytes_at(data, 10, 1)[0]))
    colour_start = palette_start + 3 * tf.minimum(colour_index, palette_size - 1)
    whitened = _replace_bytes(data, colour_start, b"\xff\xff\xff")
    return _replace_bytes(whitened, extension + 3, _byte(flags - 1))


def _replace_bytes(data: tf.Tensor, position: tf.Tensor, replacement: tf.Tensor | bytes) -> tf.Tensor:
    replacement = tf.convert_to_tensor(replacement)
    end = tf.minimum(position + tf.strings.length(replacement), tf.strings.length(data))
    return tf.strings.join([tf.strings.substr(data, 0, position), replacement, tf.strings.substr(data, end, 2**31 - 1)])


def _byte(value: tf.Tensor) -> tf.Tensor:
    return tf.gather([bytes([value]) for value in range(256)], value)


def _first_frame(data: tf.Tensor) -> tf.Tensor:
    """Build a still WebP from the first ANMF chunk (RFC 9649, section 2.7.1.1)."""
    chunk = tf.maximum(find(data, b"ANMF"), 0)
    data_length = tf.strings.length(data)
    chunk_size = tf.clip_by_value(tf.cast(little_endian(bytes_at(data, chunk + 4, 3)), tf.int32), 16, data_length)
    frame = tf.strings.substr(data, tf.minimum(chunk + 24, data_length), chunk_size - 16)
    canvas_size = tf.strings.substr(data, tf.minimum(chunk + 14, data_length), 6)
    with_alpha = tf.strings.join([b"VP8X\x0a\x00\x00\x00\x10\x00\x00\x00", canvas_size, frame])
    body = tf.where(tf.strings.substr(frame, 0, 4) == b"ALPH", with_alpha, frame)
    riff_size = tf.strings.length(body) + 4
    size_bytes = [_byte(riff_size // 256**place % 256) for place in range(4)]
    return tf.strings.join([b"RIFF", *size_bytes, b"WEBP", body])
