"""Validation of text requests, in a graph."""

import tensorflow as tf

_BLANK = r"[\t-\r\x1c-\x20\x{85}\p{Z}]*"  # the characters that Python's str.strip removes


def validate_requests(*columns: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return which requests are valid: texts, or pairs of texts, in UTF-8 and not blank.

    Args:
        columns: string [batch]; two columns for pairs of texts.

    Returns:
        Whether each request is valid, bool [batch], and why not, string [batch]; "" for valid requests.
    """
    reason = tf.zeros_like(columns[0])
    for column in reversed(columns):  # the first invalid column gives the reason
        clean = tf.strings.unicode_transcode(column, "UTF-8", "UTF-8", errors="replace")
        blank = tf.where(tf.strings.regex_full_match(clean, _BLANK), "empty text", "")
        column_reason = tf.where(clean == column, blank, "no UTF-8")
        reason = tf.where(column_reason == b"", reason, column_reason)
    return reason == b"", reason
