"""The KerasHub text presets that `tltk.backbone` knows by name: parameters, sequence length, handle."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TextPreset:
    """A KerasHub text preset.

    Args:
        name: Name of the preset.
        parameters: Number of weights in KerasHub's preset list; for MiniLM without the pooler, which its package lacks.
        sequence_length: Maximum number of tokens of a text.
        handle: Handle without the version.
    """

    name: str
    parameters: int
    sequence_length: int
    handle: str


MINILM = "all_minilm_l6_v2_en"
# keras_hub/src/models/*/*_presets.py of KerasHub 0.32; their configurations are on a hub.
TEXT_PRESETS = {
    name: TextPreset(name, parameters, length, f"kaggle://keras/{family}/keras/{name}")
    for family, length, names in (
        (
            "sentence-transformers",
            256,
            {
                "all_minilm_l6_v2_en": 22_565_376,
            },
        ),
        (
            "bert",
            512,
            {
                "bert_tiny_en_uncased": 4_385_920,
                "bert_small_en_uncased": 28_763_648,
                "bert_medium_en_uncased": 41_373_184,
                "bert_base_en_uncased": 109_482_240,
                "bert_large_en_uncased": 335_141_888,
                "bert_base_en": 108_310_272,
                "bert_large_en": 333_579_264,
                "bert_base_multi": 177_853_440,
                "bert_base_zh": 102_267_648,
            },
        ),
        (
            "distil_bert",
            512,
            {
                "distil_bert_base_en_uncased": 66_362_880,
                "distil_bert_base_en": 65_190_912,
                "distil_bert_base_multi": 134_734_080,
            },
        ),
        (
            "roberta",
            512,
            {
                "roberta_base_en": 124_052_736,
                "roberta_large_en": 354_307_072,
            },
        ),
        (
            "xlm_roberta",
            512,
            {
                "xlm_roberta_base_multi": 277_450_752,
                "xlm_roberta_large_multi": 558_837_760,
            },
        ),
        (
            "multilingual-e5",
            512,
            {
                "multilingual_e5_base": 277_450_752,
                "multilingual_e5_large": 558_837_760,
            },
        ),
        (
            "albert",
            512,
            {
                "albert_base_en_uncased": 11_683_584,
                "albert_large_en_uncased": 17_683_968,
                "albert_extra_large_en_uncased": 58_724_864,
                "albert_extra_extra_large_en_uncased": 222_595_584,
            },
        ),
        (
            "deberta_v3",
            512,
            {
                "deberta_v3_extra_small_en": 70_682_112,
                "deberta_v3_small_en": 141_304_320,
                "deberta_v3_base_en": 183_831_552,
                "deberta_v3_large_en": 434_012_160,
                "deberta_v3_base_multi": 278_218_752,
            },
        ),
        (
            "electra",
            512,
            {
                "electra_small_discriminator_uncased_en": 13_548_800,
                "electra_base_discriminator_uncased_en": 109_482_240,
                "electra_large_discriminator_uncased_en": 335_141_888,
            },
        ),
        (
            "gpt2",
            1024,
            {
                "gpt2_base_en": 124_439_808,
                "gpt2_medium_en": 354_823_168,
                "gpt2_large_en": 774_030_080,
                "gpt2_extra_large_en": 1_557_611_200,
            },
        ),
    )
    for name, parameters in names.items()
}
