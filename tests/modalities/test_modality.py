"""Methods that every modality has, and the inputs that each refuses."""

import pytest

import tltk
from tests.conftest import squares
from tests.texts import TOKENIZER, marked, texts
from tltk.modalities.modality import modality_of, named_modality
from tltk.specs import ImageSpec, TextSpec

SPEC = TextSpec(TOKENIZER, 8)
IMAGES, TEXTS = named_modality("image"), named_modality("text")


def test_the_modality_of_a_spec_is_found_by_its_type_and_unknown_types_are_refused():
    assert modality_of(ImageSpec(8, 8)) is IMAGES and modality_of(SPEC) is TEXTS
    with pytest.raises(
        ValueError, match=r"no modality has specs of type str; known types: .*ImageSpec, TextSpec.*register_modality"
    ):
        modality_of("spec")
    with pytest.raises(ValueError, match="register_modality"):
        named_modality("smell")


def test_pairs_and_windows_need_a_backbone_that_takes_texts():
    assert TEXTS.with_pairs(SPEC).pairs
    assert TEXTS.with_windows(SPEC, "tagging").overlap == 1
    with pytest.raises(ValueError, match="`pairs=True` needs a backbone that takes texts; this one takes images"):
        IMAGES.with_pairs(ImageSpec(8, 8))
    with pytest.raises(ValueError, match="tagging needs a backbone that takes texts; this one takes images"):
        IMAGES.with_windows(ImageSpec(8, 8), "tagging")


def test_sources_of_another_modality_and_single_texts_for_pairs_are_refused():
    IMAGES.check(squares(2), ImageSpec(16, 16), "data")
    TEXTS.check(texts(), SPEC, "data")
    with pytest.raises(ValueError, match="`data` holds images, but the model takes texts"):
        TEXTS.check(squares(2), SPEC, "data")
    with pytest.raises(ValueError, match="`data` holds single texts, but the model expects pairs of texts"):
        TEXTS.check(texts(), TEXTS.with_pairs(SPEC), "data")


def test_token_classification_has_targets_per_window_and_classification_one_per_text():
    source = marked(5, longest=40)
    reader = TEXTS.reader(source, TEXTS.with_windows(SPEC, "task"))
    assert reader.count > len(source)
    targets = tltk.token_classification(source.labels).element_targets(source.targets, reader)
    assert len(targets) == reader.count and targets.dtype == "int32"
    reader = TEXTS.reader(texts(), TEXTS.with_windows(SPEC, "task"))
    task = tltk.classification(["bad", "good"])
    assert task.element_targets(texts().targets, reader).tolist() == texts().targets.tolist()
    assert task.element_targets(None, reader) is None
