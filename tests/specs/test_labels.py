import pytest

from tltk.specs import LabelSpec


def test_labels_are_unique_and_not_empty():
    assert len(LabelSpec(("a", "b"))) == 2
    with pytest.raises(ValueError, match=r"Received twice: a"):
        LabelSpec(("a", "b", "a"))
    with pytest.raises(ValueError, match=r"at least one name"):
        LabelSpec(())
    with pytest.raises(ValueError, match=r"`type` must be one of"):
        LabelSpec(("a",), type="several")
