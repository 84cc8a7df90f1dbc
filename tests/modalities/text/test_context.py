import numpy as np

import tltk
from tests.texts import TOKENIZER
from tltk.modalities.text.context import as_windows, context_of, in_second_text
from tltk.modalities.text.encoding import encoded
from tltk.specs import TextSpec


def test_a_part_of_the_texts_is_numbered_from_zero():
    source = tltk.from_arrays(["good film", "very very very very good film", "bad"])
    found = encoded(source, TextSpec(TOKENIZER, 6, stride=1))
    elements = np.flatnonzero(found.text_ids >= 1)
    context = context_of(found[elements], ([b"very very very very good film", b"bad"],), first=1)
    assert int(context.count) == 2
    assert context.example_ids.numpy().tolist() == [0] * (len(elements) - 1) + [1]
    assert context.windows.token_counts.numpy().tolist() == found.token_counts[1:].tolist()


def test_tokens_of_the_second_text_stand_after_the_separator():
    pairs = tltk.from_arrays([("good", "bad film"), ("not good", "poor")])
    windows = as_windows(encoded(pairs, TextSpec(TOKENIZER, 16, pairs=True)))
    ids, second = windows.ids.to_tensor(-1).numpy(), in_second_text(windows).numpy()
    words = [[TOKENIZER.vocabulary[token] for token in row[mask]] for row, mask in zip(ids, second, strict=True)]
    assert words == [["bad", "film"], ["poor"]]
