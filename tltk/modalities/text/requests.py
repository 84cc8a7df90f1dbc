"""Validation of text requests, in a graph."""

import tensorflow as tf

_BLANK = r"[\t-\r\x1c-\x20\x{85}\p{Z}]*"  # what Python's str.strip takes off


def readable(*columns: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Tell which texts, or pairs of them, can be read: UTF-8 that is not blank.

    Args:
        columns: string [batch] each.

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
