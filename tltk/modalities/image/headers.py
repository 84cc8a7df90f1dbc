"""Reading of image headers in TensorFlow graph operations: format, size and EXIF orientation.

All functions run inside tf.data and inside an exported SavedModel, so they use no Python control flow on values.
"""

import tensorflow as tf

from tltk.modalities.image.branches import choose

JPEG, PNG, GIF, BMP, WEBP, UNKNOWN = range(6)
NAMES = ("JPEG", "PNG", "GIF", "BMP", "WebP")

# Each format with the (offset, bytes) that its files begin with: exactly what Pillow checks. TensorFlow's own decoders
# accept files in which some of these bytes are wrong.
SIGNATURES = (
    (JPEG, ((0, b"\xff\xd8\xff"),)),
    (PNG, ((0, b"\x89PNG\r\n\x1a\n"),)),
    (GIF, ((0, b"GIF87a"),)),
    (GIF, ((0, b"GIF89a"),)),
    (BMP, ((0, b"BM"),)),
    (WEBP, ((0, b"RIFF"), (8, b"WEBPVP8 "))),
    (WEBP, ((0, b"RIFF"), (8, b"WEBPVP8L"))),
    (WEBP, ((0, b"RIFF"), (8, b"WEBPVP8X"))),
)
_SIGNATURE_BYTES = 16
# Each signature as 16 byte values, -1 where any byte is accepted.
_PATTERNS = [
    [
        next((part[at - start] for start, part in parts if start <= at < start + len(part)), -1)
        for at in range(_SIGNATURE_BYTES)
    ]
    for _, parts in SIGNATURES
]
_SEGMENT = 65_536  # EXIF is one segment of at most 64 KB, and a JPEG's first one (Exif 2.32, section 4.7.2)
_ORIENTATION_TAG = 0x0112  # TIFF 6.0, page 36
_EXIF_MARKERS = {JPEG: b"Exif\x00\x00", PNG: b"eXIf", WEBP: b"EXIF"}


def bytes_at(data: tf.Tensor, position: tf.Tensor | int, count: int) -> tf.Tensor:
    """Return `count` bytes from `position` as int32, padded with zeros if `data` ends before."""
    substring = tf.strings.substr(data, tf.minimum(position, tf.strings.length(data)), count)
    return tf.cast(tf.io.decode_raw(substring, tf.uint8, fixed_length=count), tf.int32)


def little_endian(values: tf.Tensor) -> tf.Tensor:
    """Combine little-endian bytes into one int64."""
    return tf.reduce_sum(tf.cast(values, tf.int64) * [256**place for place in range(values.shape[0])])


def big_endian(values: tf.Tensor) -> tf.Tensor:
    """Combine big-endian bytes into one int64."""
    return little_endian(values[::-1])


def format_of(data: tf.Tensor) -> tf.Tensor:
    """Return the format of images, recognized by their first bytes; the decoders check the rest.

    Args:
        data: Strings of any shape, whole files or at least their first 16 bytes.

    Returns:
        int32 of the same shape: one of JPEG, PNG, GIF, BMP, WEBP and UNKNOWN of this module.

    Examples:
        >>> int(format_of(tf.constant(b"GIF89a"))) == GIF
        True
    """
    header = tf.io.decode_raw(tf.strings.substr(data, 0, _SIGNATURE_BYTES), tf.uint8, fixed_length=_SIGNATURE_BYTES)
    patterns = tf.constant(_PATTERNS)
    matches = tf.reduce_all((tf.cast(header, tf.int32)[..., None, :] == patterns) | (patterns < 0), -1)
    formats = tf.constant([image_format for image_format, _ in SIGNATURES])
    return tf.reduce_min(tf.where(matches, formats, UNKNOWN), -1)


def png_size(data: tf.Tensor) -> tf.Tensor:
    """Return [height, width] of a PNG, int64."""
    header = bytes_at(data, 16, 8)
    return tf.stack([big_endian(header[4:8]), big_endian(header[0:4])])


def gif_size(data: tf.Tensor) -> tf.Tensor:
    """Return [height, width] of a GIF, int64."""
    header = bytes_at(data, 6, 4)
    return tf.stack([little_endian(header[2:4]), little_endian(header[0:2])])


def bmp_size(data: tf.Tensor) -> tf.Tensor:
    """Return [height, width] of a BMP, int64; the height is negative if the top row is stored first."""
    header = bytes_at(data, 18, 8)
    height, width = little_endian(header[4:8]), little_endian(header[0:4])
    return tf.stack([tf.where(height >= 2**31, height - 2**32, height), width])


