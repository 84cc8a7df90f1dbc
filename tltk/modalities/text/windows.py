"""What a text model eats of tokenized texts: special tokens around them, and what is too long cut or in windows.

The same graph runs in tf.data, ahead of training and in a SavedModel.
"""

from typing import NamedTuple, TypeAlias

import tensorflow as tf

from tltk.modalities.text.tokenizers.base import Pieces
from tltk.specs import TextSpec

# As many tokens of a question as BERT's authors keep beside a window of its context (run_squad.py, max_query_length).
_MAX_LEAD = 64

Columns: TypeAlias = tuple[tf.RaggedTensor, ...]  # ids, begins, stops, firsts, numbers


class Frames(NamedTuple):
    """Texts as a model takes them: one frame each, or several overlapping windows.

    Args:
        ids: int32 [frames, (tokens)], special ones included.
        begins: int32 likewise, the character of its text at which a token begins; -1 for special tokens.
        stops: int32 likewise, the one behind its last character.
        firsts: bool likewise, whether a word begins with the token.
        numbers: int32 likewise, the token's number in its text, from 0; -1 for special tokens.
        owners: int64 [frames], the number of the text in the batch.
        whole: int64 [batch], tokens that each text has uncut.
    """

    ids: tf.RaggedTensor
    begins: tf.RaggedTensor
    stops: tf.RaggedTensor
    firsts: tf.RaggedTensor
    numbers: tf.RaggedTensor
    owners: tf.Tensor
    whole: tf.Tensor


def frame(spec: TextSpec, body: Pieces, lead: Pieces | None = None) -> Frames:
    """Put special tokens around texts, or pairs of texts, none longer than the model takes.

    Of a pair that is too long, the longer text loses tokens until both are equal (Hugging Face's "longest_first"); with
    windows, the first text stands whole (up to 64 tokens, or half of the room) in each window of the second.

    Args:
        spec: length, special tokens, the side that is cut, the overlap of windows.
        body: of the texts, or of the second texts of pairs.
        lead: of the first texts of pairs.

    Returns:
        The frames, in the order of the texts.
    """
    begin, separator, end = spec.tokenizer.special_ids(pair=lead is not None)
    total = spec.sequence_length - len(begin) - len(separator) - len(end)
    sizes = body.ids.row_lengths()
    room = tf.fill(tf.shape(sizes), tf.constant(total, tf.int64))
    whole = sizes + (spec.sequence_length - total)
    first = None
    if lead is not None:
        lengths = lead.ids.row_lengths()
        half = tf.constant(total // 2, tf.int64)
        larger = tf.where(lengths > sizes, total - half, half)  # the longer text gets the odd token
        most = tf.maximum(total - sizes, larger) if spec.stride is None else tf.minimum(half, _MAX_LEAD)
        kept = tf.minimum(lengths, most)
        first = _cut(_numbered(lead), kept, spec.truncation)
        room, whole = total - kept, whole + lengths
    if spec.stride is None:
        owners = tf.range(tf.size(sizes, tf.int64))
        second = _cut(_numbered(body), tf.minimum(sizes, room), spec.truncation)
    else:
        owners, second = _windows(_numbered(body), room, spec.stride)
        first = None if first is None else tuple(tf.gather(column, owners) for column in first)
    rows = tf.size(owners)
    texts = [second] if first is None else [first, _special(rows, separator), second]
    sequence = [_special(rows, begin), *texts, _special(rows, end)]
    ids, begins, stops, firsts, numbers = (tf.concat(column, axis=1) for column in zip(*sequence, strict=True))
    return Frames(ids, begins, stops, firsts, numbers, owners, whole)


def _numbered(pieces: Pieces) -> Columns:
    numbers = tf.ragged.range(pieces.ids.row_lengths()).flat_values
    return (*pieces, pieces.ids.with_flat_values(tf.cast(numbers, tf.int32)))


def _special(rows: tf.Tensor, numbers: list[int]) -> Columns:
    """Repeat some special tokens for each of `rows` frames."""
    ids = tf.RaggedTensor.from_tensor(tf.broadcast_to(tf.constant(numbers, tf.int32), [rows, len(numbers)]))
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
    owners = tf.repeat(tf.range(tf.size(sizes, tf.int64)), count)
    start = tf.ragged.range(count).flat_values * tf.gather(step, owners)
    stop = tf.minimum(start + tf.gather(room, owners), tf.gather(sizes, owners))
    offset = tf.gather(begins, owners)
    return owners, _gathered(columns, tf.ragged.range(offset + start, offset + stop))


def _gathered(columns: Columns, places: tf.RaggedTensor) -> Columns:
    return tuple(places.with_flat_values(tf.gather(column.flat_values, places.flat_values)) for column in columns)
