"""Outputs of tokens to entities and answers in a graph, as `Tag.find` and `Answer.find` read them in NumPy."""

import tensorflow as tf

from tltk.modalities.text.tokenizers.trie import grouped
from tltk.modalities.text.windows import Frames
from tltk.tasks.question_answering import QuestionAnswering
from tltk.tasks.token_classification import TokenClassification

_NEVER = -1e30  # below every score
_NOWHERE = 2**31 - 1  # behind every character


def entities_of(task: TokenClassification, outputs: tf.Tensor, found: Frames) -> dict[str, tf.Tensor]:
    """Read tags as entities.

    Args:
        task: names types and tags.
        outputs: probabilities, float32 [frames, tokens, tags].
        found: the frames.

    Returns:
        "starts" and "ends" int32, "types" string, "probabilities" float32: [batch, most entities of a text].
    """
    place, owners = _words(found)
    flat = tf.gather(tf.boolean_mask(outputs, tf.sequence_mask(found.ids.row_lengths(), tf.shape(outputs)[1])), place)
    is_word = _word_begins(tf.gather(found.firsts.flat_values, place), owners)
    word = tf.cumsum(tf.cast(is_word, tf.int32)) - 1
    begins, stops = (tf.gather(column.flat_values, place) for column in (found.begins, found.stops))
    solid = stops > begins  # a piece of spaces covers nothing, and a word of such pieces alone is none
    begins = tf.math.segment_min(tf.where(solid, begins, _NOWHERE), word)
    stops = tf.math.segment_max(tf.where(solid, stops, -1), word)
    kept = stops >= 0
    scores, owners = (tf.boolean_mask(tf.boolean_mask(each, is_word), kept) for each in (flat, owners))
    begins, stops = tf.boolean_mask(begins, kept), tf.boolean_mask(stops, kept)
    tags, sure = tf.argmax(scores, -1, output_type=tf.int32), tf.reduce_max(scores, -1)
    starts, entity, covered = _runs(task, tags, owners)
    count = tf.reduce_sum(tf.cast(starts, tf.int32))
    entity = tf.boolean_mask(entity, covered)
    kinds = tf.constant(task.labels.names)
    columns = {
        "starts": (tf.boolean_mask(begins, starts), -1),
        "ends": (tf.math.unsorted_segment_max(tf.boolean_mask(stops, covered), entity, count), -1),
        "types": (tf.gather(kinds, (tf.boolean_mask(tags, starts) - 1) // _marks(task)), ""),
        "probabilities": (tf.math.unsorted_segment_mean(tf.boolean_mask(sure, covered), entity, count), 0.0),
    }
    owner = tf.boolean_mask(owners, starts)
    return {
        name: grouped(values, owner, tf.size(found.whole, tf.int64)).to_tensor(empty)
        for name, (values, empty) in columns.items()
    }


def _marks(task: TokenClassification) -> int:
    return (task.units - 1) // len(task.labels)


def _words(found: Frames) -> tuple[tf.Tensor, tf.Tensor]:
    """Take each piece of each text once, from the window in which it stands farthest from the edges.

    Returns:
        Places among all tokens in the order of texts and pieces, and the text of each.
    """
    rows, lengths = found.ids.value_rowids(), found.ids.row_lengths()
    inside = tf.ragged.range(lengths).flat_values
    around = tf.minimum(inside, tf.gather(lengths, rows) - 1 - inside)
    place = tf.where(found.numbers.flat_values >= 0)[:, 0]
    row, numbers = tf.gather(rows, place), tf.cast(tf.gather(found.numbers.flat_values, place), tf.int64)
    owners = tf.gather(found.owners, row)
    count = tf.size(found.whole, tf.int64)
    pieces = tf.math.unsorted_segment_max(numbers + 1, owners, count)
    pieces = tf.maximum(pieces, 0)  # a text without any has the lowest number there is
    index = tf.gather(tf.cumsum(pieces, exclusive=True), owners) + numbers
    frames = tf.size(found.owners, tf.int64)
    score = tf.gather(around, place) * frames + (frames - 1 - row)
    total = tf.reduce_sum(pieces)
    chosen = score == tf.gather(tf.math.unsorted_segment_max(score, index, total), index)
    kept = tf.boolean_mask(index, chosen)
    order = tf.scatter_nd(kept[:, None], tf.boolean_mask(place, chosen), tf.reshape(total, [1]))
    return order, tf.gather(found.owners, tf.gather(rows, order))


def _word_begins(firsts: tf.Tensor, owners: tf.Tensor) -> tf.Tensor:
    """Tell which pieces begin a word: the first of a text always does."""
    new_text = tf.concat([tf.ones_like(owners[:1], tf.bool), owners[1:] != owners[:-1]], 0)
    return firsts | new_text


def _runs(task: TokenClassification, tags: tf.Tensor, owners: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Tell which words begin an entity, which entity each belongs to, and whether it belongs to one."""
    marks = [name[0] for name in task.tags]
    goes_on = tf.gather(tf.constant([mark in "IL" for mark in marks]), tags)
    ends = tf.gather(tf.constant([mark in "LUO" for mark in marks]), tags)
    kind = (tags - 1) // _marks(task)
    before = ~ends[:-1] & (kind[1:] == kind[:-1]) & (owners[1:] == owners[:-1])
    continues = goes_on & tf.concat([tf.zeros_like(goes_on[:1]), before], 0)
    starts = (tags > 0) & ~continues
    return starts, tf.cumsum(tf.cast(starts, tf.int32)) - 1, tags > 0


def best_answers(
    task: QuestionAnswering, outputs: tf.Tensor, found: Frames, contexts: tf.Tensor, *, ends: int
) -> dict[str, tf.Tensor]:
    """Read logits as answers.

    Args:
        task: says how long an answer may be, and when there is none.
        outputs: logits, float32 [frames, tokens, 2].
        found: the frames.
        contexts: strings [batch].
        ends: special tokens behind a context.

    Returns:
        "answer" string, "start" and "end" int32, "probability" float32 against no answer: [batch].
    """
    context, firsts = _context(found, ends)
    width, longest = tf.shape(outputs)[1], task.longest
    context, firsts = (tf.pad(each, [[0, 0], [0, width - tf.shape(each)[1]]]) for each in (context, firsts))
    edge = tf.zeros_like(context[:, :1])
    begins = context & (firsts | ~tf.concat([edge, context[:, :-1]], 1))
    lasts = context & tf.concat([firsts[:, 1:] | ~context[:, 1:], ~edge], 1)
    start = tf.where(begins, outputs[..., 0], _NEVER)
    stop = tf.pad(tf.where(lasts, outputs[..., 1], _NEVER), [[0, 0], [0, longest]], constant_values=_NEVER)
    sums = start[..., None] + tf.stack([stop[:, shift : shift + width] for shift in range(longest)], -1)
    sums = tf.reshape(sums, [tf.shape(sums)[0], -1])
    best, at = tf.reduce_max(sums, 1), tf.argmax(sums, 1, output_type=tf.int32)
    count = tf.size(found.whole, tf.int64)
    by_text = grouped(best, found.owners, count)
    score = tf.reduce_max(by_text, 1)
    nothing = tf.reduce_sum(outputs[:, 0], -1)
    none = tf.reduce_min(grouped(nothing, found.owners, count), 1)
    frame = by_text.row_starts() + tf.argmax(by_text.to_tensor(4 * _NEVER), 1)
    first = tf.gather(at, frame) // longest
    last = first + tf.gather(at, frame) % longest
    has = (score > _NEVER / 2) & ((none <= score + task.threshold) if task.no_answer else True)
    offset = tf.gather(found.ids.row_starts(), frame)
    begin = tf.gather(found.begins.flat_values, offset + tf.cast(first, tf.int64))
    end = tf.gather(found.stops.flat_values, offset + tf.cast(last, tf.int64))
    begin, end = tf.where(has, begin, -1), tf.where(has, end, -1)
    clean = tf.strings.unicode_transcode(contexts, "UTF-8", "UTF-8", errors="replace")
    length = tf.where(has, end - begin, 0)
    said = tf.strings.substr(clean, tf.maximum(begin, 0), length, unit="UTF8_CHAR")
    return {"answer": said, "start": begin, "end": end, "probability": tf.sigmoid(score - none)}


def _context(found: Frames, ends: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Tell which tokens cover a part of the second text, and at which a word begins: bool [frames, longest] both."""
    real = tf.sequence_mask(found.ids.row_lengths())
    special = (found.numbers.to_tensor(0) < 0) & real
    behind = tf.cumsum(tf.cast(special, tf.int32), axis=1, reverse=True)
    solid = found.stops.to_tensor(0) > found.begins.to_tensor(0)
    return real & ~special & (behind == ends) & solid, found.firsts.to_tensor(False)
