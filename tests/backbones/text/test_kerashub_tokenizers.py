"""Each family of text models: token ids as in KerasHub, padding without effect, saving, export."""

import json

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests import families
from tests.texts import fuzzed, texts
from tltk.backbones.text.kerashub_tokenizers import FAMILIES, load_tokenizer
from tltk.data.formats.squad import from_questions
from tltk.modalities.batches import batches
from tltk.modalities.text.context import as_windows
from tltk.modalities.text.encoding import encoded
from tltk.modalities.text.words import words_of
from tltk.models.transfer_model import TransferModel
from tltk.serving.signatures import build_signatures

pytestmark = pytest.mark.usefixtures("replay_here")

EXAMPLES = ("good film", "great book , not bad !", "awful", "the unlikely film isn't\n poor", "très bien — 12 films")
PACKERS = {
    "roberta": "RobertaTextClassifierPreprocessor",
    "albert": "AlbertTextClassifierPreprocessor",
    "deberta_v3": "DebertaV3TextClassifierPreprocessor",
    "xlm_roberta": "XLMRobertaTextClassifierPreprocessor",
}


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    presets = {}

    def of(family):
        if family not in presets:
            presets[family] = str(families.preset(family, tmp_path_factory.mktemp("preset") / family))
        return presets[family]

    return of


def assembled(folder, **options) -> TransferModel:
    task = tltk.classification(texts().labels, head=tltk.head(zero_init=False, normalization=None), **options)
    return tltk.assemble(tltk.backbone(folder), task, precision="float32")


@pytest.mark.parametrize("family", PACKERS)
@pytest.mark.parametrize("pairs", [False, True])
def test_texts_and_pairs_get_the_token_ids_of_kerashub(preset, family, pairs):
    folder = preset(family)
    spec = tltk.classification(texts().labels, pairs=pairs).input_spec(tltk.backbone(folder).input_spec)
    pack = getattr(keras_hub.models, PACKERS[family])(load_tokenizer(folder), sequence_length=32)
    pack(["built by its first call"])
    first, second = list(EXAMPLES[:3]), ["awful", "bad", "2 films"]
    expected = pack.call((first, second) if pairs else first)  # `pack((first, second))` takes the second for labels
    source = tltk.from_arrays(list(zip(first, second, strict=True)) if pairs else first)
    encoding = encoded(source, spec)
    real = np.asarray(expected["padding_mask"]).astype(bool)
    wanted = np.asarray(expected["token_ids"])
    for row in range(3):
        assert encoding.ids[encoding.place(row)].tolist() == wanted[row][real[row]].tolist()


def test_gpt2_reads_texts_without_special_tokens_and_pairs_as_two_lines(preset):
    folder = preset("gpt2")
    cut = load_tokenizer(folder)
    examples = list(EXAMPLES)
    encoding = encoded(tltk.from_arrays(examples), tltk.backbone(folder).input_spec)
    assert [encoding.ids[encoding.place(row)].tolist() for row in range(len(examples))] == [
        list(ids) for ids in cut(examples)
    ]
    model = assembled(folder, pairs=True)
    both = encoded(tltk.from_arrays([("good film", "bad book")]), model.input_spec)
    assert both.ids.tolist() == list(cut("good film\nbad book"))


@pytest.mark.parametrize("family", families.FAMILIES)
def test_padding_has_no_effect_and_an_empty_text_gives_finite_outputs(preset, family):
    model = assembled(preset(family))
    ids = next(iter(batches(tltk.from_arrays(["good film", "", EXAMPLES[1]]), model.input_spec).dataset())).numpy()
    padding = model.input_spec.padding_id
    wide = np.pad(ids, ((0, 0), (0, 32 - ids.shape[1])), constant_values=padding)
    outputs, of_wide = (model.keras(tokens, training=False).numpy() for tokens in (ids, wide))
    assert np.isfinite(outputs).all()
    assert np.ptp(outputs[:, 0]) > 1e-3
    np.testing.assert_allclose(of_wide, outputs, atol=1e-5)


