"""Decode images in TensorFlow graph operations: the one decoder, for training and for serving."""

import tensorflow as tf

from tltk.modalities.image import animated, headers
from tltk.modalities.image.branches import choose
from tltk.specs import ImageSpec

MAX_PIXELS = 89_478_485  # Pillow's limit: a quarter of a gigabyte of RGB
DECODER_VERSION = 2  # part of every cache's key: raise it when the pixels that come out change

# Raised for bytes that cannot be decoded. TensorFlow quotes them in some messages, and fails to decode its own message.
DECODING_ERRORS = (tf.errors.OpError, UnicodeDecodeError)
EMPTY = "0 bytes"
NOT_AN_IMAGE = "not a JPEG, PNG, GIF, BMP or WebP image"
WRONG_SIZE = f"no pixels, or over {MAX_PIXELS / 1e6:.1f} megapixels"
COMPRESSED_BMP = "a compressed BMP"
DAMAGED = "truncated or damaged"

_REDUCTIONS = (1, 2, 4, 8)  # scales at which libjpeg can decode
_THUMBNAIL = ImageSpec(8, 8)


def decode_image(data: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Decode an image as a viewer shows it and resize it to the input size of a backbone.

    JPEG (grey, CMYK, EXIF orientation), PNG (grey, palette, 16 bits, alpha on white), GIF and WebP (first
    animation frame, alpha on white), BMP. A large JPEG is decoded at a half, a quarter or an eighth of its size,
    never below the requested size: its DCT blocks are averaged instead of unpacked (Wallace 1991, "The JPEG still
    picture compression standard"), and the average over a box followed by an area resize is close to the
    triangle filter that the antialiased bilinear resize applies to the full image.

    Args:
        data: string scalar, the bytes of the file.
        spec: size, resize and interpolation; `channels` must be 3.

    Returns:
        float32 [height, width, 3], whole numbers in [0, 255], so that they can be cached as uint8 without loss.

    Raises:
        tf.errors.InvalidArgumentError: If the bytes are not an image, are damaged, or have over 89.5 megapixels.

    Example:
        >>> red = tf.io.encode_png(tf.fill([4, 6, 3], tf.constant(200, tf.uint8)))
        >>> decode_image(red, ImageSpec(2, 2)).shape.as_list()
        [2, 2, 3]
    """
    return tf.floor(decode_unrounded(data, spec) + 0.5)


def decode_unrounded(data: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Decode an image like `decode_image`, without rounding, which the caller does for a batch at once.

    Args:
        data: string scalar, the bytes of the file.
        spec: size, resize and interpolation.

    Returns:
        float32 [height, width, 3] in [0, 255].
    """
    format_ = headers.format_of(data)
    exif = headers.exif_at(data, format_)
    is_common = (format_ == headers.JPEG) & (exif < 0)
    branches = [
        lambda data, format_, exif: _decode_any(data, format_, exif, spec),
        lambda data, format_, exif: _decode_upright_jpeg(data, spec),
    ]
    return tf.ensure_shape(choose(tf.cast(is_common, tf.int32), branches, data, format_, exif), spec.shape)


def why_undecodable(data: bytes) -> str:
    """Decode an image and say what is wrong with it.

    Args:
        data: The bytes of the file.

    Returns:
        The reason in plain English, such as "truncated or damaged JPEG"; "" for an image that can be decoded.

    Example:
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
    """Say in a graph why images could not be decoded, as far as their first bytes tell.

    Args:
        data: strings of any shape, images that `decode_image` refuses.

    Returns:
        strings of the same shape, such as "truncated or damaged JPEG, or over 89.5 megapixels".
    """
    limit = f"over {MAX_PIXELS / 1e6:.1f} megapixels"
    by_format = tf.constant([*(f"{DAMAGED} {name}, or {limit}" for name in headers.NAMES), NOT_AN_IMAGE])
    return tf.where(data == b"", EMPTY, tf.gather(by_format, headers.format_of(data)))


def resize(image: tf.Tensor, spec: ImageSpec, *, reduced: bool = False) -> tf.Tensor:
    """Resize one image to the size of `spec`, with its cropping or padding.

    Args:
        image: uint8 or float32 [h, w, 3] in [0, 255].
        spec: size, resize and interpolation.
        reduced: Whether the image has been averaged over boxes already, as a JPEG decoded at a reduced scale.

    Returns:
        float32 [height, width, 3] in [0, 255], not rounded.
    """
    image, size = _fit(image, spec)
    if reduced and spec.interpolation == "bilinear":
        scaled = _finish_reduced(image, size)
    else:
        scaled = _scaled(image, size, spec.interpolation)
    if spec.resize == "pad":
        above, left = (spec.height - size[0]) // 2, (spec.width - size[1]) // 2
        scaled = tf.image.pad_to_bounding_box(scaled, above, left, spec.height, spec.width)
    return tf.ensure_shape(scaled, spec.shape)


def _finish_reduced(image: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Scale an image that has been averaged over boxes: bilinearly by a small factor, by area otherwise.

    Up to a factor of 1.25 the two differ by less than 1 dB, and two taps take half the time.
    """
    remaining = tf.reduce_max(tf.shape(image)[:2] / size)

    def two_taps() -> tf.Tensor:
        return tf.raw_ops.ResizeBilinear(images=image[None], size=size, half_pixel_centers=True)[0]

    return tf.cond(remaining < 1.25, two_taps, lambda: _scaled(image, size, "area"))


def _scaled(image: tf.Tensor, size: tf.Tensor, method: str) -> tf.Tensor:
    """Scale [h, w, 3] to float32 [*size, 3], with antialiasing."""
    batch = image[None]
    if method == "nearest":
        nearest = tf.raw_ops.ResizeNearestNeighbor(images=batch, size=size, half_pixel_centers=True)[0]
        return tf.cast(nearest, tf.float32)
    if method == "area":
        return tf.raw_ops.ResizeArea(images=batch, size=size)[0]
    scaled = tf.raw_ops.ScaleAndTranslate(
        images=batch,
        size=size,
        scale=tf.cast(size, tf.float32) / tf.cast(tf.shape(image)[:2], tf.float32),
        translation=[0.0, 0.0],
        kernel_type={"bilinear": "triangle", "bicubic": "keyscubic"}[method],
        antialias=True,
    )[0]
    return tf.clip_by_value(scaled, 0.0, 255.0) if method == "bicubic" else scaled  # the only one that overshoots


def _scale(height: tf.Tensor, width: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Return output pixels for each input pixel, [vertical, horizontal]."""
    vertical = spec.height / tf.cast(height, tf.float32)
    horizontal = spec.width / tf.cast(width, tf.float32)
    if spec.resize == "stretch":
        return tf.stack([vertical, horizontal])
    if spec.resize == "crop":
        return tf.repeat(tf.maximum(vertical, horizontal) / spec.crop_fraction, 2)
    return tf.repeat(tf.minimum(vertical, horizontal), 2)


def _fit(image: tf.Tensor, spec: ImageSpec) -> tuple[tf.Tensor, tf.Tensor]:
    """Crop an image as `spec` says, and return it with the size it is scaled to before padding."""
    target = tf.constant([spec.height, spec.width])
    if spec.resize == "stretch":
        return image, target
    shape = tf.shape(image)[:2]
    scale = _scale(shape[0], shape[1], spec)
    if spec.resize == "pad":
        return image, tf.clip_by_value(tf.cast(tf.round(tf.cast(shape, tf.float32) * scale), tf.int32), 1, target)
    kept = tf.clip_by_value(tf.cast(tf.round(tf.cast(target, tf.float32) / scale), tf.int32), 1, shape)
    start = (shape - kept) // 2
    return image[start[0] : start[0] + kept[0], start[1] : start[1] + kept[1]], target


def _decode_upright_jpeg(data: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Decode a JPEG without EXIF, the most common file, with as few operations as possible."""
    reduction = _jpeg_reduction(data, tf.constant(False), spec)
    image = tf.ensure_shape(_read_jpeg(data, reduction), [None, None, 3])
    return tf.cond(reduction > 0, lambda: resize(image, spec, reduced=True), lambda: resize(image, spec))


def _decode_any(data: tf.Tensor, format_: tf.Tensor, exif: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    orientation = headers.orientation(data, exif)
    reductions = [
        lambda data, orientation: _jpeg_reduction(data, orientation >= 5, spec),
        lambda data, orientation: tf.constant(0),
    ]
    reduction = choose(tf.cast(format_ != headers.JPEG, tf.int32), reductions, data, orientation)
    readers = [_read_jpeg, _read_png, _read_gif, _read_bmp, _read_webp, _refuse]  # in the order of headers' numbers
    image = tf.ensure_shape(choose(format_, readers, data, reduction), [None, None, 3])
    turns = [_turn_upright, lambda image, orientation: image]
    image = choose(tf.cast(orientation == 1, tf.int32), turns, image, orientation)
    kernels = [lambda image: resize(image, spec), lambda image: resize(image, spec, reduced=True)]
    return choose(tf.minimum(reduction, 1), kernels, image)


def _jpeg_reduction(data: tf.Tensor, transposed: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Choose the largest reduction that leaves at least the pixels that the resize needs: an index in _REDUCTIONS."""
    shape = tf.io.extract_jpeg_shape(data)
    with tf.control_dependencies([_check_size(shape[:2])]):
        height, width = tf.where(transposed, shape[1], shape[0]), tf.where(transposed, shape[0], shape[1])
        scale = _scale(height, width, spec)
    if spec.interpolation == "nearest":
        return tf.constant(0)
    margin = 2.0 if spec.interpolation == "bicubic" else 1.0  # a cubic kernel needs detail above the output's own
    largest = 1.0 / (tf.reduce_max(scale) * margin)
    return tf.reduce_sum(tf.cast(tf.constant([2.0, 4.0, 8.0]) <= largest * (1 + 1e-6), tf.int32))


def _read_jpeg(data: tf.Tensor, reduction: tf.Tensor) -> tf.Tensor:
    ratios = [lambda ratio=ratio: tf.io.decode_jpeg(data, channels=3, ratio=ratio) for ratio in _REDUCTIONS]
    return tf.switch_case(reduction, ratios)


def _read_png(data: tf.Tensor, unused: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([_check_size(headers.png_size(data))]):
        pixels = tf.io.decode_png(data, channels=4)
    # Below 8 bits a pixel TensorFlow fills a missing alpha with the largest value of that depth, not with 255.
    opaque = 2 ** tf.minimum(headers.bytes_at(data, 24, 1)[0], 8) - 1
    is_opaque = tf.reduce_all(tf.cast(pixels[..., 3], tf.int32) == opaque)
    return tf.cond(is_opaque, lambda: pixels[..., :3], lambda: _on_white(pixels))


def _read_webp(data: tf.Tensor, unused: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([_check_size(headers.webp_size(data))]):
        still = animated.still_webp(data)
    # decode_webp accepts only the number of channels that the file has, and returns [frames, h, w, channels]
    pixels = tf.io.decode_webp(still, channels=0)[0]
    image = tf.cond(
        tf.shape(pixels)[2] == 4, lambda: _on_white(tf.ensure_shape(pixels, [None, None, 4])), lambda: pixels[..., :3]
    )
    return tf.ensure_shape(image, [None, None, 3])


def _read_gif(data: tf.Tensor, unused: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([_check_size(headers.gif_size(data))]):
        opaque = animated.white_gif(data)
    image = tf.io.decode_image(opaque, channels=3, expand_animations=False)
    return tf.ensure_shape(image, [None, None, 3])


def _read_bmp(data: tf.Tensor, unused: tf.Tensor) -> tf.Tensor:
    size = headers.bmp_size(data)
    with tf.control_dependencies([_check_size(tf.abs(size))]):
        depth = headers.bytes_at(data, 28, 1)[0]
    pixels = tf.cond(
        depth <= 8,
        lambda: _palette_bmp(data, tf.cast(size, tf.int32), depth),
        lambda: tf.io.decode_bmp(data, channels=0)[..., :3],  # a fourth byte is padding
    )
    return tf.ensure_shape(pixels, [None, None, 3])


def _palette_bmp(data: tf.Tensor, size: tf.Tensor, depth: tf.Tensor) -> tf.Tensor:
    """Decode 1, 4 or 8 bits a pixel through the palette, which TensorFlow's decoder ignores."""
    head = headers.bytes_at(data, 0, 50)
    compression = headers.little(head[30:34])
    is_supported = (compression == 0) & tf.reduce_any(depth == [1, 4, 8])
    with tf.control_dependencies([_require(is_supported, COMPRESSED_BMP)]):
        size = tf.identity(size)
    height, width = tf.abs(size[0]), size[1]
    stride = (width * depth + 31) // 32 * 4
    start = tf.cast(headers.little(head[10:14]), tf.int32)
    raw = tf.io.decode_raw(tf.strings.substr(data, start, height * stride), tf.uint8)
    rows = tf.cast(tf.reshape(raw, tf.stack([height, stride])), tf.int32)
    per_byte = 8 // depth
    shifts = depth * tf.range(per_byte - 1, -1, -1)
    indices = tf.reshape((rows[..., None] // 2**shifts) % 2**depth, tf.stack([height, stride * per_byte]))[:, :width]
    palette_start = 14 + tf.cast(headers.little(head[14:18]), tf.int32)
    colours = tf.io.decode_raw(tf.strings.substr(data, palette_start, start - palette_start), tf.uint8)
    palette = tf.reshape(colours[: tf.size(colours) // 4 * 4], [-1, 4])[:, 2::-1]
    image = tf.gather(palette, indices)
    return tf.cond(size[0] > 0, lambda: image[::-1], lambda: image)


def _on_white(pixels: tf.Tensor) -> tf.Tensor:
    """Compose uint8 [h, w, 4] on a white background, as viewers do."""
    alpha = tf.cast(pixels[..., 3:], tf.float32) / 255.0
    return tf.cast(tf.round(tf.cast(pixels[..., :3], tf.float32) * alpha + 255.0 * (1.0 - alpha)), tf.uint8)


def _turn_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Undo an EXIF orientation (1 … 8)."""
    upright = tf.cond(orientation >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    mirrored = tf.reduce_any(orientation == [2, 3, 6, 7])
    upright = tf.cond(mirrored, lambda: upright[:, ::-1], lambda: upright)
    upside_down = tf.reduce_any(orientation == [3, 4, 7, 8])
    return tf.cond(upside_down, lambda: upright[::-1], lambda: upright)


def _check_size(size: tf.Tensor) -> tf.Operation | None:
    """Require a size between one pixel and MAX_PIXELS, before anything of that size is allocated."""
    pixels = tf.reduce_prod(tf.cast(size, tf.float32))  # a negative side is an error of its decoder
    return _require((pixels > 0) & (pixels <= MAX_PIXELS), WRONG_SIZE)


def _require(condition: tf.Tensor, message: str) -> tf.Operation | None:
    if tf.executing_eagerly():
        return tf.debugging.Assert(condition, [message])
    return tf.raw_ops.Assert(condition=condition, data=[message])  # one node; tf.debugging.Assert makes a branch


def _refuse(data: tf.Tensor, unused: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([_require(tf.constant(False), NOT_AN_IMAGE)]):
        return tf.zeros([1, 1, 3], tf.uint8)
