import keras
import numpy as np
import pytest

import tltk
from tests.texts import marked, tiny_preset
from tltk.data.formats.folder import from_words
from tltk.modalities.text.encoding import tokenized
from tltk.specs import LabelSpec, Span
from tltk.tasks import from_config
from tltk.tasks.token_classification import TokenCrossEntropy, TokenF1, entities

TYPES = LabelSpec(("x", "y"), "entities")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return tltk.backbone(str(tiny_preset(tmp_path_factory.mktemp("presets") / "tiny")))


def perfect(task, made):
    """Outputs, float32 [all tokens, tags], of a model that is right about every word and says nothing of the rest."""
    flat = made.targets[np.arange(made.targets.shape[1]) < made.items.lengths[:, None]]
    return np.eye(task.units, dtype="float32")[np.maximum(flat, 0)]


def test_the_loss_is_the_mean_over_labelled_tokens_of_the_whole_batch():
    generator = np.random.default_rng(0)
    predicted = generator.dirichlet(np.ones(3), (2, 4)).astype("float32")
    true = np.array([[0, 2, -1, -1, 1], [1, -1, -1, -1, -1]])  # wider than the batch: cut to it
    for targets in (true, true[:, :5], true[:, :2]):  # wider than the batch, or narrower: a batch is padded further
        known = np.where(np.arange(5) < targets.shape[1], true, -1)
        count = (known[:, :4] >= 0).sum()
        expected = (
            -sum(np.log(predicted[row, at, known[row, at]]) for row, at in np.argwhere(known[:, :4] >= 0)) / count
        )
        np.testing.assert_allclose(TokenCrossEntropy()(targets, predicted), expected, rtol=1e-6)


def test_the_metric_is_scikit_learns_micro_f1_without_outside():
    from sklearn.metrics import f1_score

    generator = np.random.default_rng(1)
    predicted = generator.dirichlet(np.ones(5), (8, 6)).astype("float32")
    true = generator.integers(-1, 5, (8, 6))
    metric = TokenF1()
    metric.update_state(true[:4], predicted[:4])
    metric.update_state(true[4:], predicted[4:])
    known = true >= 0
    expected = f1_score(true[known], predicted.argmax(-1)[known], labels=[1, 2, 3, 4], average="micro")
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-6)


@pytest.mark.parametrize("scheme", ["bio", "bilou"])
@pytest.mark.parametrize("stride", [0, 4, 8])
def test_tags_of_words_lead_back_to_the_very_spans_in_one_frame_or_in_windows(backbone, scheme, stride):
    from dataclasses import replace

    source, task = marked(40, longest=60), tltk.token_classification(TYPES, scheme=scheme)
    made = tokenized(source, replace(backbone.input, stride=stride))
    assert len(made) > len(source), "some are in windows"
    made = replace(made, targets=task.align(made, source))
    assert task.find(perfect(task, made), made, source) == list(source.targets)


def test_adjacent_entities_of_one_type_stay_two():
    source = from_words([["good", "film", "book", "book"]], [["B-x", "B-x", "B-y", "I-y"]])
    for scheme, expected in (("bio", [1, 1, 3, 4]), ("bilou", [4, 4, 5, 7])):
        task = tltk.token_classification(TYPES, scheme=scheme)
        vocabulary = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "film", "book")
        spec = tltk.specs.TextSpec(tltk.specs.TokenizerSpec("wordpiece", vocabulary), 16)
        made = tokenized(source, spec)
        assert task.align(made, source)[0].tolist() == [-1, *expected, -1]


def test_only_the_first_token_of_a_word_has_a_tag(backbone):
    source = from_words([["unlikely", "film"]], [["B-x", "O"]])
    made = tokenized(source, backbone.input)  # un ##like ##ly film
    assert tltk.token_classification(TYPES).align(made, source)[0].tolist() == [-1, 1, -1, -1, 0, -1]


def test_an_entity_that_begins_inside_of_a_word_takes_the_whole_word_and_is_reported(backbone, caplog):
    text = "the unlikely film"
    source = tltk.data.source.Source("texts", np.array([text], object), _object([(Span(6, 12, "x"),)]), TYPES)
    task = tltk.token_classification(TYPES)
    made = tokenized(source, backbone.input)
    assert task.align(made, source)[0].tolist() == [-1, 0, 1, -1, -1, 0, -1]
    assert "1 entities begin or end inside of a word" in caplog.text


