"""What is written down of text presets is what KerasHub's own list says."""

import keras_hub

import tltk
from tltk.backbones.text.kerashub_presets import MINILM, TEXT_PRESETS


def known():
    models = keras_hub.models
    kinds = ("Bert", "DistilBert", "Roberta", "XLMRoberta", "Albert", "DebertaV3", "Electra", "GPT2")
    return {name: row for kind in kinds for name, row in getattr(models, f"{kind}Backbone").presets.items()}


def test_every_row_is_a_preset_of_kerashub_with_its_size_and_place():
    theirs = known()
    for name, row in TEXT_PRESETS.items():
        assert theirs[name]["kaggle_handle"].rsplit("/", 1)[0] == row.handle
        if name != MINILM:
            assert theirs[name]["metadata"]["params"] == row.parameters


def test_what_is_written_of_minilm_is_what_its_files_say():
    backbone = tltk.backbone(MINILM)
    assert (backbone.parameters, backbone.input.sequence_length) == (TEXT_PRESETS[MINILM].parameters, 256)
    assert TEXT_PRESETS[MINILM].sequence_length == 256
