"""Compares the examples with those that the model will be used on."""

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from tltk.advice.candidates import LEAST_EXAMPLES, MAX_EXAMPLES, some
from tltk.advice.comparison import Examples, Judged
from tltk.advice.embedding import Settings, embedder
from tltk.advice.shift import Shift, Side, find_shift
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation import progress
from tltk.foundation.duration import Deadline
from tltk.foundation.errors import InvalidInput
from tltk.modalities.modality import drop_invalid

_MIN_EXAMPLES = 10


def check_target(target: Source | None, source: Source) -> None:
    """Raise unless a target can be compared with a source.

    Raises:
        InvalidType: If it is not a `Source`.
        InvalidInput: If it has another modality, or fewer than ten examples.
    """
    if target is None:
        return
    check.instance_of(
        "target", target, Source, hint="Pass tltk.from_folder(…, unlabelled=True) or tltk.from_arrays(x)."
    )
    if target.modality != source.modality:
        raise InvalidInput(
            f"`target` holds {check.plural(target.modality)}, and `source` {check.plural(source.modality)}."
        )
    if len(target) < _MIN_EXAMPLES:
        raise InvalidInput(f"`target` must have at least {_MIN_EXAMPLES} examples. Received: {len(target)}")


def compare_target(
    judged: Judged, examples: Examples, target: Source | None, settings: Settings, deadline: Deadline
) -> tuple[Shift | None, str]:
    """Compare the examples with those of a target, by the features of a backbone.

    Args:
        judged: A choice with a backbone.
        examples: The examples.
        target: Examples of the target; None compares nothing.
        settings: How features are computed.
        deadline: Of the target, so many examples are compared that it is met, but 100 at least.

    Returns:
        How they differ, or None; and why they were not compared, or "".
    """
    backbone = judged.candidate.backbone
    if target is None or backbone is None:
        return None, ""
    affordable = min(1000 * max(deadline.left, 0) / judged.candidate.milliseconds, MAX_EXAMPLES)
    compared = some(target, max(int(affordable), LEAST_EXAMPLES), seed=examples.seed)
    target, unusable = drop_invalid(compared, max_invalid_fraction=1.0)
    if len(target) < _MIN_EXAMPLES:
        return None, _too_few(target, [example.example_id for example in unusable])
    features, invalid = embedder(backbone, settings).features(target)
    left_out = (*(example.example_id for example in unusable), *map(target.id_of, invalid))
    if left_out:
        progress.line(f"left out of the target, since they cannot be read: {check.listing(left_out)}")
    if invalid:
        rows = np.setdiff1d(np.arange(len(target)), list(invalid))
        target, features = target.subset(rows), features[rows]
    if len(target) < _MIN_EXAMPLES:
        return None, _too_few(target, left_out)
    names = () if examples.source.labels is None else tuple(examples.source.labels.names)
    present = {names[number] for number in np.unique(examples.classes)}
    classes, new_classes = _classes(target, names, present)
    shift = find_shift(
        Side(
            judged.candidate.features,
            examples.classes,
            softmax(judged.probe.out_of_fold, axis=1),
            examples.groups,
        ),
        Side(
            features,
            classes,
            judged.probe.predict(features),
            target.groups,
            tuple(target.id_of(row) for row in range(len(target))),
        ),
        names=names,
        new_classes=new_classes,
        seed=examples.seed,
    )
    return shift, ""


def _too_few(target: Source, left_out: Sequence[str]) -> str:
    unreadable = f"; these cannot be read: {check.listing(left_out)}" if left_out else ""
    return (
        f"shift: {_MIN_EXAMPLES} examples of the target or test part are needed, and it has {len(target)}{unreadable}"
    )


def _classes(target: Source, names: tuple[str, ...], present: set[str]) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Return the classes of the target in the numbering of the examples, -1 for new ones, and the names of those."""
    if target.labels is None or target.labels.type != "categorical" or target.targets is None:
        return None, ()
    number_of = {name: number for number, name in enumerate(names) if name in present}
    labels = [target.labels.names[number] for number in np.asarray(target.targets)]
    classes = np.array([number_of.get(label, -1) for label in labels], np.int64)
    return classes, tuple(sorted({label for label in labels if label not in number_of}))
