from dataclasses import replace

import numpy as np
import pytest

import tltk
from tests.tasks.reference_spans import context_of_row
from tests.texts import TOKENIZER
from tltk.modalities.text.context import as_windows, context_of, in_second_text
from tltk.modalities.text.encoding import encoded
from tltk.specs import TextSpec


def test_text_ids_of_a_context_start_at_zero():
    source = tltk.from_arrays(["good film", "very very very very good film", "bad"])
    texts = encoded(source, TextSpec(TOKENIZER, 6, overlap=1))
    elements = np.flatnonzero(texts.text_ids >= 1)
    context = context_of(texts[elements], ([b"very very very very good film", b"bad"],), first=1)
    assert int(context.count) == 2
    assert context.example_ids.numpy().tolist() == [0] * (len(elements) - 1) + [1]
    assert context.windows.token_counts.numpy().tolist() == texts.token_counts[1:].tolist()


def test_tokens_of_the_second_text_follow_the_separator():
    pairs = tltk.from_arrays([("good", "bad film"), ("not good", "poor")])
    windows = as_windows(encoded(pairs, TextSpec(TOKENIZER, 16, pairs=True)))
    ids, second = windows.ids.to_tensor(-1).numpy(), in_second_text(windows).numpy()
    words = [[TOKENIZER.vocabulary[token] for token in row[mask]] for row, mask in zip(ids, second, strict=True)]
    assert words == [["bad", "film"], ["poor"]]


@pytest.mark.parametrize(
    "special_tokens",
    [{}, {"separator": ("[SEP]", "[SEP]")}, {"begin": "", "end": "", "separator": (".",)}, {"end": ""}],
    ids=["bert", "roberta", "gpt2", "no end"],
)
def test_tokens_of_the_second_text_equal_the_reference_with_any_special_tokens(special_tokens):
    spec = TextSpec(replace(TOKENIZER, **special_tokens), 16, pairs=True, overlap=4)
    pairs = [("good film!", "the book"), ("very", "not the film but the book " * 4), ("!", "good")]
    texts = encoded(tltk.from_arrays(pairs), spec)
    second = in_second_text(as_windows(texts)).numpy()
    assert len(texts) > len(pairs)
    for row in range(len(texts)):
        begin, end = context_of_row(texts, row)
        assert end > begin
        np.testing.assert_array_equal(np.flatnonzero(second[row]), np.arange(begin, end))


def test_an_empty_second_text_has_no_tokens():
    texts = encoded(tltk.from_arrays([("good film", "\x00")]), TextSpec(TOKENIZER, 12, pairs=True))
    assert not in_second_text(as_windows(texts)).numpy().any()
