from dataclasses import replace

import keras
import numpy as np
import pytest

import tltk
from tests.tasks.reference_spans import predicted_spans
from tests.texts import marked, tiny_preset
from tltk.data.formats.conll import from_words
from tltk.modalities.modality import modality_of
from tltk.modalities.text.encoding import encoded
from tltk.specs import LabelSpec, Span
from tltk.tasks import from_config
from tltk.tasks.token_classification import TokenCrossEntropy, TokenF1

TYPES = LabelSpec(("x", "y"), "entities")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return tltk.backbone(str(tiny_preset(tmp_path_factory.mktemp("presets") / "tiny")))


def targets_of(task, source, spec):
    """Return the targets of all tokens, concatenated."""
    tokens = encoded(source, spec)
    targets = task.element_targets(source.targets, modality_of(spec).reader(source, spec))
    return targets[np.arange(targets.shape[1]) < tokens.lengths[:, None]]


def spans_of_perfect_model(task, source, spec):
    """Return the predictions of a model that is right about every word and predicts "O" for all other tokens."""
    outputs = np.eye(len(task.tags), dtype="float32")[np.maximum(targets_of(task, source, spec), 0)]
    return predicted_spans(task, outputs, source, spec)


def test_the_loss_is_the_mean_over_labelled_tokens_of_the_whole_batch():
    generator = np.random.default_rng(0)
    predicted = generator.dirichlet(np.ones(3), (2, 4)).astype("float32")
    true = np.array([[0, 2, -1, -1, 1], [1, -1, -1, -1, -1]])
    for targets in (true, true[:, :4], true[:, :2]):  # longer than the batch, as long, and shorter
        visible = np.where(np.arange(5) < targets.shape[1], true, -1)[:, :4]
        labelled = np.argwhere(visible >= 0)
        expected = -np.mean([np.log(predicted[row, token, visible[row, token]]) for row, token in labelled])
        np.testing.assert_allclose(TokenCrossEntropy()(targets, predicted), expected, rtol=1e-6)


def test_the_metric_equals_scikit_learns_micro_f1_without_the_outside_tag():
    from sklearn.metrics import f1_score

    generator = np.random.default_rng(1)
    predicted = generator.dirichlet(np.ones(5), (8, 6)).astype("float32")
    true = generator.integers(-1, 5, (8, 6))
    metric = TokenF1()
    metric.update_state(true[:4], predicted[:4])
    metric.update_state(true[4:], predicted[4:])
    labelled = true >= 0
    expected = f1_score(true[labelled], predicted.argmax(-1)[labelled], labels=[1, 2, 3, 4], average="micro")
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-6)
    weights = np.linspace(0, 0.05, 8).astype("float32")
    metric.reset_state()
    metric.update_state(true, predicted, weights)
    by_token = {"sample_weight": np.broadcast_to(weights[:, None], true.shape)[labelled]}
    expected = f1_score(
        true[labelled], predicted.argmax(-1)[labelled], labels=[1, 2, 3, 4], average="micro", **by_token
    )
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-5)


@pytest.mark.parametrize(("scheme", "overlap"), [("bio", 0), ("bilou", 4), ("bio", 8)])
def test_targets_decode_to_the_true_spans_with_any_overlap(backbone, scheme, overlap):
    source, task = marked(40, longest=60), tltk.token_classification(TYPES, scheme=scheme)
    spec = replace(backbone.input_spec, overlap=overlap)
    assert len(encoded(source, spec)) > len(source), "some texts need several windows"
    assert spans_of_perfect_model(task, source, spec) == list(source.targets)


def test_adjacent_entities_of_one_type_stay_separate():
    source = from_words([["good", "film", "book", "book"]], [["B-x", "B-x", "B-y", "I-y"]])
    for scheme, expected in (("bio", [1, 1, 3, 4]), ("bilou", [4, 4, 5, 7])):
        task = tltk.token_classification(TYPES, scheme=scheme)
        spec = tltk.specs.TextSpec(
            tltk.specs.TokenizerSpec("wordpiece", ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "film", "book")), 16
        )
        assert targets_of(task, source, spec).tolist() == [-1, *expected, -1]


