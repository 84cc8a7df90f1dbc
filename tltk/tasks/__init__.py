"""Tasks: what is asked of a model. Each module holds one: its head, loss, metrics, target encoding and decoding."""

from tltk.foundation import checks as check
from tltk.heads.builder import Head
from tltk.specs import Labels
from tltk.tasks.base import Prediction, Task
from tltk.tasks.classification import classify
from tltk.tasks.question_answering import answer
from tltk.tasks.regression import regress
from tltk.tasks.token_classification import tag

__all__ = ["Prediction", "Task", "answer", "classify", "from_config", "regress", "tag"]

NAMES = ("classify", "classify_multi", "regress", "tag", "answer")


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
    labels = Labels(
        tuple(stored["names"]), stored["kind"], mean=tuple(stored["mean"]), deviation=tuple(stored["deviation"])
    )
    head = Head(**{**config["head"], "hidden": tuple(config["head"]["hidden"])})
    if config["name"] == "tag":
        return tag(labels, head=head, scheme=config["scheme"])
    if config["name"] == "answer":
        return answer(
            head=head, no_answer=config["no_answer"], threshold=config["threshold"], longest=config["longest"]
        )
    pairs = config.get("pairs", False)  # runs of version 0.1.0 have none
    if config["name"] == "regress":
        return regress(labels, head=head, pairs=pairs)
    smoothing = config["label_smoothing"]
    if config["name"] == "classify":
        return classify(labels, head=head, label_smoothing=smoothing, pairs=pairs)
    return classify(labels, head=head, label_smoothing=smoothing, threshold=config["threshold"], pairs=pairs)