def _object(values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def test_reading_tags_is_that_of_a_plain_loop():
    generator = np.random.default_rng(2)
    for marks in ("BI", "BILU"):
        tags = generator.integers(0, 1 + 2 * len(marks), 400)
        owners = np.sort(generator.integers(0, 30, 400))
        first, stop = entities(tags, owners, marks=marks)
        expected, running = [], None
        for at, tag in enumerate(tags):
            kind, mark = divmod(int(tag) - 1, len(marks))
            mark = marks[mark] if tag else "O"
            goes_on = running and mark in "IL" and running[1] == kind and owners[at] == owners[at - 1]
            if goes_on:
                expected[-1][1] = at + 1
            elif mark != "O":
                expected.append([at, at + 1])
            running = None if mark in "LUO" else (at, kind)
        assert [list(pair) for pair in zip(first.tolist(), stop.tolist(), strict=True)] == expected


def test_a_tagger_learns_saves_and_finds_whole_words(backbone, tmp_path):
    source = marked(60)
    model = tltk.assemble(backbone, tltk.token_classification(source.labels), precision="float32")
    assert model.keras.output_shape == (None, None, 5)
    assert model.input.stride == 4
    recipe = tltk.bert(epochs=25, learning_rate=1e-2)
    run = tltk.fit(model, source, marked(20, seed=1), recipe=recipe, batch_size=8, out=tmp_path / "run")
    test = marked(30, seed=2)
    report = tltk.evaluate(run.model, test)
    assert report.metrics["f1"] > 0.95
    assert [row["name"] for row in report.classes] == ["x", "y"]
    again = tltk.load_run(tmp_path / "run").model
    assert again.task == model.task
    assert tltk.evaluate(again, test).metrics == report.metrics
    (found,), _ = tltk.predict(again, ["very  good film."])
    assert [(span.start, span.end, span.label) for span in found.spans] == [(6, 15, "x")]
    assert found.label == "good film (x)"
    assert 0.5 < found.spans[0].probability <= 1
    (same,), _ = tltk.predict(again, [["very", "good", "film"]])
    assert [(span.start, span.end) for span in same.spans] == [(5, 14)]


def test_what_is_cached_of_a_frozen_part_trains_the_same(backbone):
    source = marked(24)
    found = []
    for cache in ("memory", "off"):
        keras.utils.set_random_seed(0)
        model = tltk.assemble(backbone, tltk.token_classification(source.labels), precision="float32")
        tltk.fit(model, source, recipe=tltk.bert(epochs=2, blocks=1, learning_rate=1e-3), batch_size=8, cache=cache)
        found.append(model.keras.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_its_config_brings_it_back_and_other_labels_are_refused():
    task = tltk.token_classification(TYPES, scheme="bilou", head=tltk.head(hidden=(4,)))
    assert from_config(task.to_config()) == task
    with pytest.raises(ValueError, match="`labels` are of type 'categorical', not types of entities"):
        tltk.token_classification(LabelSpec(("a", "b")))
    with pytest.raises(
        ValueError, match=r"`labels` are types of entities \(x, y\), not classes\. Use tltk\.token_classification"
    ):
        tltk.classification(TYPES)
    with pytest.raises(ValueError, match=r"`scheme` must be one of 'bio', 'bilou'"):
        tltk.token_classification(TYPES, scheme="iob")
    with pytest.raises(ValueError, match="token_classification is of texts; the backbone eats pictures"):
        tltk.assemble(tltk.backbone("mobilenet_v2", weights="random", input_size=32), tltk.token_classification(TYPES))


def test_texts_shorter_than_the_narrowest_batch_are_learned_too(backbone):
    source = from_words([["good", "film"], ["the", "book"]], [["B-x", "I-x"], ["O", "B-y"]])
    model = tltk.assemble(backbone, tltk.token_classification(source.labels), precision="float32")
    run = tltk.fit(model, source, source, recipe=tltk.bert(epochs=1), batch_size=2)
    # A head that starts at zero finds every tag as likely: the first loss is the logarithm of their number.
    assert run.history[0]["loss"] == pytest.approx(np.log(model.task.units), rel=1e-3)


WORDS_AND_TAGS = (
    [["the", "good-film", "is", "bad."], ["book", ",", "U.S.", "film"]],
    [["O", "B-x", "O", "O"], ["B-y", "O", "B-x", "I-x"]],
)


@pytest.mark.parametrize("scheme", ["bio", "bilou"])
def test_a_given_word_with_punctuation_has_tags_for_all_of_its_parts(backbone, scheme):
    source, task = from_words(*WORDS_AND_TAGS), tltk.token_classification(TYPES, scheme=scheme)
    made = tokenized(source, backbone.input)
    targets = task.align(made, source)
    flat = targets[np.arange(targets.shape[1]) < made.items.lengths[:, None]]
    assert (flat >= 0).sum() == 14  # the good - film is bad . | book , U . S . film
    outputs = np.eye(task.units, dtype="float32")[np.maximum(flat, 0)]
    assert [list(spans) for spans in task.find(outputs, made, source)] == [list(spans) for spans in source.targets]


def test_words_are_tagged_as_the_text_that_they_make_is(backbone):
    labels = from_words(*WORDS_AND_TAGS).labels
    task = tltk.token_classification(labels, head=tltk.head(zero_init=False, normalization=None))
    model = tltk.assemble(backbone, task, precision="float32")
    head = model.keras.get_layer("head_output")
    head.kernel.assign(5 * keras.random.normal(head.kernel.shape, seed=1))
    words = WORDS_AND_TAGS[0]
    found, plain = tltk.predict(model, words)[0], tltk.predict(model, [" ".join(each) for each in words])[0]
    assert any(each.spans for each in found)
    assert [each.spans for each in found] == [each.spans for each in plain]


def test_an_entity_does_not_run_on_to_the_punctuation_that_it_touches(backbone):
    texts = ["the film(book).", "good!film"]
    spans = [[Span(4, 8, "x"), Span(9, 13, "y")], [Span(0, 4, "x"), Span(5, 9, "y")]]
    from dataclasses import replace

    source = replace(tltk.from_arrays(texts), targets=_object(spans), labels=TYPES)
    task, made = tltk.token_classification(TYPES), tokenized(source, backbone.input)
    targets = task.align(made, source)
    flat = targets[np.arange(targets.shape[1]) < made.items.lengths[:, None]]
    outputs = np.eye(task.units, dtype="float32")[np.maximum(flat, 0)]
    assert [list(each) for each in task.find(outputs, made, source)] == spans
