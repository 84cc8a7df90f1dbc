import pytest

import tltk
from tests.texts import texts
from tltk.tasks.sources import require_labels


def test_a_source_needs_labels_equal_to_those_of_the_task():
    task = tltk.classification(["bad", "good"])
    require_labels(task, texts(), "train")
    with pytest.raises(ValueError, match="`train` has no labels: 1 texts"):
        require_labels(task, tltk.from_arrays(["a text"]), "train")
    with pytest.raises(ValueError, match="different labels"):
        require_labels(tltk.classification(["bad", "best"]), texts(), "train")