def test_the_head_of_gpt2_reads_the_last_token(preset):
    folder = preset("gpt2")
    model = assembled(folder)
    assert model.task.head.pooling == "last"
    assert assembled(preset("bert")).task.head.pooling == "avg"
    states = tltk.embed(tltk.backbone(folder), ["good film !", "awful"], pooling=None, precision="float32").features
    last = tltk.embed(tltk.backbone(folder), ["good film !", "awful"], pooling="last", precision="float32").features
    count = encoded(tltk.from_arrays(["good film !", "awful"]), model.input_spec).lengths
    assert count[0] != count[1]
    np.testing.assert_allclose(last, states[np.arange(2), count - 1], atol=1e-6)


@pytest.mark.parametrize("family", families.FAMILIES)
def test_a_run_trains_the_top_block_and_is_saved_and_loaded(preset, family, tmp_path):
    model = assembled(preset(family))
    blocks = [stage for stage in model.stage_names if stage.startswith("block")]
    assert model.stage_names == ("embeddings", *blocks, "head")
    assert len(blocks) == (1 if family == "albert" else 2)  # ALBERT runs through one block several times
    recipe = tltk.bert(epochs=1, top_blocks=1, learning_rate=1e-3, warmup=0)
    run = tltk.fit(model, texts(), recipe=recipe, batch_size=4, out=tmp_path / "run")
    again = tltk.load_run(tmp_path / "run")
    assert again.model.input_spec == run.model.input_spec
    ids = next(iter(batches(tltk.from_arrays(list(EXAMPLES)), model.input_spec).dataset())).numpy()
    expected = run.model.keras(ids, training=False)
    np.testing.assert_allclose(again.model.keras(ids, training=False), expected, atol=1e-6)
    again.save(tmp_path / "twice")
    twice = tltk.load_run(tmp_path / "twice")
    np.testing.assert_allclose(twice.model.keras(ids, training=False), expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gpt2", "albert", "deberta_v3"])  # the two others are token classifiers below
def test_an_export_reproduces_the_model_for_fuzzed_strings(preset, family, tmp_path):
    model = assembled(preset(family))
    asked = [b"", *(text.encode("utf-8", errors="surrogatepass") for text in fuzzed(100))]
    exported = tltk.export(model, tmp_path / "served", requests=asked)
    assert max(exported.largest_differences.values()) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("family", ["roberta", "xlm_roberta"])
def test_an_export_reproduces_a_token_classifier_whose_tokens_contain_spaces(preset, family, tmp_path):
    labels = tltk.specs.LabelSpec(("x", "y"), type="entities")
    task = tltk.token_classification(labels, head=tltk.head(zero_init=False, normalization=None))
    model = tltk.assemble(tltk.backbone(preset(family)), task, precision="float32")
    generator = keras.random.SeedGenerator(1)
    head = model.keras.get_layer("head_output")
    head.kernel.assign(3 * keras.random.normal(head.kernel.shape, seed=generator))
    asked = [text.encode("utf-8", errors="surrogatepass") for text in fuzzed(100)]
    exported = tltk.export(model, tmp_path / "served", requests=asked)
    assert {"starts", "ends", "types", "probabilities"} < set(exported.differences["serving_default"])
    examples = ["  good  film ", "a\u3000b\n\nc"]
    for text, prediction in zip(examples, tltk.predict(model, examples), strict=True):
        assert all(text[span.start : span.end].strip() == text[span.start : span.end] for span in prediction.spans)


def test_an_unsupported_tokenizer_is_an_error_that_names_it(tmp_path):
    folder = tmp_path / "other"
    families.preset("roberta", folder)
    cut = keras_hub.models.BartTokenizer(*families._merges("<s>", "<pad>", "</s>", "<unk>", "<mask>"))
    cut.save_to_preset(str(folder))
    with pytest.raises(ValueError, match=r"has a BartTokenizer, which tltk does not support. Supported: Bert, .*GPT2"):
        load_tokenizer(str(folder))
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(OSError, match="cannot read the tokenizer of"):
        load_tokenizer(str(folder))
    assert all(hasattr(keras_hub.models, name) for name in FAMILIES)


def test_tokenizer_settings_of_hugging_face_are_respected(preset, tmp_path):
    folder = families.preset("roberta", tmp_path / "roberta")
    (folder / "tokenizer_config.json").write_text(json.dumps({"add_prefix_space": True}))
    assert tltk.backbone(str(folder)).input_spec.tokenizer.add_prefix_space
    assert not tltk.backbone(preset("roberta")).input_spec.tokenizer.add_prefix_space


@pytest.mark.parametrize("family", families.FAMILIES)
def test_words_end_at_punctuation_and_ideographs_with_every_tokenizer(preset, family):
    examples = [
        "he saw Rome.",
        "in (five), good",
        "film/book",
        "good  film",
        "東京は good",
        "the 1990s book",
        "cafe\u0301 \x85 film",
    ]
    expected = [
        ["he", "saw", "Rome", "."], ["in", "(", "five", ")", ",", "good"], ["film", "/", "book"], ["good", "film"],
        ["東", "京", "は", "good"], ["the", "1990s", "book"], ["cafe\u0301", "film"],
    ]  # fmt: skip
    if family in ("albert", "deberta_v3", "xlm_roberta"):
        expected[4] = ["東京は", "good"]  # unknown to these small models: SentencePiece makes one piece of them all
    texts = as_windows(encoded(tltk.from_arrays(examples), tltk.backbone(preset(family)).input_spec))
    columns = words_of(texts, tf.constant(len(examples), tf.int64))
    words = [[] for _ in examples]
    for row, start, end in zip(*(column.numpy().tolist() for column in columns[:3]), strict=True):
        words[row].append(examples[row][start:end])
    assert words == expected


@pytest.mark.parametrize("family", ["roberta", "deberta_v3"])
def test_an_answer_next_to_punctuation_is_learned_and_predicted(preset, family):
    contexts = ["he lives in Rome.", "he was in Oslo, once"] * 30
    source = from_questions(["good film"] * 60, contexts, [[(12, "Rome")], [(10, "Oslo")]] * 30)
    model = tltk.assemble(tltk.backbone(preset(family)), tltk.question_answering(no_answer=False), precision="float32")
    tltk.fit(model, source, recipe=tltk.bert(epochs=10, learning_rate=3e-3), batch_size=8)
    assert tltk.evaluate(model, source).metrics["exact_match"] >= 0.9
    predictions = tltk.predict(model, [("good film", text) for text in contexts[:2]])
    assert [prediction.label for prediction in predictions] == ["Rome", "Oslo"]


@pytest.mark.parametrize("family", ["roberta"])
def test_an_exported_question_answerer_agrees_with_predict(preset, family):
    task = tltk.question_answering(no_answer=False, head=tltk.head(zero_init=False, normalization=None))
    model = tltk.assemble(tltk.backbone(preset(family)), task, precision="float32")
    asked = [("good book", "the film is very  good and not bad"), ("what is here", "a book"), ("a long question", "i")]
    expected = tltk.predict(model, asked)
    run = build_signatures(model)["serving_default"].run(*(tf.constant(column) for column in zip(*asked, strict=True)))
    for row, prediction in enumerate(expected):
        (span,) = prediction.spans
        assert (int(run["start"][row]), int(run["end"][row])) == (span.start, span.end)
        assert run["answer"][row].numpy().decode() == prediction.label == prediction.label.strip()


def test_gpt2_cannot_predict_no_answer_at_its_first_token(preset):
    with pytest.raises(ValueError, match="Pass no_answer=False, or use another backbone"):
        tltk.assemble(tltk.backbone(preset("gpt2")), tltk.question_answering())
