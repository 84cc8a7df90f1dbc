"""Which backbones are compared, and on which examples."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tltk.backbones import backbone as select_backbone
from tltk.backbones.base import Backbone
from tltk.backbones.catalog import Row
from tltk.data.short_check import group_notes
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput, NotFound
from tltk.modalities.modality import modality_of

log = logging.getLogger("tltk")

MAX_EXAMPLES, LEAST_EXAMPLES = 2000, 100  # that are compared; fewer than 100 only if there are no more
_HERE = ("keras cache", "kerashub cache", "tltk cache", "registered")
_TEST = "test"


def select_backbones(
    source: Source, backbones: Sequence[str | Backbone], rows: dict[str, Row], *, image_size: int | None
) -> tuple[list[Backbone], list[str]]:
    """Return the backbones to compare, and the names of those that could be had, with the way to them.

    Args:
        source: The examples.
        backbones: What the user asked for; empty for all of the modality whose weights are here, the smallest first.
        rows: The catalog.
        image_size: Height and width in pixels for backbones given by name.

    Raises:
        InvalidInput: If a backbone takes another kind of input, or two have one name.
        NotFound: If no backbone is asked for, and none has weights here.
    """
    if isinstance(backbones, str | Backbone):
        backbones = (backbones,)
    size: dict[str, Any] = {} if image_size is None else {"image_size": image_size}
    fitting = [row for row in rows.values() if row.modality == source.modality]
    not_tried: list[str] = []
    if not backbones:
        here = sorted((row for row in fitting if row.weights in _HERE), key=lambda row: row.parameters or 0)
        not_tried = [
            f"{row.name}: its weights come with `tltk weights get {row.name}`"
            for row in fitting
            if row.weights == "registry"
        ]
        count = sum(row.weights == "hub" for row in fitting)
        not_tried += [f"{count} more of `tltk backbones`: their weights are on a hub"] if count else []
        backbones = [row.name for row in here]
    if not backbones:
        ways = "\n  ".join(not_tried) or "`tltk backbones` lists none"
        raise NotFound(f"no backbone for {check.plural(source.modality)} has weights on this machine:\n  {ways}")
    selected = [one if isinstance(one, Backbone) else select_backbone(one, **size) for one in backbones]
    problems = check.Problems()
    names = [backbone.name for backbone in selected]
    for backbone in selected:
        modality = modality_of(backbone.input_spec)
        if modality.name != source.modality:
            received, expected = check.plural(source.modality), check.plural(modality.name)
            problems.add(f"`backbones`: {backbone.name} takes {expected}, but `source` holds {received}.")
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.add(f"`backbones` has {name!r} more than once.")
    problems.raise_if_any()
    return selected, not_tried


def training_part(source: Source) -> tuple[Source, Source | None]:
    """Return the examples to compare on, and those of the test part, which must not choose a model; None without."""
    if source.parts is None or (source.parts == _TEST).all() or not (source.parts == _TEST).any():
        return source, None
    is_test = source.parts == _TEST
    return replace(source.subset(~is_test), invalid=source.invalid), source.subset(is_test)


def require_labels(source: Source) -> None:
    """Raise unless the examples of a source have one class each; warn of classes that cannot be judged."""
    if source.labels is None or source.labels.type != "categorical" or source.targets is None:
        received = "unlabelled examples" if source.labels is None else f"labels of the type {source.labels.type!r}"
        fix = "Label some of them." if source.labels is None else 'For these, recipe="auto" of tltk.fit decides.'
        raise InvalidInput(f"`source` must be labelled with one class per example. Received: {received}. {fix}")
    for note in group_notes(source):
        log.warning("%s.", note)


def require_classes(source: Source, *, groups: int = 2) -> None:
    """Raise unless there are two classes with two examples, and enough groups.

    Args:
        source: Labelled examples.
        groups: Smallest number of groups, if the source has groups.
    """
    counts = {name: count for name, count in source.counts().items() if count}
    single = [name for name, count in counts.items() if count == 1]
    problems = check.Problems()
    if single:
        problems.add(
            f"`source` must have at least two examples of each class. Received: one of "
            f"{check.listing(map(repr, single))}. Add more, or leave these classes out"
        )
    if len(counts) < 2:
        received = f"only {next(iter(counts))!r}" if counts else "no example that can be read"
        problems.add(f"at least two classes are needed. Received: {received}")
    received_groups = groups if source.groups is None else len(np.unique(source.groups))
    if counts and received_groups < groups:
        problems.add(f"`source` must have at least {groups} groups, such as recordings. Received: {received_groups}")
    problems.raise_if_any()


def some_of_each_class(source: Source, count: int, *, seed: int) -> Source:
    """Return about `count` examples at most, in the proportions of the classes and at least two of a class."""
    if len(source) <= count:
        return source
    classes = np.asarray(source.targets)
    order = np.random.default_rng(seed).permutation(len(source))
    position = np.empty(len(source), np.int64)  # of each example within its class
    for number in np.unique(classes):
        rows = order[classes[order] == number]
        position[rows] = np.arange(len(rows))
    share = np.bincount(classes) * count / len(source)
    return source.subset(np.flatnonzero(position < np.maximum(np.round(share), 2)[classes]))


def some(source: Source, count: int, *, seed: int) -> Source:
    """Return at most `count` examples of a source."""
    rows = np.random.default_rng(seed).permutation(len(source))[:count]
    return source.subset(np.sort(rows))
