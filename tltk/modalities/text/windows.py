"""Windows of tokenized texts: special tokens around them, and what is too long truncated or in several windows.

The same graph runs in tf.data, ahead of training and in a SavedModel.
"""

from typing import NamedTuple, TypeAlias

import tensorflow as tf

from tltk.modalities.text.tokenizers.base import Pieces
from tltk.specs import TextSpec

# As many tokens of a question as BERT's authors keep beside a window of its context (run_squad.py, max_query_length).
_MAX_LEAD = 64

Columns: TypeAlias = tuple[tf.RaggedTensor, ...]  # ids, char_starts, char_ends, is_word_start, positions


class Windows(NamedTuple):
    """Texts as a model takes them: one window each, or several overlapping ones.

    Args:
        ids: int32 [windows, (tokens)], special tokens included.
        char_starts: int32 likewise, the character (code point) of its text at which a token begins; -1 for
            special tokens.
        char_ends: int32 likewise, end offset (exclusive); -1 for special tokens.
        is_word_start: bool likewise, whether a word begins with the token.
        positions: int32 likewise, position of the token in its text, from 0; -1 for special tokens.
        text_ids: int64 [windows], the number of the text in the batch.
        token_counts: int64 [batch], tokens that each text has before truncation.
    """

    ids: tf.RaggedTensor
    char_starts: tf.RaggedTensor
    char_ends: tf.RaggedTensor
    is_word_start: tf.RaggedTensor
    positions: tf.RaggedTensor
    text_ids: tf.Tensor
    token_counts: tf.Tensor


def framed(spec: TextSpec, body: Pieces, lead: Pieces | None = None) -> Windows:
    """Put special tokens around texts, or pairs of texts, none longer than the model takes.

    Of a pair that is too long, the longer text loses tokens until both are equal (Hugging Face's "longest_first"); with
    windows, the first text stands whole (up to 64 tokens, or half of the room) in each window of the second.

    Args:
        spec: length, special tokens, the side that is cut, the overlap of windows.
        body: of the texts, or of the second texts of pairs.
        lead: of the first texts of pairs.

    Returns:
        The windows, in the order of the texts.
    """
    begin, separator, end = spec.tokenizer.special_ids(pair=lead is not None)
    total = spec.sequence_length - len(begin) - len(separator) - len(end)
    sizes = body.ids.row_lengths()
    room = tf.fill(tf.shape(sizes), tf.constant(total, tf.int64))
    token_counts = sizes + (spec.sequence_length - total)
    first = None
    if lead is not None:
        lengths = lead.ids.row_lengths()
        half = tf.constant(total // 2, tf.int64)
        larger = tf.where(lengths > sizes, total - half, half)  # the longer text gets the odd token
        most = tf.maximum(total - sizes, larger) if spec.stride is None else tf.minimum(half, _MAX_LEAD)
        kept = tf.minimum(lengths, most)
        first = _cut(_numbered(lead), kept, spec.truncation)
        room, token_counts = total - kept, token_counts + lengths
    if spec.stride is None:
        text_ids = tf.range(tf.size(sizes, tf.int64))
        second = _cut(_numbered(body), tf.minimum(sizes, room), spec.truncation)
    else:
        text_ids, second = _windows(_numbered(body), room, spec.stride)
        first = None if first is None else tuple(tf.gather(column, text_ids) for column in first)
    rows = tf.size(text_ids)
    texts = [second] if first is None else [first, _special(rows, separator), second]
    sequence = [_special(rows, begin), *texts, _special(rows, end)]
    ids, char_starts, char_ends, is_word_start, positions = (
        tf.concat(column, axis=1) for column in zip(*sequence, strict=True)
    )
    return Windows(ids, char_starts, char_ends, is_word_start, positions, text_ids, token_counts)


def _numbered(pieces: Pieces) -> Columns:
    positions = tf.ragged.range(pieces.ids.row_lengths()).flat_values
    return (*pieces, pieces.ids.with_flat_values(tf.cast(positions, tf.int32)))


def _special(rows: tf.Tensor, token_ids: list[int]) -> Columns:
    """Repeat some special tokens for each of `rows` windows."""
    ids = tf.RaggedTensor.from_tensor(tf.broadcast_to(tf.constant(token_ids, tf.int32), [rows, len(token_ids)]))
    nowhere = ids.with_flat_values(tf.fill(tf.shape(ids.flat_values), -1))
    no = ids.with_flat_values(tf.zeros_like(ids.flat_values, tf.bool))
    return (ids, nowhere, nowhere, no, nowhere)


def _cut(columns: Columns, kept: tf.Tensor, side: str) -> Columns:
    """Keep so many pieces of each text; what goes is at its "end", its "start" or in its "middle"."""
    begins, sizes = columns[0].row_starts(), columns[0].row_lengths()
    head = {"end": kept, "start": tf.zeros_like(kept), "middle": kept - kept // 2}[side]
    first = tf.ragged.range(begins, begins + head)
    last = tf.ragged.range(begins + sizes - (kept - head), begins + sizes)
    return _gathered(columns, tf.concat([first, last], axis=1))


def _windows(columns: Columns, room: tf.Tensor, stride: int) -> tuple[tf.Tensor, Columns]:
    """Cut texts into windows of at most `room` pieces, each with the last `stride` ones of the window before it."""
    begins, sizes = columns[0].row_starts(), columns[0].row_lengths()
    step = tf.maximum(room - stride, 1)  # of a dozen tokens, the special ones may leave no more than the stride
    count = 1 + tf.maximum(sizes - room + step - 1, 0) // step
    text_ids = tf.repeat(tf.range(tf.size(sizes, tf.int64)), count)
    start = tf.ragged.range(count).flat_values * tf.gather(step, text_ids)
    stop = tf.minimum(start + tf.gather(room, text_ids), tf.gather(sizes, text_ids))
    offset = tf.gather(begins, text_ids)
    return text_ids, _gathered(columns, tf.ragged.range(offset + start, offset + stop))


def _gathered(columns: Columns, places: tf.RaggedTensor) -> Columns:
    return tuple(places.with_flat_values(tf.gather(column.flat_values, places.flat_values)) for column in columns)
