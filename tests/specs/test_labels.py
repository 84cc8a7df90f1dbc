import numpy as np
import pytest

from tltk.data.source import Source
from tltk.specs import LabelSpec


def test_labels_are_unique_and_not_empty():
    assert len(LabelSpec(("a", "b"))) == 2
    with pytest.raises(ValueError, match=r"Received twice: a"):
        LabelSpec(("a", "b", "a"))
    with pytest.raises(ValueError, match=r"at least one name"):
        LabelSpec(())
    for wrong in ("", None, 3):
        with pytest.raises(ValueError, match=r"`type` must be the name of a type of labels"):
            LabelSpec(("a",), type=wrong)


def test_types_are_open_and_looked_up_where_targets_are():
    assert LabelSpec(("a",), type="several").type == "several"
    with pytest.raises(ValueError, match="several"):
        Source("text", "arrays", np.array(["x"], object), np.array([0]), LabelSpec(("a",), type="several"))
