import pytest

from tltk.specs import ImageSpec, LabelSpec


def test_an_input_spec_checks_every_field():
    assert ImageSpec(224, 200).shape == (224, 200, 3)
    with pytest.raises(ValueError, match=r"`height` must be a number above 0"):
        ImageSpec(0, 224)
    with pytest.raises(ValueError, match=r"`resize` must be one of .*Did you mean 'stretch'"):
        ImageSpec(224, 224, resize="strech")
    with pytest.raises(ValueError, match=r"`crop_fraction` must be at least 0 and at most 1"):
        ImageSpec(224, 224, resize="crop", crop_fraction=1.5)


def test_labels_are_unique_and_not_empty():
    assert len(LabelSpec(("a", "b"))) == 2
    with pytest.raises(ValueError, match=r"Received twice: a"):
        LabelSpec(("a", "b", "a"))
    with pytest.raises(ValueError, match=r"at least one name"):
        LabelSpec(())
    with pytest.raises(ValueError, match=r"`type` must be one of"):
        LabelSpec(("a",), type="several")
