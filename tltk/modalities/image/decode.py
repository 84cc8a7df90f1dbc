"""Image decoder of TensorFlow graph operations, shared by training and serving."""

from collections.abc import Callable
from functools import partial

import tensorflow as tf

from tltk.modalities.image import animated, headers
from tltk.modalities.image.branches import choose
from tltk.modalities.image.channels import RGB, RGBA, convert_channels
from tltk.modalities.image.letterbox import bars, fitted_size
from tltk.specs import ImageSpec
from tltk.specs.image import MAX_PIXELS, PIXEL_RANGE

DEEP_RANGE = (0.0, 65535.0)
FILE_RANGES = (PIXEL_RANGE, DEEP_RANGE)  # of 8-bit and of 16-bit images
DECODER_VERSION = 3  # part of every cache key: increment it whenever the decoded pixels change

# Raised for bytes that cannot be decoded. Some messages of TensorFlow quote the bytes; reading such a message as UTF-8
# raises UnicodeDecodeError.
DECODING_ERRORS = (tf.errors.OpError, UnicodeDecodeError)
EMPTY = "0 bytes"
NOT_AN_IMAGE = "not a JPEG, PNG, GIF, BMP or WebP image"
WRONG_SIZE = f"no pixels, or over {MAX_PIXELS / 1e6:.1f} megapixels"
COMPRESSED_BMP = "a compressed BMP"
DAMAGED = "truncated or damaged"

_REDUCTIONS = (1, 2, 4, 8)  # scales at which libjpeg can decode
_THUMBNAIL = ImageSpec(8, 8)


