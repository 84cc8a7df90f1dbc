import pytest

from tltk.specs import InputSpec, Labels


def test_an_input_spec_checks_every_field():
    assert InputSpec(224, 200).shape == (224, 200, 3)
    with pytest.raises(ValueError, match=r"`height` must be a number above 0"):
        InputSpec(0, 224)
    with pytest.raises(ValueError, match=r"`resize` must be one of .*Did you mean 'stretch'"):
        InputSpec(224, 224, resize="strech")
    with pytest.raises(ValueError, match=r"`crop_fraction` must be at least 0 and at most 1"):
        InputSpec(224, 224, resize="crop", crop_fraction=1.5)


def test_labels_are_unique_and_not_empty():
    assert len(Labels(("a", "b"))) == 2
    with pytest.raises(ValueError, match=r"Received twice: a"):
        Labels(("a", "b", "a"))
    with pytest.raises(ValueError, match=r"at least one name"):
        Labels(())
    with pytest.raises(ValueError, match=r"`kind` must be one of"):
        Labels(("a",), kind="several")