def webp_size(data: tf.Tensor) -> tf.Tensor:
    """Return [height, width] of a WebP with any of its three headers (RFC 9649), int64."""
    header = bytes_at(data, 12, 18)  # from the name of the first chunk
    extended = tf.stack([little_endian(header[15:18]) + 1, little_endian(header[12:15]) + 1])
    packed = little_endian(header[9:13])  # VP8L: 14 bits of width - 1, 14 bits of height - 1
    lossless = tf.stack([(packed // 2**14) % 2**14 + 1, packed % 2**14 + 1])
    lossy = tf.stack([little_endian(header[16:18]) % 2**14, little_endian(header[14:16]) % 2**14])
    variant = header[3]
    return tf.where(variant == ord("X"), extended, tf.where(variant == ord("L"), lossless, lossy))


def find(data: tf.Tensor, pattern: tf.Tensor | bytes) -> tf.Tensor:
    """Return the offset of the first `pattern` in `data`, or -1; int32 scalar."""
    parts = tf.raw_ops.StringSplitV2(input=[data], sep=pattern, maxsplit=1).values
    return tf.where(tf.size(parts) > 1, tf.reduce_sum(tf.strings.length(parts[:1])), -1)


def find_exif(data: tf.Tensor, image_format: tf.Tensor) -> tf.Tensor:
    """Return the offset of an image's EXIF block, or a negative number; int32 scalar.

    The marker of the block is searched for as a string, because a loop over the segments of the file would take most
    of the time in this graph. `orientation` ignores a marker that no TIFF header follows, such as one in other data.
    """
    searched = tf.strings.substr(data, 0, tf.where(image_format == JPEG, _SEGMENT, tf.int32.max))
    markers = [_EXIF_MARKERS.get(number, b"no EXIF") for number in range(6)]
    return find(searched, tf.gather(markers, image_format))


def orientation(data: tf.Tensor, exif_offset: tf.Tensor) -> tf.Tensor:
    """Return the EXIF orientation of an image; 1, which means upright, if it has none.

    Args:
        data: String scalar, the bytes of the file.
        exif_offset: int32 scalar, the result of `find_exif`.

    Returns:
        int32 scalar in 1 … 8, as in the EXIF standard (JEITA CP-3451, section 4.6.4).
    """
    branches = [_exif_orientation, lambda data, exif_offset: tf.constant(1)]
    return choose(tf.cast(exif_offset < 0, tf.int32), branches, data, exif_offset)


def _clamp_to_int32(value: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.minimum(value, 2**30), tf.int32)  # room for offsets to be added without overflow


def _exif_orientation(data: tf.Tensor, exif_offset: tf.Tensor) -> tf.Tensor:
    """Read tag 0x0112 in the first directory of the TIFF block, which begins 4 to 14 bytes after the marker."""
    beginning = tf.strings.substr(data, exif_offset, 20)
    skip = tf.reduce_max(tf.stack([find(beginning, b"II*\x00"), find(beginning, b"MM\x00*"), 0]))
    block = tf.strings.substr(data, exif_offset + skip, _SEGMENT)
    byte_order = tf.strings.substr(block, 0, 4)
    is_little_endian = byte_order == b"II*\x00"

    def integer(values: tf.Tensor) -> tf.Tensor:
        return tf.where(is_little_endian, little_endian(values), big_endian(values))

    directory = _clamp_to_int32(integer(bytes_at(block, 4, 4)))
    count = tf.cast(integer(bytes_at(block, directory, 2)), tf.int32)
    length = tf.strings.length(block)
    first = tf.minimum(directory + 2, length)
    count = tf.minimum(count, (length - first) // 12)
    entry_bytes = tf.io.decode_raw(tf.strings.substr(block, first, count * 12), tf.uint8)
    entries = tf.cast(tf.reshape(entry_bytes, [-1, 12]), tf.int32)
    swapped = tf.gather(entries, [1, 0, 2, 3, 4, 5, 6, 7, 9, 8, 10, 11], axis=1)
    entries = tf.where(is_little_endian, entries, swapped)
    is_orientation = entries[:, 0] + 256 * entries[:, 1] == _ORIENTATION_TAG
    values = tf.boolean_mask(entries[:, 8] + 256 * entries[:, 9], is_orientation)
    value = tf.reduce_max(tf.concat([values[:1], [1]], 0))
    return tf.where((value <= 8) & (is_little_endian | (byte_order == b"MM\x00*")), value, 1)