def decode_image(data: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Decode an image as image viewers show it and resize it to the input size of a backbone.

    Supports JPEG (grey, CMYK, EXIF orientation), PNG (grey, palette, 16 bits, alpha on white), GIF and WebP (first
    animation frame, alpha on white), and BMP. A large JPEG is decoded at a half, a quarter or an eighth of its size,
    but never below the requested size: its DCT blocks are averaged instead of unpacked (Wallace 1991, "The JPEG still
    picture compression standard"). Averaging over boxes followed by an area resize is close to the triangle filter
    that an antialiased bilinear resize applies to the full image.

    Args:
        data: String scalar, the bytes of the file.
        spec: Size, resize mode and interpolation; `channels` must be 1 (grey: the luma of RGB), 3 (RGB) or 4 (RGBA:
            alpha is kept, and is opaque for files without it).

    Returns:
        float32 [height, width, channels], integral values in [0, 255], so that they can be cached as uint8; in
        [0, 65535] if that is the range of `spec`: all 16 bits of a PNG, and 257 times the values of other files.

    Raises:
        tf.errors.InvalidArgumentError: If the bytes are not an image or are damaged, or the image has over 89.5
            megapixels.

    Examples:
        >>> red = tf.io.encode_png(tf.fill([4, 6, 3], tf.constant(200, tf.uint8)))
        >>> decode_image(red, ImageSpec(2, 2)).shape.as_list()
        [2, 2, 3]
    """
    return tf.floor(decode_unrounded(data, spec) + 0.5)


def decode_unrounded(data: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Decode an image like `decode_image` but do not round: rounding a whole batch at once is faster.

    Args:
        data: String scalar, the bytes of the file.
        spec: Size, resize mode and interpolation.

    Returns:
        float32 [height, width, channels] in [0, 255].
    """
    image_format = headers.format_of(data)
    exif_offset = headers.find_exif(data, image_format)
    is_jpeg_without_exif = (image_format == headers.JPEG) & (exif_offset < 0)
    branches = [
        lambda data, image_format, exif_offset: _decode_any(data, image_format, exif_offset, spec),
        lambda data, image_format, exif_offset: _decode_jpeg_without_exif(data, spec),
    ]
    pixels = choose(tf.cast(is_jpeg_without_exif, tf.int32), branches, data, image_format, exif_offset)
    return tf.ensure_shape(convert_channels(pixels, spec.channels, high=spec.value_range[1]), spec.shape)


def decode_full(data: tf.Tensor) -> tf.Tensor:
    """Decode an image in its own size, as image viewers show it.

    Args:
        data: String scalar, the bytes of the file.

    Returns:
        uint8 [height, width, 3].
    """
    image_format = headers.format_of(data)
    orientation = headers.orientation(data, headers.find_exif(data, image_format))
    return _read_upright(data, image_format, orientation, tf.constant(0), ImageSpec(1, 1))


def why_undecodable(data: bytes) -> str:
    """Return why an image cannot be decoded, by trying to decode it.

    Args:
        data: The bytes of the file.

    Returns:
        The reason, such as "truncated or damaged JPEG"; "" for an image that can be decoded.

    Examples:
        >>> why_undecodable(b"<html>")
        'not a JPEG, PNG, GIF, BMP or WebP image'
    """
    if not data:
        return EMPTY
    try:
        decode_image(tf.constant(data), _THUMBNAIL)
    except DECODING_ERRORS as error:
        message = str(error)
        for reason in (NOT_AN_IMAGE, WRONG_SIZE, COMPRESSED_BMP):
            if reason in message:
                return reason
        return f"{DAMAGED} {headers.NAMES[int(headers.format_of(tf.constant(data)))]}"
    return ""


def undecodable_reasons(data: tf.Tensor) -> tf.Tensor:
    """Return, in a graph, why images could not be decoded, as far as their first bytes tell.

    Args:
        data: Strings of any shape, images that `decode_image` rejects.

    Returns:
        Strings of the same shape, such as "truncated or damaged JPEG, or over 89.5 megapixels".
    """
    limit = f"over {MAX_PIXELS / 1e6:.1f} megapixels"
    by_format = tf.constant([*(f"{DAMAGED} {name}, or {limit}" for name in headers.NAMES), NOT_AN_IMAGE])
    return tf.where(data == b"", EMPTY, tf.gather(by_format, headers.format_of(data)))


def resize(image: tf.Tensor, spec: ImageSpec, *, reduced: bool = False) -> tf.Tensor:
    """Resize one image to the size of `spec`; crop or pad it as `spec.resize` says.

    Args:
        image: uint8, uint16 or float32 [h, w, channels] in `spec.value_range`, of any number of channels.
        spec: Size, resize mode and interpolation.
        reduced: Whether the image has already been averaged over boxes, like a JPEG decoded at a reduced scale.

    Returns:
        float32 [height, width, channels] in the same range, not rounded.
    """
    image, size = _crop(image, spec)
    if reduced and spec.interpolation == "bilinear":
        resized = _resample_reduced(image, size)
    else:
        resized = _resample(image, size, spec.interpolation)
    low, high = spec.value_range
    if spec.interpolation == "bicubic":  # the only kernel that overshoots the range of the input
        resized = tf.clip_by_value(resized, low, high)
    if spec.resize == "pad":
        top_left = bars(size, spec)
        resized = tf.image.pad_to_bounding_box(resized - low, top_left[0], top_left[1], *spec.shape[:2]) + low
    return tf.ensure_shape(resized, [spec.height, spec.width, image.shape[-1]])


def _resample_reduced(image: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Resample an image that has been averaged over boxes: bilinearly by a small factor, by area otherwise.

    Up to a factor of 1.25 the two differ by less than 1 dB, and bilinear without antialiasing takes half the time.
    """
    factor = tf.reduce_max(tf.shape(image)[:2] / size)

    def bilinear() -> tf.Tensor:
        return tf.raw_ops.ResizeBilinear(images=image[None], size=size, half_pixel_centers=True)[0]

    return tf.cond(factor < 1.25, bilinear, lambda: _resample(image, size, "area"))


def _resample(image: tf.Tensor, size: tf.Tensor, interpolation: str) -> tf.Tensor:
    """Resample [h, w, channels] to float32 [*size, channels], with antialiasing."""
    batch = image[None]
    if interpolation == "nearest":
        nearest = tf.raw_ops.ResizeNearestNeighbor(images=batch, size=size, half_pixel_centers=True)[0]
        return tf.cast(nearest, tf.float32)
    if interpolation == "area":
        return tf.raw_ops.ResizeArea(images=batch, size=size)[0]
    return tf.raw_ops.ScaleAndTranslate(
        images=batch,
        size=size,
        scale=tf.cast(size, tf.float32) / tf.cast(tf.shape(image)[:2], tf.float32),
        translation=[0.0, 0.0],
        kernel_type={"bilinear": "triangle", "bicubic": "keyscubic"}[interpolation],
        antialias=True,
    )[0]


def _scale_factors(height: tf.Tensor, width: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Return the ratio of output to input pixels, float32 [vertical, horizontal]."""
    vertical = spec.height / tf.cast(height, tf.float32)
    horizontal = spec.width / tf.cast(width, tf.float32)
    if spec.resize == "stretch":
        return tf.stack([vertical, horizontal])
    if spec.resize == "crop":
        return tf.repeat(tf.maximum(vertical, horizontal) / spec.crop_fraction, 2)
    return tf.repeat(tf.minimum(vertical, horizontal), 2)


def _crop(image: tf.Tensor, spec: ImageSpec) -> tuple[tf.Tensor, tf.Tensor]:
    """Crop an image if `spec.resize` is "crop"; return it with the size to resample it to before padding."""
    target = tf.constant([spec.height, spec.width])
    if spec.resize == "stretch":
        return image, target
    shape = tf.shape(image)[:2]
    if spec.resize == "pad":
        return image, fitted_size(shape, spec)
    scale = _scale_factors(shape[0], shape[1], spec)
    crop_size = tf.clip_by_value(tf.cast(tf.round(tf.cast(target, tf.float32) / scale), tf.int32), 1, shape)
    top, left = (shape[0] - crop_size[0]) // 2, (shape[1] - crop_size[1]) // 2
    return image[top : top + crop_size[0], left : left + crop_size[1]], target


def _decode_jpeg_without_exif(data: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Decode a JPEG without EXIF, the most common kind of file, with as few operations as possible."""
    reduction = _jpeg_reduction(data, tf.constant(False), spec)
    image = convert_channels(tf.ensure_shape(_read_jpeg(data, reduction), [None, None, RGB]), _decoded_channels(spec))
    image = _of_depth(image, spec)
    return tf.cond(reduction > 0, lambda: resize(image, spec, reduced=True), lambda: resize(image, spec))


def _decode_any(data: tf.Tensor, image_format: tf.Tensor, exif_offset: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    orientation = headers.orientation(data, exif_offset)
    choose_reduction = [
        lambda data, orientation: _jpeg_reduction(data, orientation >= 5, spec),
        lambda data, orientation: tf.constant(0),
    ]
    reduction = choose(tf.cast(image_format != headers.JPEG, tf.int32), choose_reduction, data, orientation)
    image = _read_upright(data, image_format, orientation, reduction, spec)
    resize_to_spec = [lambda image: resize(image, spec), lambda image: resize(image, spec, reduced=True)]
    return choose(tf.minimum(reduction, 1), resize_to_spec, image)


def _decoded_channels(spec: ImageSpec) -> int:
    """Return the channels that files are decoded to; grey is computed after the resize, from fewer pixels."""
    return RGBA if spec.channels == RGBA else RGB


def _of_depth(image: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Convert an image of 8 bits to the range of a spec: 255 becomes 65535 in 16 bits."""
    return tf.cast(image, tf.uint16) * 257 if spec.value_range == DEEP_RANGE else image


def _read_upright(
    data: tf.Tensor, image_format: tf.Tensor, orientation: tf.Tensor, reduction: tf.Tensor, spec: ImageSpec
) -> tf.Tensor:
    # In the order of the formats in `headers`. All take the same arguments; only JPEG uses the reduction.
    readers: list[Callable[..., tf.Tensor]] = [_read_jpeg, _read_png, _read_gif, _read_bmp, _read_webp, _reject]
    channels, depth = _decoded_channels(spec), tf.uint16 if spec.value_range == DEEP_RANGE else tf.uint8
    if channels == RGBA:
        with_alpha = {_read_png: _read_png_with_alpha, _read_webp: _read_webp_with_alpha}
        readers = [with_alpha.get(reader, partial(_opaque, reader)) for reader in readers]
    if depth == tf.uint16:
        readers = [partial(_deep, reader, spec) for reader in readers]
        readers[headers.PNG] = partial(_read_png_with_alpha if channels == RGBA else _read_png, depth=depth)
    image = tf.ensure_shape(choose(image_format, readers, data, reduction), [None, None, channels])
    orient = [_turn_upright, lambda image, orientation: image]
    return choose(tf.cast(orientation == 1, tf.int32), orient, image, orientation)


def _jpeg_reduction(data: tf.Tensor, transposed: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Return the index in _REDUCTIONS of the largest reduction that keeps enough pixels for the resize."""
    shape = tf.io.extract_jpeg_shape(data)
    with tf.control_dependencies([_check_size(shape[:2])]):
        height, width = tf.where(transposed, shape[1], shape[0]), tf.where(transposed, shape[0], shape[1])
        scale = _scale_factors(height, width, spec)
    if spec.interpolation == "nearest":
        return tf.constant(0)
    margin = 2.0 if spec.interpolation == "bicubic" else 1.0  # a cubic kernel needs twice the resolution of the output
    largest = 1.0 / (tf.reduce_max(scale) * margin)
    return tf.reduce_sum(tf.cast(tf.constant([2.0, 4.0, 8.0]) <= largest * (1 + 1e-6), tf.int32))


def _read_jpeg(data: tf.Tensor, reduction: tf.Tensor) -> tf.Tensor:
    decoders = [lambda ratio=ratio: tf.io.decode_jpeg(data, channels=3, ratio=ratio) for ratio in _REDUCTIONS]
    return tf.switch_case(reduction, decoders)


def _deep(read: Callable[..., tf.Tensor], spec: ImageSpec, data: tf.Tensor, reduction: tf.Tensor) -> tf.Tensor:
    """Convert the 8-bit pixels of another reader to 16 bits."""
    return _of_depth(read(data, reduction), spec)


def _opaque(read: Callable[..., tf.Tensor], data: tf.Tensor, reduction: tf.Tensor) -> tf.Tensor:
    """Add opaque alpha to the RGB pixels of another reader."""
    return convert_channels(tf.ensure_shape(read(data, reduction), [None, None, RGB]), RGBA)


def _read_png(data: tf.Tensor, unused: tf.Tensor, depth: tf.DType = tf.uint8) -> tf.Tensor:
    pixels, is_opaque = _png_pixels(data, depth)
    return tf.cond(is_opaque, lambda: pixels[..., :3], lambda: convert_channels(pixels, RGB, high=depth.max))


def _read_png_with_alpha(data: tf.Tensor, unused: tf.Tensor, depth: tf.DType = tf.uint8) -> tf.Tensor:
    pixels, is_opaque = _png_pixels(data, depth)
    opaque = convert_channels(pixels[..., :3], RGBA, high=depth.max)
    return tf.cond(is_opaque, lambda: opaque, lambda: pixels)


def _png_pixels(data: tf.Tensor, depth: tf.DType) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the pixels of a PNG, [h, w, 4] of the dtype `depth`, and whether all of them are opaque."""
    with tf.control_dependencies([_check_size(headers.png_size(data))]):
        pixels = tf.ensure_shape(tf.io.decode_png(data, channels=4, dtype=depth), [None, None, RGBA])
    # Below 8 bits per channel, TensorFlow fills a missing alpha with the largest value of that depth, not with 255.
    opaque_alpha = (2 ** tf.minimum(headers.bytes_at(data, 24, 1)[0], 8) - 1) * (depth.max // 255)
    return pixels, tf.reduce_all(tf.cast(pixels[..., 3], tf.int32) == opaque_alpha)


def _read_webp(data: tf.Tensor, unused: tf.Tensor) -> tf.Tensor:
    pixels = _webp_pixels(data)
    image = tf.cond(
        tf.shape(pixels)[2] == 4,
        lambda: convert_channels(tf.ensure_shape(pixels, [None, None, RGBA]), RGB),
        lambda: pixels[..., :3],
    )
    return tf.ensure_shape(image, [None, None, 3])


def _read_webp_with_alpha(data: tf.Tensor, unused: tf.Tensor) -> tf.Tensor:
    pixels = _webp_pixels(data)
    image = tf.cond(
        tf.shape(pixels)[2] == RGBA,
        lambda: tf.ensure_shape(pixels, [None, None, RGBA]),
        lambda: convert_channels(tf.ensure_shape(pixels[..., :RGB], [None, None, RGB]), RGBA),
    )
    return tf.ensure_shape(image, [None, None, RGBA])


def _webp_pixels(data: tf.Tensor) -> tf.Tensor:
    """Return the first frame of a WebP, uint8 [h, w, 3 or 4]."""
    with tf.control_dependencies([_check_size(headers.webp_size(data))]):
        still = animated.still_webp(data)
    # decode_webp accepts only the number of channels of the file, and returns [frames, h, w, channels].
    return tf.io.decode_webp(still, channels=0)[0]


def _read_gif(data: tf.Tensor, unused: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([_check_size(headers.gif_size(data))]):
        still = animated.still_gif(data)
    with tf.control_dependencies([_require(tf.reduce_all(still.size > 0), DAMAGED), _check_size(still.size)]):
        opaque = animated.opaque_gif(still.data)
    image = tf.io.decode_image(opaque, channels=3, expand_animations=False)
    return tf.ensure_shape(image, [None, None, 3])


def _read_bmp(data: tf.Tensor, unused: tf.Tensor) -> tf.Tensor:
    size = headers.bmp_size(data)
    with tf.control_dependencies([_check_size(tf.abs(size))]):
        depth = headers.bytes_at(data, 28, 1)[0]
    pixels = tf.cond(
        depth <= 8,
        lambda: _palette_bmp(data, tf.cast(size, tf.int32), depth),
        lambda: tf.io.decode_bmp(data, channels=0)[..., :3],  # the fourth byte of a pixel is padding
    )
    return tf.ensure_shape(pixels, [None, None, 3])


def _palette_bmp(data: tf.Tensor, size: tf.Tensor, depth: tf.Tensor) -> tf.Tensor:
    """Decode 1, 4 or 8 bits per pixel with the palette, which TensorFlow's decoder ignores."""
    header = headers.bytes_at(data, 0, 50)
    compression = headers.little_endian(header[30:34])
    is_supported = (compression == 0) & tf.reduce_any(depth == [1, 4, 8])
    with tf.control_dependencies([_require(is_supported, COMPRESSED_BMP)]):
        size = tf.identity(size)
    height, width = tf.abs(size[0]), size[1]
    stride = (width * depth + 31) // 32 * 4
    start = tf.cast(headers.little_endian(header[10:14]), tf.int32)
    pixel_bytes = tf.io.decode_raw(tf.strings.substr(data, start, height * stride), tf.uint8)
    rows = tf.cast(tf.reshape(pixel_bytes, tf.stack([height, stride])), tf.int32)
    pixels_per_byte = 8 // depth
    shifts = depth * tf.range(pixels_per_byte - 1, -1, -1)
    padded_shape = tf.stack([height, stride * pixels_per_byte])
    indices = tf.reshape((rows[..., None] // 2**shifts) % 2**depth, padded_shape)[:, :width]
    palette_start = 14 + tf.cast(headers.little_endian(header[14:18]), tf.int32)
    colours = tf.io.decode_raw(tf.strings.substr(data, palette_start, start - palette_start), tf.uint8)
    palette = tf.reshape(colours[: tf.size(colours) // 4 * 4], [-1, 4])[:, 2::-1]
    image = tf.gather(palette, indices)
    return tf.cond(size[0] > 0, lambda: image[::-1], lambda: image)


def _turn_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Undo an EXIF orientation (1 … 8)."""
    upright = tf.cond(orientation >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    is_mirrored = tf.reduce_any(orientation == [2, 3, 6, 7])
    upright = tf.cond(is_mirrored, lambda: upright[:, ::-1], lambda: upright)
    is_upside_down = tf.reduce_any(orientation == [3, 4, 7, 8])
    return tf.cond(is_upside_down, lambda: upright[::-1], lambda: upright)


def _check_size(size: tf.Tensor) -> tf.Operation | None:
    """Require 1 to MAX_PIXELS pixels, before memory for them is allocated."""
    pixels = tf.reduce_prod(tf.cast(size, tf.float32))  # the decoder rejects negative sides
    return _require((pixels > 0) & (pixels <= MAX_PIXELS), WRONG_SIZE)


def _require(condition: tf.Tensor, message: str) -> tf.Operation | None:
    if tf.executing_eagerly():
        return tf.debugging.Assert(condition, [message])
    return tf.raw_ops.Assert(condition=condition, data=[message])  # one node; tf.debugging.Assert adds a branch


def _reject(data: tf.Tensor, unused: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([_require(tf.constant(False), NOT_AN_IMAGE)]):
        return tf.zeros([1, 1, 3], tf.uint8)