def test_only_the_first_token_of_a_word_has_a_tag(backbone):
    source = from_words([["unlikely", "film"]], [["B-x", "O"]])
    task = tltk.token_classification(TYPES)
    assert targets_of(task, source, backbone.input_spec).tolist() == [-1, 1, -1, -1, 0, -1]  # un ##like ##ly film


def test_an_entity_that_begins_inside_a_word_is_extended_to_the_word_and_reported(backbone, caplog):
    text = "the unlikely film"
    source = tltk.data.source.Source("text", "arrays", np.array([text], object), _object([(Span(6, 12, "x"),)]), TYPES)
    task = tltk.token_classification(TYPES)
    assert targets_of(task, source, backbone.input_spec).tolist() == [-1, 0, 1, -1, -1, 0, -1]
    assert "1 entities begin or end inside a word" in caplog.text


def _object(values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def test_a_model_learns_to_find_entities_of_whole_words_and_survives_saving(backbone, tmp_path):
    source = marked(60)
    model = tltk.assemble(backbone, tltk.token_classification(source.labels), precision="float32")
    assert model.keras.output_shape == (None, None, 5)
    assert model.input_spec.overlap == 4
    recipe = tltk.bert(epochs=25, learning_rate=1e-2)
    run = tltk.fit(model, source, marked(20, seed=1), recipe=recipe, batch_size=8, out=tmp_path / "run")
    test = marked(30, seed=2)
    report = tltk.evaluate(run.model, test)
    assert report.metrics["f1"] > 0.95
    assert [row["name"] for row in report.classes] == ["x", "y"]
    loaded = tltk.load_run(tmp_path / "run").model
    assert loaded.task == model.task
    assert tltk.evaluate(loaded, test).metrics == report.metrics
    (prediction,) = tltk.predict(loaded, ["very  good film."])
    assert [(span.start, span.end, span.label) for span in prediction.spans] == [(6, 15, "x")]
    assert prediction.label == "good film (x)"
    assert 0.5 < prediction.spans[0].probability <= 1
    (of_words,) = tltk.predict(loaded, [["very", "good", "film"]])
    assert [(span.start, span.end) for span in of_words.spans] == [(5, 14)]


def test_training_on_cached_features_of_frozen_layers_gives_the_same_weights(backbone):
    source = marked(24)
    weights = []
    for cache in ("memory", "off"):
        keras.utils.set_random_seed(0)
        model = tltk.assemble(backbone, tltk.token_classification(source.labels), precision="float32")
        tltk.fit(model, source, recipe=tltk.bert(epochs=2, top_blocks=1, learning_rate=1e-3), batch_size=8, cache=cache)
        weights.append(model.keras.get_weights())
    for cached, uncached in zip(*weights, strict=True):
        np.testing.assert_allclose(cached, uncached, atol=1e-5)


def test_the_config_restores_the_task_and_unsuitable_labels_are_refused():
    task = tltk.token_classification(TYPES, scheme="bilou", head=tltk.head(hidden=(4,)))
    assert from_config(task.to_config()) == task
    with pytest.raises(ValueError, match=r"`labels` must be types of entities. Received: type 'categorical'"):
        tltk.token_classification(LabelSpec(("a", "b")))
    with pytest.raises(
        ValueError, match=r"`labels` are types of entities \(x, y\), not classes\. Use tltk\.token_classification"
    ):
        tltk.classification(TYPES)
    with pytest.raises(ValueError, match=r"`scheme` must be one of 'bio', 'bilou'"):
        tltk.token_classification(TYPES, scheme="iob")
    with pytest.raises(ValueError, match="token_classification needs a backbone that takes texts"):
        tltk.assemble(tltk.backbone("mobilenet_v2", weights="random", image_size=32), tltk.token_classification(TYPES))


def test_texts_shorter_than_the_shortest_padded_length_are_trained_on(backbone):
    source = from_words([["good", "film"], ["the", "book"]], [["B-x", "I-x"], ["O", "B-y"]])
    model = tltk.assemble(backbone, tltk.token_classification(source.labels), precision="float32")
    run = tltk.fit(model, source, source, recipe=tltk.bert(epochs=1), batch_size=2)
    # A head that starts at zero predicts equal probabilities: the first loss is the logarithm of the number of tags.
    assert run.history[0]["loss"] == pytest.approx(np.log(len(model.task.tags)), rel=1e-3)


WORDS_AND_TAGS = (
    [["the", "good-film", "is", "bad."], ["book", ",", "U.S.", "film"]],
    [["O", "B-x", "O", "O"], ["B-y", "O", "B-x", "I-x"]],
)


@pytest.mark.parametrize("scheme", ["bio", "bilou"])
def test_each_part_of_a_word_with_punctuation_has_a_tag(backbone, scheme):
    source, task = from_words(*WORDS_AND_TAGS), tltk.token_classification(TYPES, scheme=scheme)
    targets = targets_of(task, source, backbone.input_spec)
    assert (targets >= 0).sum() == 14  # the good - film is bad . | book , U . S . film
    assert spans_of_perfect_model(task, source, backbone.input_spec) == [tuple(spans) for spans in source.targets]


def test_words_get_the_same_entities_as_the_joined_text(backbone):
    labels = from_words(*WORDS_AND_TAGS).labels
    task = tltk.token_classification(labels, head=tltk.head(zero_init=False, normalization=None))
    model = tltk.assemble(backbone, task, precision="float32")
    head = model.keras.get_layer("head_output")
    head.kernel.assign(5 * keras.random.normal(head.kernel.shape, seed=1))
    words_of_texts = WORDS_AND_TAGS[0]
    of_words = tltk.predict(model, words_of_texts)
    of_texts = tltk.predict(model, [" ".join(words) for words in words_of_texts])
    assert any(prediction.spans for prediction in of_words)
    assert [prediction.spans for prediction in of_words] == [prediction.spans for prediction in of_texts]


def test_an_entity_does_not_include_adjacent_punctuation(backbone):
    texts = ["the film(book).", "good!film"]
    spans = [[Span(4, 8, "x"), Span(9, 13, "y")], [Span(0, 4, "x"), Span(5, 9, "y")]]
    source = replace(tltk.from_arrays(texts), targets=_object(spans), labels=TYPES)
    task = tltk.token_classification(TYPES)
    assert [list(predicted) for predicted in spans_of_perfect_model(task, source, backbone.input_spec)] == spans


def test_a_dataset_has_no_windows_to_read_entities_from(backbone):
    import tensorflow as tf

    model = tltk.assemble(backbone, tltk.token_classification(TYPES), precision="float32")
    with pytest.raises(ValueError, match=r"token_classification needs a source of texts: a tf.data.Dataset has no"):
        tltk.predict(model, tf.data.Dataset.from_tensor_slices(["good film"]).batch(1))


def test_entities_are_compared_without_padding_and_not_in_16_bits():
    task = tltk.token_classification(TYPES)
    answer = {
        "starts": np.array([0, 5]), "ends": np.array([4, 9]), "types": np.array(["x", "y"], object),
        "entities": np.array(["good", "book"], object), "probabilities": np.array([0.5, 0.6]),
    }  # fmt: skip
    padding = {"starts": -1, "ends": -1, "types": "", "entities": "", "probabilities": 0.0}
    padded = {name: np.append(column, np.array([padding[name]], column.dtype)) for name, column in answer.items()}
    assert task.agrees(answer, padded, 1e-5) == ""
    other = {**answer, "ends": np.array([4, 8])}
    assert "`ends`" in task.agrees(answer, other, 1e-5)
    assert task.agrees(answer, other, 0.05) == ""


def test_a_source_may_lack_some_types_but_not_add_any():
    task = tltk.token_classification(["x", "y"])
    task.check_labels(LabelSpec(("y",), "entities"), "data")
    with pytest.raises(ValueError, match="does not know: z"):
        task.check_labels(LabelSpec(("y", "z"), "entities"), "data")
