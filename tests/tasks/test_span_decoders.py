import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.texts import asked, fuzzed, marked, tiny_preset


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return tltk.backbone(str(tiny_preset(tmp_path_factory.mktemp("presets") / "tiny")))


def head():
    return tltk.head(zero_init=False, normalization=None)


@pytest.mark.parametrize("scheme", ["bio", "bilou"])
def test_2000_fuzzed_texts_get_the_same_entities_from_a_clean_process(backbone, tmp_path, scheme):
    model = tltk.assemble(
        backbone, tltk.token_classification(marked(2).labels, scheme=scheme, head=head()), precision="float32"
    )
    said = [*fuzzed(1980), *(" ".join(words) for words in marked(20, longest=60).items)]
    exported = tltk.export(model, tmp_path, requests=[text.encode() for text in said])
    assert max(exported.largest.values()) <= 1e-5
    answer = tf.saved_model.load(str(exported.path)).signatures["serving_default"](tf.constant(said))
    found, _ = tltk.predict(model, said)
    used = [row for row, text in enumerate(said) if text.strip()]
    assert sum(len(each.spans) for each in found) > 2000
    for row, each in zip(used, found, strict=True):
        columns = (answer[name][row].numpy() for name in ("starts", "ends", "types", "probabilities"))
        served = [(int(a), int(b), kind.decode(), p) for a, b, kind, p in zip(*columns, strict=True) if a >= 0]
        assert [given[:3] for given in served] == [(span.start, span.end, span.label) for span in each.spans]
        np.testing.assert_allclose([p for *_, p in served], [span.probability for span in each.spans], atol=1e-5)
    empty = [row for row, text in enumerate(said) if not text.strip()]
    assert (answer["starts"].numpy()[empty] == -1).all()


@pytest.mark.parametrize("no_answer", [True, False])
def test_2000_fuzzed_questions_get_the_same_answers_from_a_clean_process(backbone, tmp_path, no_answer):
    model = tltk.assemble(backbone, tltk.question_answering(head=head(), no_answer=no_answer), precision="float32")
    said = fuzzed(3960)
    pairs = [*zip(said[::2], said[1::2], strict=True), *map(tuple, asked(20).items)]
    pairs = [(one, other) for one, other in pairs if one.strip() and other.strip()]
    edges = [("", ""), ("good", ""), ("", "film"), ("good " * 100, "film " * 100)]
    requests = [(one.encode(), other.encode()) for one, other in [*pairs, *edges]]
    exported = tltk.export(model, tmp_path, requests=requests)
    assert max(exported.largest.values()) <= 1e-5
    questions, contexts = map(tf.constant, zip(*pairs, strict=True))
    answer = tf.saved_model.load(str(exported.path)).signatures["serving_default"](
        questions=questions, contexts=contexts
    )
    found, _ = tltk.predict(model, pairs)
    for row, each in enumerate(found):
        assert answer["answer"][row].numpy().decode() == each.label
        place = (int(answer["start"][row]), int(answer["end"][row]))
        assert place == ((each.spans[0].start, each.spans[0].end) if each.spans else (-1, -1))
        if each.spans:
            np.testing.assert_allclose(answer["probability"][row], each.probability, atol=1e-5)
            assert pairs[row][1][place[0] : place[1]] == each.label
