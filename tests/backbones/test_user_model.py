import keras
import pytest

import tltk
from tests.texts import TOKENIZER
from tltk.specs import ImageSpec, TextSpec


def embedder(**options):
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    x = keras.layers.Embedding(24, 8, name="table")(ids)
    return keras.Model(ids, keras.layers.Dense(4, name="mix")(x), name="bag", **options)


def test_a_text_model_becomes_a_backbone_with_its_spec():
    spec = TextSpec(TOKENIZER, 16)
    backbone = tltk.backbone(embedder(), spec=spec, stages={"table": "table", "mix": "mix"})
    assert (backbone.modality, backbone.input_spec, backbone.parameters) == ("text", spec, 24 * 8 + 8 * 4 + 4)
    model = tltk.assemble(backbone, tltk.classification(("bad", "good")))
    assert model.stage_names == ("table", "mix", "head")
    predictions = tltk.predict(model, ["good film", "bad"])
    assert len(predictions) == 2


def test_a_model_that_does_not_fit_the_spec_is_an_error():
    with pytest.raises(ValueError, match=r"'bag' cannot be a backbone of images:\n.*\[batch, 8, 8, 3\] as `spec` says"):
        tltk.backbone(embedder(), spec=ImageSpec(8, 8))
    pixels = keras.Input((16,), dtype="float32")
    with pytest.raises(ValueError, match=r"its input must be int32, and is float32. Rebuild it"):
        tltk.backbone(keras.Model(pixels, keras.layers.Dense(2)(pixels)), spec=TextSpec(TOKENIZER, 16))
    with pytest.raises(TypeError, match="functional keras"):
        tltk.backbone("resnet50", spec=ImageSpec(8, 8))
    with pytest.raises(ValueError, match="no modality has specs of type str"):
        tltk.backbone(embedder(), spec="texts")
