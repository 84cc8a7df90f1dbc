import json
import shutil

import keras
import numpy as np
import pytest

import tltk
from tests.conftest import weights_as_bytes
from tests.texts import VOCABULARY, minilm_folder, text_model, texts, tiny_preset
from tltk.backbones.text import kerashub as hub_text


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    return tiny_preset(tmp_path_factory.mktemp("preset") / "tiny")


def safetensors(path):
    from safetensors.numpy import load_file

    return {name.removeprefix("bert."): value for name, value in load_file(path).items()}


def bert_by_hand(weights, config, ids):
    """BERT's encoder written out in NumPy (Devlin et al. 2019; layer norm after each residual, exact GELU)."""
    from scipy.special import erf, softmax

    def dense(x, name):
        return x @ weights[f"{name}.weight"].T.astype("float64") + weights[f"{name}.bias"]

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + config["layer_norm_eps"])
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def heads(x):
        return x.reshape(*x.shape[:2], config["num_attention_heads"], -1).swapaxes(1, 2)

    embedded = weights["embeddings.word_embeddings.weight"][ids].astype("float64")
    embedded += weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
    x = norm(embedded + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    away = np.where(ids == 0, -1e9, 0.0)[:, None, None]
    for index in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{index}"
        query, key, value = (heads(dense(x, f"{layer}.attention.self.{part}")) for part in ("query", "key", "value"))
        weighed = softmax(query @ key.swapaxes(2, 3) / np.sqrt(query.shape[-1]) + away, axis=-1) @ value
        attended = dense(weighed.swapaxes(1, 2).reshape(x.shape), f"{layer}.attention.output.dense")
        x = norm(x + attended, f"{layer}.attention.output.LayerNorm")
        inner = dense(x, f"{layer}.intermediate.dense")
        inner = inner * (1 + erf(inner / np.sqrt(2))) / 2
        x = norm(x + dense(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    return x


def test_minilm_computes_the_hidden_states_of_its_published_weights():
    backbone = tltk.backbone("all_minilm_l6_v2_en")
    body, origin = backbone.build()
    assert origin.kind == "tltk cache"
    assert body.count_params() == backbone.parameters
    examples = ["A café in Zürich, 1999!", "short", "transfer learning keeps what a network has learned elsewhere " * 3]
    ids = data_ids(examples, backbone.input_spec)
    config = json.loads((minilm_folder() / "config.json").read_text())
    expected = bert_by_hand(safetensors(minilm_folder() / "model.safetensors"), config, ids)
    hidden = body.predict(ids, verbose=0)
    np.testing.assert_allclose(hidden[ids > 0], expected[ids > 0], atol=1e-4)


def data_ids(examples, spec):
    from tltk.modalities.batches import batches

    return next(iter(batches(tltk.from_arrays(examples), spec).dataset())).numpy()


def test_the_loader_of_kerashub_uses_another_gelu_and_keeps_accents():
    import keras_hub

    body = keras_hub.models.Backbone.from_preset(str(minilm_folder()))
    backbone = tltk.backbone("all_minilm_l6_v2_en")
    ids = data_ids(["transfer learning"], backbone.input_spec)
    mask = (ids > 0).astype("int32")
    theirs = body.predict({"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": mask}, verbose=0)[
        "sequence_output"
    ]
    ours = backbone.build()[0].predict(ids, verbose=0)
    assert 1e-4 < np.abs(theirs - ours)[ids > 0].max() < 0.1, "the trap is gone: see hub_text._use_exact_gelu"
    assert not keras_hub.models.BertTokenizer.from_preset(str(minilm_folder())).strip_accents
    assert backbone.input_spec.tokenizer.strip_accents


def test_the_backbone_of_minilm_has_its_sizes():
    backbone = tltk.backbone("all_minilm_l6_v2_en")
    assert [stage.name for stage in backbone.stages] == ["embeddings", *(f"block{n}" for n in range(1, 7))]
    assert backbone.input_spec.sequence_length == 256
    assert backbone.describe().splitlines()[0] == (
        "all_minilm_l6_v2_en: 22,565,376 parameters, 256 tokens, pretrained weights"
    )
    assert tltk.backbone("all_minilm_l6_v2_en", sequence_length=64).input_spec.sequence_length == 64


def test_the_error_for_missing_minilm_names_the_registry(monkeypatch, tmp_path):
    monkeypatch.setenv("TLTK_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"Tried: tltk cache: no .*`tltk weights get all_minilm_l6_v2_en`"):
        tltk.backbone("all_minilm_l6_v2_en")


def test_a_preset_folder_of_kerashub_is_a_backbone(preset):
    backbone = tltk.backbone(str(preset))
    assert backbone.input_spec.tokenizer.vocabulary == VOCABULARY
    assert (
        backbone.input_spec.sequence_length,
        backbone.input_spec.tokenizer.lowercase,
        backbone.input_spec.tokenizer.strip_accents,
    ) == (32, True, True)
    body, origin = backbone.build()
    assert (origin.kind, origin.path) == ("path", str(preset))
    again = backbone.build()[0]
    ids = np.array([[2, 5, 3, 0]], "int32")
    np.testing.assert_array_equal(body.predict(ids, verbose=0), again.predict(ids, verbose=0))
    random_body = tltk.backbone(str(preset), weights="random").build()[0]
    assert np.abs(random_body.predict(ids, verbose=0) - body.predict(ids, verbose=0)).max() > 0.1


def test_every_stage_of_a_text_model_has_the_same_width(preset):
    backbone = tltk.backbone(str(preset))
    expected = {name: tltk.backbones.Endpoint(1, 16) for name in ("embeddings", "block1", "block2")}
    assert backbone.endpoints() == expected


def test_padding_and_segments_are_computed_from_token_ids(preset):
    import keras_hub

    body = keras_hub.models.Backbone.from_preset(str(preset))
    ids = np.array([[2, 5, 6, 3, 7, 8, 3, 0, 0], [2, 5, 3, 0, 0, 0, 0, 0, 0]], "int32")
    segments = np.array([[0, 0, 0, 0, 1, 1, 1, 0, 0], [0] * 9], "int32")
    inputs = {"token_ids": ids, "segment_ids": segments, "padding_mask": (ids > 0).astype("int32")}
    expected = body.predict(inputs, verbose=0)["sequence_output"]
    hidden = tltk.backbone(str(preset)).build()[0].predict(ids, verbose=0)
    np.testing.assert_allclose(hidden, expected, atol=1e-5)


def test_features_do_not_depend_on_padding(preset):
    model = text_model(preset)
    ids = np.array([[2, 5, 6, 3]], "int32")
    wide = np.pad(ids, ((0, 0), (0, 12)))
    np.testing.assert_allclose(model.keras.predict(ids, verbose=0), model.keras.predict(wide, verbose=0), atol=1e-6)


def test_every_layer_has_a_stage_and_frozen_blocks_do_not_change(preset):
    model = text_model(preset)
    assert model.stage_names == ("embeddings", "block1", "block2", "head")
    before = weights_as_bytes(model.keras, "")
    tltk.fit(model, texts(), recipe=tltk.bert(epochs=2, top_blocks=1, learning_rate=1e-2, warmup=0), batch_size=4)
    after = weights_as_bytes(model.keras, "")
    moved = {name.split("/")[0] for name in before if before[name] != after[name]}
    assert {model.stages[name] for name in moved} == {"block2", "head"}


def test_a_text_model_is_loaded_from_a_keras_file(preset, tmp_path):
    model = text_model(preset, head=tltk.head(zero_init=False))
    model.keras.save(tmp_path / "model.keras")
    hub_text.register_layers_of(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    ids = np.array([[2, 5, 6, 3, 0, 0]], "int32")
    np.testing.assert_array_equal(loaded.predict(ids, verbose=0), model.keras.predict(ids, verbose=0))


def test_invalid_options_are_errors(preset, tmp_path):
    with pytest.raises(ValueError, match=r"`image_size` does not apply to .*text input"):
        tltk.backbone(str(preset), image_size=64)
    with pytest.raises(ValueError, match=r"(?s)`sequence_length` does not apply to resnet50.*`overlap` does not apply"):
        tltk.backbone("resnet50", sequence_length=64, overlap=4)
    with pytest.raises(ValueError, match=r"`sequence_length` of .* must be at most 32 tokens\. Received: 64"):
        tltk.backbone(str(preset), sequence_length=64)
    with pytest.raises(ValueError, match=r"Did you mean 'bert_base_en_uncased'\?"):
        tltk.backbone("bert_base_uncased")
    broken = tmp_path / "broken"
    shutil.copytree(preset, broken)
    (broken / "config.json").write_text("{")
    with pytest.raises((ValueError, OSError), match="broken"):
        tltk.backbone(str(broken))


def test_overlong_texts_are_truncated_on_the_given_side_or_read_in_windows(tmp_path):
    folder = str(tiny_preset(tmp_path / "preset"))
    assert tltk.backbone(folder, truncation="middle").input_spec.truncation == "middle"
    assert tltk.backbone(folder, overlap=4).input_spec.overlap == 4
    with pytest.raises(ValueError, match=r"`truncation` must be one of 'end', 'start', 'middle'\. Received: 'front'"):
        tltk.backbone(folder, truncation="front")
    with pytest.raises(ValueError, match=r"`overlap` must be .*\(8\)\. Received: 9"):
        tltk.backbone(folder, overlap=9)
    with pytest.raises(ValueError, match="`truncation` does not apply to resnet50"):
        tltk.backbone("resnet50", truncation="end")
