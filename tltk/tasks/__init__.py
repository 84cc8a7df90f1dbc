"""Tasks: what is asked of a model. Each module holds one: its head, loss, metrics, target encoding and decoding."""

from tltk.foundation import checks as check
from tltk.heads.builder import Head
from tltk.specs import LabelSpec
from tltk.tasks.base import Prediction, Task
from tltk.tasks.classification import classification
from tltk.tasks.question_answering import question_answering
from tltk.tasks.regression import regression
from tltk.tasks.token_classification import token_classification

__all__ = [
    "Prediction",
    "Task",
    "classification",
    "from_config",
    "question_answering",
    "regression",
    "token_classification",
]

NAMES = ("classification", "multilabel_classification", "regression", "token_classification", "question_answering")


def from_config(config: dict) -> Task:
    """Rebuild a task from what its `to_config` gave.

    Args:
        config: plain JSON values.

    Returns:
        An equal task.

    Raises:
        ValueError: for a task that this version does not know.
    """
    check.one_of("task", config["name"], NAMES)
    stored = config["labels"]
    labels = LabelSpec(tuple(stored["names"]), stored["type"], mean=tuple(stored["mean"]), std=tuple(stored["std"]))
    head = Head(**{**config["head"], "hidden": tuple(config["head"]["hidden"])})
    if config["name"] == "token_classification":
        return token_classification(labels, head=head, scheme=config["scheme"])
    if config["name"] == "question_answering":
        return question_answering(
            head=head, no_answer=config["no_answer"], threshold=config["threshold"], longest=config["longest"]
        )
    pairs = config.get("pairs", False)  # runs of version 0.1.0 have none
    if config["name"] == "regression":
        return regression(labels, head=head, pairs=pairs)
    smoothing = config["label_smoothing"]
    if config["name"] == "classification":
        return classification(labels, head=head, label_smoothing=smoothing, pairs=pairs)
    return classification(labels, head=head, label_smoothing=smoothing, threshold=config["threshold"], pairs=pairs)
