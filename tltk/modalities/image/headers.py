"""Read what a picture's first bytes say, in TensorFlow graph ops: its format, its size, how it is turned.

Everything here runs inside tf.data and inside an exported SavedModel, so there is no Python in it.
"""

import tensorflow as tf

from tltk.modalities.image.branches import choose

JPEG, PNG, GIF, BMP, WEBP, UNKNOWN = range(6)

# What each format begins with, and where. TensorFlow's decoders forgive a wrong byte in some of them, Pillow in none.
MARKS = {
    JPEG: ((0, b"\xff\xd8\xff"),),
    PNG: ((0, b"\x89PNG\r\n\x1a\n"),),
    GIF: ((0, b"GIF8"),),
    BMP: ((0, b"BM"),),
    WEBP: ((0, b"RIFF"), (8, b"WEBP")),
}
# The same as 12 bytes each, -1 for any.
_PATTERNS = [
    [next((mark[place - at] for at, mark in marks if at <= place < at + len(mark)), -1) for place in range(12)]
    for marks in MARKS.values()
]
_SEGMENT = 65_536  # EXIF is one segment of at most 64 KB, and a JPEG's first one (Exif 2.32, section 4.7.2)
_ORIENTATION_TAG = 0x0112  # TIFF 6.0, page 36
_EXIF_MARKS = {JPEG: b"Exif\x00\x00", PNG: b"eXIf", WEBP: b"EXIF"}


def bytes_at(data: tf.Tensor, position: tf.Tensor | int, count: int) -> tf.Tensor:
    """Return `count` bytes from `position` as int32; zeros where the data ends before."""
    within = tf.strings.substr(data, tf.minimum(position, tf.strings.length(data)), count)
    return tf.cast(tf.io.decode_raw(within, tf.uint8, fixed_length=count), tf.int32)


def little(values: tf.Tensor) -> tf.Tensor:
    """Combine bytes, lowest first, into one int64."""
    return tf.reduce_sum(tf.cast(values, tf.int64) * [256**place for place in range(values.shape[0])])


def big(values: tf.Tensor) -> tf.Tensor:
    """Combine bytes, highest first, into one int64."""
    return little(values[::-1])


def format_of(data: tf.Tensor) -> tf.Tensor:
    """Tell a picture's format from its first bytes; its decoder checks the rest.

    Args:
        data: string scalar, the whole file.

    Returns:
        int32 scalar: JPEG, PNG, GIF, BMP, WEBP or UNKNOWN of this module.

    Example:
        >>> int(format_of(tf.constant(b"GIF89a"))) == GIF
        True
    """
    fits = tf.reduce_all((bytes_at(data, 0, 12) == _PATTERNS) | (tf.constant(_PATTERNS) < 0), 1)
    return tf.argmax(tf.concat([fits, [True]], 0), output_type=tf.int32)


def png_size(data: tf.Tensor) -> tf.Tensor:
    """Return a PNG's [height, width] as int64."""
    head = bytes_at(data, 16, 8)
    return tf.stack([big(head[4:8]), big(head[0:4])])


def gif_size(data: tf.Tensor) -> tf.Tensor:
    """Return a GIF's [height, width] as int64."""
    head = bytes_at(data, 6, 4)
    return tf.stack([little(head[2:4]), little(head[0:2])])


def bmp_size(data: tf.Tensor) -> tf.Tensor:
    """Return a BMP's [height, width] as int64; the height of a top-down picture is negative."""
    head = bytes_at(data, 18, 8)
    height, width = little(head[4:8]), little(head[0:4])
    return tf.stack([tf.where(height >= 2**31, height - 2**32, height), width])


def webp_size(data: tf.Tensor) -> tf.Tensor:
    """Return a WebP's [height, width] as int64, whichever of its three headers it has."""
    head = bytes_at(data, 12, 18)  # begins at the first chunk's name
    extended = tf.stack([little(head[15:18]) + 1, little(head[12:15]) + 1])
    packed = little(head[9:13])  # VP8L: 14 bits of width - 1, 14 bits of height - 1
    lossless = tf.stack([(packed // 2**14) % 2**14 + 1, packed % 2**14 + 1])
    lossy = tf.stack([little(head[16:18]) % 2**14, little(head[14:16]) % 2**14])
    kind = head[3]
    return tf.where(kind == ord("X"), extended, tf.where(kind == ord("L"), lossless, lossy))


def find(data: tf.Tensor, mark: tf.Tensor | bytes) -> tf.Tensor:
    """Return where `mark` begins in `data` for the first time, or -1; int32 scalar."""
    parts = tf.raw_ops.StringSplitV2(input=[data], sep=mark, maxsplit=1).values
    return tf.where(tf.size(parts) > 1, tf.reduce_sum(tf.strings.length(parts[:1])), -1)


def exif_at(data: tf.Tensor, kind: tf.Tensor) -> tf.Tensor:
    """Return where a picture's EXIF begins, or a number below 0; int32 scalar.

    The block is searched for by its mark, not reached by walking the file: a walk is a loop in the graph, which
    costs more than all the rest. `orientation` wants a TIFF header there, so chance cannot fake one.
    """
    searched = tf.strings.substr(data, 0, tf.where(kind == JPEG, _SEGMENT, tf.int32.max))
    return find(searched, tf.gather([_EXIF_MARKS.get(number, b"no EXIF here") for number in range(6)], kind))


def orientation(data: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """Return the EXIF orientation of a picture; 1, upright, where there is none.

    Args:
        data: string scalar, the whole file.
        at: int32 scalar, what `exif_at` returned.

    Returns:
        int32 scalar in 1 … 8, as in the EXIF standard (JEITA CP-3451, section 4.6.4).
    """
    return choose(tf.cast(at < 0, tf.int32), [_exif_orientation, lambda data, at: tf.constant(1)], data, at)


def _narrow(value: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.minimum(value, 2**30), tf.int32)


def _exif_orientation(data: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """Read tag 0x0112 of the first directory of the TIFF block, which begins 4 to 14 bytes after the mark."""
    near = tf.strings.substr(data, at, 20)
    skip = tf.reduce_max(tf.stack([find(near, b"II*\x00"), find(near, b"MM\x00*"), 0]))
    block = tf.strings.substr(data, at + skip, _SEGMENT)
    magic = tf.strings.substr(block, 0, 4)
    intel = magic == b"II*\x00"

    def number(values: tf.Tensor) -> tf.Tensor:
        return tf.where(intel, little(values), big(values))

    directory = _narrow(number(bytes_at(block, 4, 4)))
    count = tf.cast(number(bytes_at(block, directory, 2)), tf.int32)
    length = tf.strings.length(block)
    first = tf.minimum(directory + 2, length)
    count = tf.minimum(count, (length - first) // 12)
    raw = tf.io.decode_raw(tf.strings.substr(block, first, count * 12), tf.uint8)
    entries = tf.cast(tf.reshape(raw, [-1, 12]), tf.int32)
    ordered = tf.where(intel, entries, tf.gather(entries, [1, 0, 2, 3, 4, 5, 6, 7, 9, 8, 10, 11], axis=1))
    is_tag = ordered[:, 0] + 256 * ordered[:, 1] == _ORIENTATION_TAG
    values = tf.boolean_mask(ordered[:, 8] + 256 * ordered[:, 9], is_tag)
    value = tf.reduce_max(tf.concat([values[:1], [1]], 0))
    return tf.where((value <= 8) & (intel | (magic == b"MM\x00*")), value, 1)
