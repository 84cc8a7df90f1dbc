import numpy as np
import pytest

from tltk.data.source import Source
from tltk.specs import LabelSpec


def test_names_must_be_unique_and_not_empty():
    assert len(LabelSpec(("a", "b"))) == 2
    with pytest.raises(ValueError, match=r"Received twice: a"):
        LabelSpec(("a", "b", "a"))
    with pytest.raises(ValueError, match=r"at least one name"):
        LabelSpec(())
    assert LabelSpec(["a", "b"]) == LabelSpec(("a", "b"))
    with pytest.raises(TypeError, match=r"`names` must be tuple or list. Received: str"):
        LabelSpec("cat")
    for label_type in ("", None, 3):
        with pytest.raises(ValueError, match=r"`type` must be the name of a label type"):
            LabelSpec(("a",), type=label_type)


def test_unknown_types_raise_only_when_targets_are_created():
    assert LabelSpec(("a",), type="polygons").type == "polygons"
    with pytest.raises(ValueError, match="polygons"):
        Source("text", "arrays", np.array(["x"], object), np.array([0]), LabelSpec(("a",), type="polygons"))


def test_half_of_a_character_is_no_name():
    with pytest.raises(ValueError, match=r"`labels` must be names. '\\ud83d' is not Unicode"):
        LabelSpec(("a", "\ud83d"))
