"""Read the header of an image in TensorFlow graph operations: its format, its size, its EXIF orientation.

Everything here runs inside tf.data and inside an exported SavedModel, so there is no Python in it.
"""

import tensorflow as tf

from tltk.modalities.image.branches import choose

JPEG, PNG, GIF, BMP, WEBP, UNKNOWN = range(6)
NAMES = ("JPEG", "PNG", "GIF", "BMP", "WebP")

# Format, and the bytes at offsets that a file of it begins with: all that Pillow asks for, and no less. TensorFlow's
# own decoders accept files with wrong bytes in some of these places.
MARKS = (
    (JPEG, ((0, b"\xff\xd8\xff"),)),
    (PNG, ((0, b"\x89PNG\r\n\x1a\n"),)),
    (GIF, ((0, b"GIF87a"),)),
    (GIF, ((0, b"GIF89a"),)),
    (BMP, ((0, b"BM"),)),
    (WEBP, ((0, b"RIFF"), (8, b"WEBPVP8 "))),
    (WEBP, ((0, b"RIFF"), (8, b"WEBPVP8L"))),
    (WEBP, ((0, b"RIFF"), (8, b"WEBPVP8X"))),
)
_MARK_BYTES = 16
# The same as 16 bytes each, -1 for any byte.
_PATTERNS = [
    [
        next((mark[at - start] for start, mark in marks if start <= at < start + len(mark)), -1)
        for at in range(_MARK_BYTES)
    ]
    for _, marks in MARKS
]
_SEGMENT = 65_536  # EXIF is one segment of at most 64 KB, and a JPEG's first one (Exif 2.32, section 4.7.2)
_ORIENTATION_TAG = 0x0112  # TIFF 6.0, page 36
_EXIF_MARKS = {JPEG: b"Exif\x00\x00", PNG: b"eXIf", WEBP: b"EXIF"}


def bytes_at(data: tf.Tensor, position: tf.Tensor | int, count: int) -> tf.Tensor:
    """Return `count` bytes from `position` as int32; zeros where the data ends before."""
    within = tf.strings.substr(data, tf.minimum(position, tf.strings.length(data)), count)
    return tf.cast(tf.io.decode_raw(within, tf.uint8, fixed_length=count), tf.int32)


def little(values: tf.Tensor) -> tf.Tensor:
    """Combine little-endian bytes into one int64."""
    return tf.reduce_sum(tf.cast(values, tf.int64) * [256**place for place in range(values.shape[0])])


def big(values: tf.Tensor) -> tf.Tensor:
    """Combine big-endian bytes into one int64."""
    return little(values[::-1])


def format_of(data: tf.Tensor) -> tf.Tensor:
    """Tell the format of images from their first bytes; the decoders check the rest.

    Args:
        data: strings of any shape, whole files or at least their first 16 bytes.

    Returns:
        int32 of the same shape: JPEG, PNG, GIF, BMP, WEBP or UNKNOWN of this module.

    Example:
        >>> int(format_of(tf.constant(b"GIF89a"))) == GIF
        True
    """
    head = tf.io.decode_raw(tf.strings.substr(data, 0, _MARK_BYTES), tf.uint8, fixed_length=_MARK_BYTES)
    patterns = tf.constant(_PATTERNS)
    fits = tf.reduce_all((tf.cast(head, tf.int32)[..., None, :] == patterns) | (patterns < 0), -1)
    formats = tf.constant([number for number, _ in MARKS])
    return tf.reduce_min(tf.where(fits, formats, UNKNOWN), -1)


def png_size(data: tf.Tensor) -> tf.Tensor:
    """Return [height, width] of a PNG, int64."""
    head = bytes_at(data, 16, 8)
    return tf.stack([big(head[4:8]), big(head[0:4])])


def gif_size(data: tf.Tensor) -> tf.Tensor:
    """Return [height, width] of a GIF, int64."""
    head = bytes_at(data, 6, 4)
    return tf.stack([little(head[2:4]), little(head[0:2])])


def bmp_size(data: tf.Tensor) -> tf.Tensor:
    """Return [height, width] of a BMP, int64; the height is negative if rows are stored from the top."""
    head = bytes_at(data, 18, 8)
    height, width = little(head[4:8]), little(head[0:4])
    return tf.stack([tf.where(height >= 2**31, height - 2**32, height), width])


def webp_size(data: tf.Tensor) -> tf.Tensor:
    """Return [height, width] of a WebP with any of its three headers (RFC 9649), int64."""
    head = bytes_at(data, 12, 18)  # from the name of the first chunk
    extended = tf.stack([little(head[15:18]) + 1, little(head[12:15]) + 1])
    packed = little(head[9:13])  # VP8L: 14 bits of width - 1, 14 bits of height - 1
    lossless = tf.stack([(packed // 2**14) % 2**14 + 1, packed % 2**14 + 1])
    lossy = tf.stack([little(head[16:18]) % 2**14, little(head[14:16]) % 2**14])
    variant = head[3]
    return tf.where(variant == ord("X"), extended, tf.where(variant == ord("L"), lossless, lossy))


def find(data: tf.Tensor, mark: tf.Tensor | bytes) -> tf.Tensor:
    """Return the offset of the first `mark` in `data`, or -1; int32 scalar."""
    parts = tf.raw_ops.StringSplitV2(input=[data], sep=mark, maxsplit=1).values
    return tf.where(tf.size(parts) > 1, tf.reduce_sum(tf.strings.length(parts[:1])), -1)


def exif_at(data: tf.Tensor, format_: tf.Tensor) -> tf.Tensor:
    """Return the offset of an image's EXIF block, or a negative number; int32 scalar.

    The block is searched for by its mark instead of walking the segments of the file: a loop in the graph costs more
    than all the rest. `orientation` requires a TIFF header there, so that the mark cannot occur by chance.
    """
    searched = tf.strings.substr(data, 0, tf.where(format_ == JPEG, _SEGMENT, tf.int32.max))
    return find(searched, tf.gather([_EXIF_MARKS.get(number, b"no EXIF") for number in range(6)], format_))


def orientation(data: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """Return the EXIF orientation of an image; 1, upright, if it has none.

    Args:
        data: string scalar, the whole file.
        at: int32 scalar, offset returned by `exif_at`.

    Returns:
        int32 scalar in 1 … 8, as in the EXIF standard (JEITA CP-3451, section 4.6.4).
    """
    return choose(tf.cast(at < 0, tf.int32), [_exif_orientation, lambda data, at: tf.constant(1)], data, at)


def _narrow(value: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.minimum(value, 2**30), tf.int32)


def _exif_orientation(data: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """Read tag 0x0112 in the first directory of the TIFF block, which begins 4 to 14 bytes after the mark."""
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
