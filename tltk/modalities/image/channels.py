"""Conversion of images between grey, RGB and RGBA."""

import tensorflow as tf

from tltk.foundation.errors import InvalidInput

GREY, RGB, RGBA = 1, 3, 4
FILE_CHANNELS = (GREY, RGB, RGBA)  # what image files are read as
NAMES = {GREY: "grey", RGB: "RGB", RGBA: "RGBA"}
LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue: ITU-R BT.601, as in Pillow


def check_channels(image_channels: int | None, channels: int) -> None:
    """Raise unless images can be converted to the number of channels that a model takes.

    Args:
        image_channels: Channels of the images; None if unknown.
        channels: Channels that the model takes.

    Raises:
        InvalidInput: If the two differ, and one of them is neither 1 (grey), 3 (RGB) nor 4 (RGBA).
    """
    if image_channels == channels or (image_channels in FILE_CHANNELS and channels in FILE_CHANNELS):
        return
    received = "an unknown number of channels" if image_channels is None else f"{image_channels} channels"
    hint = (
        "" if image_channels is None else f" Build the model for them: tltk.backbone(name, channels={image_channels})."
    )
    raise InvalidInput(
        f"the model takes images of {channels} channels, and only grey, RGB and RGBA (1, 3, 4) are converted to each "
        f"other. Received: images of {received}, as the last axis.{hint}"
    )


def convert_channels(images: tf.Tensor, channels: int, *, high: float = 255.0) -> tf.Tensor:
    """Convert images between grey, RGB and RGBA: grey is the luma of RGB, alpha is laid on white, or is opaque.

    Args:
        images: Any dtype [..., h, w, 1, 3 or 4], or already of `channels`.
        channels: Channels to convert to.
        high: Value of white and of opaque alpha.

    Returns:
        The same dtype [..., h, w, channels]; integers are rounded.

    Examples:
        >>> convert_channels(tf.constant([[[255, 0, 0]]], tf.uint8), GREY).numpy().tolist()
        [[[76]]]
    """
    if images.shape[-1] == channels:
        return images
    pixels = tf.cast(images, tf.float32)
    if images.shape[-1] == RGBA:
        alpha = pixels[..., RGB:] / high
        pixels = pixels[..., :RGB] * alpha + high * (1.0 - alpha)
    if channels == GREY and pixels.shape[-1] == RGB:
        pixels = tf.reduce_sum(pixels * tf.constant(LUMA), axis=-1, keepdims=True)
    if channels >= RGB and pixels.shape[-1] == GREY:
        pixels = tf.repeat(pixels, RGB, axis=-1)
    if channels == RGBA:
        pixels = tf.concat([pixels, tf.fill(tf.shape(pixels[..., :1]), float(high))], axis=-1)
    return tf.cast(tf.round(pixels) if images.dtype.is_integer else pixels, images.dtype)
