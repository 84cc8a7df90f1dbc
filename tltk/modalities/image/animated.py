"""Rewrite GIF and WebP files so that TensorFlow decodes their first frame as image viewers show it."""

from typing import NamedTuple

import tensorflow as tf

from tltk.modalities.image.branches import choose
from tltk.modalities.image.headers import bytes_at, find, little_endian

# First bytes of a graphic control extension and of an image descriptor (GIF89a, sections 23, 20).
_CONTROL_EXTENSION, _IMAGE_DESCRIPTOR = b"\x21\xf9\x04", 0x2C
_EXTENSION = 0x21


class StillGif(NamedTuple):
    """A GIF of one frame.

    Attributes:
        data: String scalar, the bytes of the file.
        size: int64 [height, width] of the frame; zeros if the first frame is incomplete or missing.
    """

    data: tf.Tensor
    size: tf.Tensor


def still_gif(data: tf.Tensor) -> StillGif:
    """Cut off everything after the first frame of a GIF.

    TensorFlow unpacks all frames to return the first one, of any size, before it looks at the sizes: a file of a
    megabyte can claim gigabytes. It also fills up a frame whose data end too soon.

    Args:
        data: String scalar, the bytes of a GIF file.
    """
    values = tf.cast(tf.io.decode_raw(data, tf.uint8), tf.int32)
    length = tf.size(values)
    # Data are chains of blocks: a byte says how many follow, and 0 ends the chain. `ends` is where the chain that
    # starts at a byte ends; `length` if it does not. Each step of the loop doubles how far it has looked.
    here = tf.range(length)
    following = tf.concat([tf.where(values == 0, here, tf.minimum(here + 1 + values, length)), [length]], 0)
    (ends,) = tf.while_loop(
        lambda ends: tf.reduce_any(tf.gather(ends, ends) != ends), lambda ends: [tf.gather(ends, ends)], [following]
    )

    def end_of(start: tf.Tensor) -> tf.Tensor:
        return tf.gather(ends, tf.minimum(start, length))

    (start,) = tf.while_loop(
        lambda position: bytes_at(data, position, 1)[0] == _EXTENSION,
        lambda position: [end_of(position + 2) + 1],
        [13 + 3 * _palette_size(bytes_at(data, 10, 1)[0])],
    )
    descriptor = bytes_at(data, start, 10)
    end = end_of(start + 11 + 3 * _palette_size(descriptor[9]))
    is_complete = (descriptor[0] == _IMAGE_DESCRIPTOR) & (end < length)
    size = tf.stack([little_endian(descriptor[7:9]), little_endian(descriptor[5:7])])
    still = tf.strings.join([tf.strings.substr(data, 0, tf.minimum(end + 1, length)), b";"])
    return StillGif(still, tf.where(is_complete, size, tf.zeros_like(size)))


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
    is_whole = _chunk_starts_at(data, chunk + 8 + chunk_size + chunk_size % 2)
    with_alpha = tf.strings.join([b"VP8X\x0a\x00\x00\x00\x10\x00\x00\x00", canvas_size, frame])
    body = tf.where(tf.strings.substr(frame, 0, 4) == b"ALPH", with_alpha, frame)
    riff_size = tf.strings.length(body) + 4
    size_bytes = [_byte(riff_size // 256**place % 256) for place in range(4)]
    # Without its body, a frame after which no chunk begins is refused by the decoder, as image viewers refuse it.
    return tf.strings.join([b"RIFF", *size_bytes, b"WEBP", tf.where(is_whole, body, b"")])


def _chunk_starts_at(data: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    """Return whether a chunk of a WebP, whose name is printable ASCII, begins at a position, or the file ends there."""
    end = tf.minimum(little_endian(bytes_at(data, 4, 4)) + 8, tf.cast(tf.strings.length(data), tf.int64))
    name = bytes_at(data, position, 4)
    return tf.reduce_all((name >= 32) & (name < 127)) | (tf.cast(position, tf.int64) == end)
