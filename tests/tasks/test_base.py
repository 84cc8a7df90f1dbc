from types import SimpleNamespace

import pytest

from tltk import tasks
from tltk.specs import LabelSpec
from tltk.tasks.base import require_labels

TASK = tasks.classification(LabelSpec(("cat", "dog")))


def source(*names, label_type="categorical", targets=(0,)):
    labels = LabelSpec(names, label_type) if names else None
    return SimpleNamespace(labels=labels, targets=targets if names else None, describe=lambda: "3 pictures\nrest")


def test_equal_labels_pass():
    require_labels(TASK, source("cat", "dog"), "train")


def test_every_difference_is_named():
    with pytest.raises(ValueError, match=r"(?s)`val`.*does not know: owl.*lacks labels that the model knows: dog"):
        require_labels(TASK, source("cat", "owl"), "val")
    with pytest.raises(ValueError, match=r"in another order: dog, cat"):
        require_labels(TASK, source("dog", "cat"), "val")
    with pytest.raises(ValueError, match=r"labels of type 'multilabel', the model's task has 'categorical'"):
        require_labels(TASK, source("cat", "dog", label_type="multilabel"), "val")
    with pytest.raises(ValueError, match=r"`val` has no labels: 3 pictures$"):
        require_labels(TASK, source(), "val")
