"""What every modality answers, and what it refuses."""

import pytest

import tltk
from tests.conftest import squares
from tests.texts import TOKENIZER, marked, texts
from tltk.modalities.modality import modality_of, named_modality
from tltk.specs import ImageSpec, TextSpec

SPEC = TextSpec(TOKENIZER, 8)
IMAGES, TEXTS = named_modality("image"), named_modality("text")


def test_a_spec_has_one_modality_and_an_unknown_one_is_named():
    assert modality_of(ImageSpec(8, 8)) is IMAGES and modality_of(SPEC) is TEXTS
    with pytest.raises(
        ValueError, match=r"no modality takes a str; known specs: .*ImageSpec, TextSpec.*register_modality"
    ):
        modality_of("spec")
    with pytest.raises(ValueError, match="register_modality"):
        named_modality("smell")


def test_pairs_and_windows_need_a_backbone_of_texts():
    assert TEXTS.paired(SPEC).pairs
    assert TEXTS.windowed(SPEC, "tagging").stride == 1
    with pytest.raises(ValueError, match="`pairs=True` needs a backbone that takes texts; this one takes images"):
        IMAGES.paired(ImageSpec(8, 8))
    with pytest.raises(ValueError, match="tagging needs a backbone that takes texts; this one takes images"):
        IMAGES.windowed(ImageSpec(8, 8), "tagging")


def test_input_that_the_model_does_not_take_is_named():
    IMAGES.check(squares(2), ImageSpec(16, 16), "data")
    TEXTS.check(texts(), SPEC, "data")
    with pytest.raises(ValueError, match="`data` holds images, and the model takes texts"):
        TEXTS.check(squares(2), SPEC, "data")
    with pytest.raises(ValueError, match="`data` holds single texts, and the model reads pairs of them"):
        TEXTS.check(texts(), TEXTS.paired(SPEC), "data")


def test_every_window_has_the_target_of_its_text_or_targets_of_its_own():
    source = marked(5, longest=40)
    reader = TEXTS.reader(source, TEXTS.windowed(SPEC, "task"))
    assert reader.count > len(source)
    targets = tltk.token_classification(source.labels).element_targets(source.targets, reader)
    assert len(targets) == reader.count and targets.dtype == "int32"
    reader = TEXTS.reader(texts(), TEXTS.windowed(SPEC, "task"))
    task = tltk.classification(["bad", "good"])
    assert task.element_targets(texts().targets, reader).tolist() == texts().targets.tolist()
    assert task.element_targets(None, reader) is None
