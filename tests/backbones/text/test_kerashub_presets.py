"""The table of text presets agrees with the presets of KerasHub."""

import keras_hub

import tltk
from tltk.backbones.text.kerashub_presets import MINILM, TEXT_PRESETS


def kerashub_presets():
    models = keras_hub.models
    kinds = ("Bert", "DistilBert", "Roberta", "XLMRoberta", "Albert", "DebertaV3", "Electra", "GPT2")
    return {name: row for kind in kinds for name, row in getattr(models, f"{kind}Backbone").presets.items()}


def test_every_row_is_a_preset_of_kerashub_with_its_parameters_and_handle():
    presets = kerashub_presets()
    for name, row in TEXT_PRESETS.items():
        assert presets[name]["kaggle_handle"].rsplit("/", 1)[0] == row.handle
        if name != MINILM:
            assert presets[name]["metadata"]["params"] == row.parameters


def test_the_row_of_minilm_agrees_with_its_files():
    backbone = tltk.backbone(MINILM)
    assert (backbone.parameters, backbone.input_spec.sequence_length) == (TEXT_PRESETS[MINILM].parameters, 256)
    assert TEXT_PRESETS[MINILM].sequence_length == 256
