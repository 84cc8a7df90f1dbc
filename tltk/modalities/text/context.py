"""The context of tokenized texts for a decoder: their windows, and the text that each window belongs to."""

import tensorflow as tf

from tltk.modalities.context import Context
from tltk.modalities.text.encoding import EncodedTexts
from tltk.modalities.text.windows import Windows


def context_of(
    texts: EncodedTexts, strings: tuple[list[bytes], ...], *, first: int = 0, in_windows: bool = True
) -> Context:
    """Build the context of some texts for a decoder.

    Args:
        texts: All windows of these texts, text by text.
        strings: The texts as UTF-8; two lists for pairs.
        first: Index in the source of the first of these texts.
        in_windows: Whether the model reads overlong texts in windows, so that a text may have several.

    Returns:
        The context, with text ids from 0.
    """
    windows = as_windows(texts)
    count = len(strings[0])
    windows = windows._replace(
        text_ids=windows.text_ids - first, token_counts=windows.token_counts[first : first + count]
    )
    return Context(
        count=tf.constant(count, tf.int64),
        example_ids=windows.text_ids if in_windows else None,
        windows=windows,
        texts=tuple(tf.constant(column, tf.string) for column in strings),
    )


def as_windows(texts: EncodedTexts) -> Windows:
    """Convert encoded texts to ragged tensors."""
    ids, char_starts, char_ends, is_word_start, positions = (
        tf.RaggedTensor.from_row_splits(column, texts.row_splits, validate=False) for column in texts.columns
    )
    text_ids, token_counts = (tf.constant(column, tf.int64) for column in (texts.text_ids, texts.token_counts))
    return Windows(ids, char_starts, char_ends, is_word_start, positions, text_ids, token_counts)


def in_second_text(windows: Windows) -> tf.Tensor:
    """Return which tokens belong to the second text of a pair, in a graph.

    These are the tokens after the special tokens between the texts and before the special tokens at the end, if any.

    Args:
        windows: Windows of pairs.

    Returns:
        bool [windows, longest window].
    """
    is_token = tf.sequence_mask(windows.ids.row_lengths())
    special = (windows.positions.to_tensor(0) < 0) & is_token
    is_last = is_token & ~tf.pad(is_token[:, 1:], [[0, 0], [0, 1]])
    ends_with_special = tf.reduce_any(special & is_last, axis=1, keepdims=True)
    special_from_here = tf.cumsum(tf.cast(special, tf.int32), axis=1, reverse=True)
    return is_token & ~special & (special_from_here == tf.cast(ends_with_special, tf.int32))
