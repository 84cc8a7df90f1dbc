"""Build the input of a text model: add special tokens, truncate overlong texts or split them into windows.

The same graph runs in tf.data, before training and in a SavedModel.
"""

from typing import NamedTuple, TypeAlias

import tensorflow as tf

from tltk.modalities.text.tokenizers.base import Pieces
from tltk.specs import TextSpec

_MAX_FIRST = 64  # tokens of a question kept beside a window of its context (BERT's run_squad.py, max_query_length)

Columns: TypeAlias = tuple[tf.RaggedTensor, ...]  # the first five fields of `Windows`


class Windows(NamedTuple):
    """Token sequences that a model reads: one window per text, or several overlapping windows.

    Offsets count characters (Unicode code points) of the text a token belongs to; in pairs, the first or second text.

    Attributes:
        ids: int32 [windows, (tokens)], special tokens included.
        char_starts: int32 [windows, (tokens)], start offset of each token; -1 for special tokens.
        char_ends: int32 [windows, (tokens)], end offset (exclusive); -1 for special tokens.
        is_word_start: bool [windows, (tokens)], whether a word starts with the token.
        positions: int32 [windows, (tokens)], index of the token in its text, from 0; -1 for special tokens.
        text_ids: int64 [windows], index in the batch of the text each window shows.
        token_counts: int64 [batch], tokens of each text before truncation, special tokens included.
    """

    ids: tf.RaggedTensor
    char_starts: tf.RaggedTensor
    char_ends: tf.RaggedTensor
    is_word_start: tf.RaggedTensor
    positions: tf.RaggedTensor
    text_ids: tf.Tensor
    token_counts: tf.Tensor


def make_windows(spec: TextSpec, pieces: Pieces, first: Pieces | None = None) -> Windows:
    """Add special tokens to texts or pairs of texts; truncate or split what exceeds the sequence length.

    In a pair that is too long, the longer text loses tokens until both are equally long (Hugging Face's
    "longest_first"). With windows, the first text (up to 64 tokens, or half of the sequence) is repeated in each window
    of the second.

    Args:
        spec: Sequence length, special tokens, truncation, overlap.
        pieces: Tokens of the texts; for pairs, of the second texts.
        first: Tokens of the first texts of pairs.

    Returns:
        The windows, in the order of the texts.
    """
    begin, separator, end = spec.tokenizer.special_ids(pair=first is not None)
    total = spec.sequence_length - len(begin) - len(separator) - len(end)
    sizes = pieces.ids.row_lengths()
    room = tf.fill(tf.shape(sizes), tf.constant(total, tf.int64))
    token_counts = sizes + (spec.sequence_length - total)
    first_columns = None
    if first is not None:
        first_sizes = first.ids.row_lengths()
        half = tf.constant(total // 2, tf.int64)
        fair = tf.where(first_sizes > sizes, total - half, half)  # the longer text gets the odd token
        limit = tf.maximum(total - sizes, fair) if spec.overlap is None else tf.minimum(half, _MAX_FIRST)
        kept = tf.minimum(first_sizes, limit)
        first_columns = _truncated(_with_positions(first), kept, spec.truncation)
        room, token_counts = total - kept, token_counts + first_sizes
    if spec.overlap is None:
        text_ids = tf.range(tf.size(sizes, tf.int64))
        columns = _truncated(_with_positions(pieces), tf.minimum(sizes, room), spec.truncation)
    else:
        text_ids, columns = _split(_with_positions(pieces), room, spec.overlap)
        first_columns = None if first_columns is None else tuple(tf.gather(part, text_ids) for part in first_columns)
    rows = tf.size(text_ids)
    texts = [columns] if first_columns is None else [first_columns, _special(rows, separator), columns]
    sequence = [_special(rows, begin), *texts, _special(rows, end)]
    joined = (tf.concat(parts, axis=1) for parts in zip(*sequence, strict=True))
    ids, char_starts, char_ends, is_word_start, positions = joined
    return Windows(ids, char_starts, char_ends, is_word_start, positions, text_ids, token_counts)


def _with_positions(pieces: Pieces) -> Columns:
    positions = tf.ragged.range(pieces.ids.row_lengths()).flat_values
    return (*pieces, pieces.ids.with_flat_values(tf.cast(positions, tf.int32)))


def _special(rows: tf.Tensor, special_ids: list[int]) -> Columns:
    """Repeat special tokens for each of `rows` windows."""
    repeated = tf.broadcast_to(tf.constant(special_ids, tf.int32), [rows, len(special_ids)])
    ids = tf.RaggedTensor.from_tensor(repeated)
    no_offset = ids.with_flat_values(tf.fill(tf.shape(ids.flat_values), -1))
    false = ids.with_flat_values(tf.zeros_like(ids.flat_values, tf.bool))
    return (ids, no_offset, no_offset, false, no_offset)


def _truncated(columns: Columns, kept: tf.Tensor, side: str) -> Columns:
    """Keep `kept` tokens of each text; the others are dropped at its "end", its "start" or in its "middle"."""
    starts, sizes = columns[0].row_starts(), columns[0].row_lengths()
    head = {"end": kept, "start": tf.zeros_like(kept), "middle": kept - kept // 2}[side]
    head_indices = tf.ragged.range(starts, starts + head)
    tail_indices = tf.ragged.range(starts + sizes - (kept - head), starts + sizes)
    return _gathered(columns, tf.concat([head_indices, tail_indices], axis=1))


def _split(columns: Columns, room: tf.Tensor, overlap: int) -> tuple[tf.Tensor, Columns]:
    """Split texts into windows of at most `room` tokens, which share `overlap` tokens with the window before.

    Returns:
        Index of the text of each window, int64 [windows], and the tokens of the windows.
    """
    starts, sizes = columns[0].row_starts(), columns[0].row_lengths()
    step = tf.maximum(room - overlap, 1)  # `room` may not exceed the overlap in very short sequences
    count = 1 + tf.maximum(sizes - room + step - 1, 0) // step
    text_ids = tf.repeat(tf.range(tf.size(sizes, tf.int64)), count)
    first = tf.ragged.range(count).flat_values * tf.gather(step, text_ids)
    limit = tf.minimum(first + tf.gather(room, text_ids), tf.gather(sizes, text_ids))
    offset = tf.gather(starts, text_ids)
    return text_ids, _gathered(columns, tf.ragged.range(offset + first, offset + limit))


def _gathered(columns: Columns, indices: tf.RaggedTensor) -> Columns:
    return tuple(indices.with_flat_values(tf.gather(column.flat_values, indices.flat_values)) for column in columns)
