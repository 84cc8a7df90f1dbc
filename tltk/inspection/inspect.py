"""`tltk.inspect`: what is wrong with a data set."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from tltk.backbones.base import Backbone
from tltk.data.formats.arrays import from_arrays
from tltk.data.source import PARTS, Source
from tltk.evaluation.evaluate import evaluate
from tltk.feature_cache.storage import Cache
from tltk.foundation import checks as check
from tltk.foundation import display
from tltk.foundation.errors import InvalidInput, InvalidType
from tltk.inference.embed import embed
from tltk.inspection import confident_learning, findings
from tltk.inspection.duplicates import Duplicates, find_duplicates
from tltk.inspection.examples import Examples, look_at
from tltk.inspection.records import Finding, Inspection
from tltk.modalities.image.traits import scaled_range, unscaled
from tltk.modalities.modality import modality_of, named_modality
from tltk.models.transfer_model import TransferModel
from tltk.specs.image import PIXEL_RANGE
from tltk.training.run import Run, model_of

Data: TypeAlias = Source | np.ndarray | tuple[np.ndarray, Any]
_HINT = "Pass a source, such as tltk.from_folder(...), pixels, or a tuple of pixels and labels."


def inspect(
    source: Data,
    *,
    test: Data | None = None,
    model: TransferModel | Run | Backbone | str | Path | None = None,
    false_alarms: float = 0.02,
    batch_size: int = 32,
    precision: str = "auto",
    cache: str | Path | Cache = "memory",
    seed: int = 0,
) -> Inspection:
    """Look for what is wrong with examples: unreadable, duplicate, leaked, mislabelled, wrongly scaled.

    Args:
        source: Labelled or unlabelled source; its parts are compared with each other. Or pixels [n, height, width] or
            [n, height, width, channels], or a tuple of them and labels, also if their values are not in [0, 255]: their
            scaling is then a finding.
        test: The examples of the final test, which must not be in `source`.
        model: A backbone, a run, the folder of a run, or a TransferModel, whose features are compared. None looks for
            near duplicates by hashes only, and not for wrong labels. With a run, the score of the test part is computed
            with and without the leaks.
        false_alarms: Largest expected fraction of false pairs among the near duplicates, in (0, 1).
        batch_size: Examples per batch of the model.
        precision: Precision of a backbone, see `assemble`.
        cache: Where features are stored, see `embed`.
        seed: Seed of the folds in which labels are checked, and of the pairs from which rates are estimated.

    Returns:
        The findings, the ids to leave out, and groups for `split`.

    Raises:
        InvalidType: If an argument has the wrong type.
        InvalidInput: If the modalities of source, test and model differ, or `false_alarms` is out of range.

    Examples:
        >>> from tltk import from_arrays, inspect
        >>> texts = from_arrays(["A fine day", "rain again", "a  fine day"], ["good", "bad", "bad"])
        >>> inspect(texts)["conflicting_labels"].examples
        ('example 0 (good) = example 2 (bad)',)
    """
    if not check.is_number(false_alarms) or not 0 < false_alarms < 1:
        raise InvalidInput(f"`false_alarms` must be above 0 and below 1. Received: {false_alarms!r}")
    seed = check.seed(seed)
    network = None if model is None else model if isinstance(model, Backbone) else model_of(model)
    source, scaling = _as_source(source, network, "source")
    if test is not None:
        test, test_scaling = _as_source(test, network, "test")
        scaling += test_scaling
        if test.modality != source.modality:
            raise InvalidInput(
                f"`test` holds {check.plural(test.modality)}, and `source` {check.plural(source.modality)}."
            )
    spec = None
    if network is not None:
        modality = modality_of(network.input_spec)
        if modality.name != source.modality:
            raise InvalidInput(
                f"`source` holds {check.plural(source.modality)}, but the model takes {check.plural(modality.name)}."
            )
        spec = modality.without_windows(network.input_spec, source)
    examples = look_at(source, test, spec)
    features = None
    if network is not None and not _has_other_range(examples, spec):
        features = _features(network, examples, batch_size=batch_size, precision=precision, cache=cache)
    duplicates = find_duplicates(examples, features, false_alarms=false_alarms, seed=seed)
    labels, missing = _wrong_labels(examples, features, duplicates, seed=seed)
    results = [findings.unreadable(examples), *findings.duplicates(examples, duplicates), *labels]
    results += [*findings.class_counts(source.counts()), *(scaling or findings.remarked(examples))]
    if scaling:
        results += [item for item in findings.remarked(examples) if item.name != "scaling"]
    scores = {} if isinstance(model, Backbone | None) else _scores(model, examples, duplicates, batch_size=batch_size)
    return Inspection(
        _summary(examples),
        findings.sorted_findings(results),
        duplicates.groups(len(source)),
        not_checked=(*missing, *_not_compared(examples, features, duplicates)),
        near_threshold=duplicates.threshold,
        scores=scores,
    )


def _as_source(data: Data, network: TransferModel | Backbone | None, argument: str) -> tuple[Source, list[Finding]]:
    """Return data as a source, and a finding if its pixels are scaled where [0, 255] is expected."""
    if isinstance(data, Source):
        return data, []
    pixels, labels = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
    if not isinstance(pixels, np.ndarray):
        raise InvalidType(f"`{argument}` must be a source. Received: {display.shortened(pixels)}. {_HINT}")
    modality = named_modality("image") if network is None else modality_of(network.input_spec)
    if modality.name != "image":
        raise InvalidInput(
            f"`{argument}` is an array, which holds pixels here, but the model takes {check.plural(modality.name)}. "
            "Pass a source: tltk.from_arrays(x, y), with sample_rate=16_000 or another rate for sounds."
        )
    expected = None if network is None else modality.value_range(network.input_spec)
    if expected not in (None, PIXEL_RANGE):
        return from_arrays(pixels, labels, value_range=expected), []
    is_finite = pixels.dtype.kind in "uif" and pixels.size > 0 and bool(np.isfinite(pixels).all())
    scaling = scaled_range(pixels) if is_finite else ""
    if not scaling:
        return from_arrays(pixels, labels), []
    text = f"all {len(pixels):,} images ({pixels.min():.3g} to {pixels.max():.3g}, {scaling})"
    return from_arrays(unscaled(pixels), labels), [findings.finding("scaling", [text], count=len(pixels))]


def _has_other_range(examples: Examples, spec: Any) -> bool:
    """Return whether images in memory have another range than the model takes, which is a finding."""
    expected = examples.modality.value_range(spec)
    ranges = [source.value_range or PIXEL_RANGE for source in examples.sources if source.storage == "arrays"]
    return expected is not None and any(value_range != expected for value_range in ranges)


def _features(
    network: TransferModel | Backbone, examples: Examples, *, batch_size: int, precision: str, cache: str | Path | Cache
) -> np.ndarray:
    """Compute the features of all readable examples, float32 [n, channels] of length 1; zeros for the others."""
    features: np.ndarray | None = None
    first = 0
    options: dict[str, Any] = {"batch_size": batch_size, "precision": precision, "cache": cache}
    for source in examples.sources:
        rows = np.array([row for row in range(len(source)) if first + row not in examples.unreadable], np.int64)
        if len(rows):
            numbered = replace(source.subset(rows), ids=np.array([str(row) for row in rows], object))
            embedded = embed(network, numbered, unit_length=True, max_invalid_fraction=1.0, **options)
            if features is None:
                features = np.zeros((len(examples), embedded.features.shape[1]), np.float32)
            features[first + np.array(embedded.ids, np.int64)] = embedded.features
            examples.unreadable.update({first + int(item.example_id): item.reason for item in embedded.invalid})
        first += len(source)
    return np.zeros((len(examples), 1), np.float32) if features is None else features


def _wrong_labels(
    examples: Examples, features: np.ndarray | None, duplicates: Duplicates, *, seed: int
) -> tuple[list[Finding], list[str]]:
    """Look for wrong labels; return the findings, and the reasons for checks that were skipped."""
    if features is None:
        return [], []
    if examples.classes is None:
        return [], ["wrong labels: the examples have no classes"]
    rows = examples.readable
    rows = rows[examples.classes[rows] >= 0]
    counts = np.bincount(examples.classes[rows], minlength=len(examples.class_names))
    enough = np.flatnonzero(counts >= confident_learning.MIN_EXAMPLES)
    rows = rows[np.isin(examples.classes[rows], enough)]
    left_out = [
        examples.class_names[index]
        for index in np.flatnonzero((counts > 0) & (counts < counts.dtype.type(confident_learning.MIN_EXAMPLES)))
    ]
    names = check.listing(left_out)
    missing = [f"wrong labels of {names}: fewer than {confident_learning.MIN_EXAMPLES} examples"] if left_out else []
    if len(enough) < 2:
        return [], missing or ["wrong labels: fewer than two classes"]
    labels = np.searchsorted(enough, examples.classes[rows])
    groups = duplicates.groups(len(examples))[rows]
    probabilities = confident_learning.out_of_fold(features[rows], labels, groups, seed=seed)
    issues = confident_learning.label_issues(probabilities, labels)
    return [findings.wrong_labels(examples, rows, issues, [examples.class_names[index] for index in enough])], missing


def _scores(
    model: Any, examples: Examples, duplicates: Duplicates, *, batch_size: int
) -> Mapping[str, Mapping[str, float]]:
    """Return the metrics on the test part, and without its leaks if there are some."""
    source, first = examples.sources[-1], len(examples) - len(examples.sources[-1])
    rows = np.flatnonzero(examples.parts[first:] == PARTS[-1])
    if not len(rows) or source.targets is None:
        return {}
    leaked = findings.leaked_test_rows(examples, duplicates)
    kept = np.array([row for row in rows if first + row not in leaked], np.int64)
    subsets = {"test": rows} | ({"test without leaks": kept} if 0 < len(kept) < len(rows) else {})
    options: dict[str, Any] = {"batch_size": batch_size, "max_invalid_fraction": 1.0}
    return {name: evaluate(model_of(model), source.subset(part), **options).metrics for name, part in subsets.items()}


def _not_compared(examples: Examples, features: np.ndarray | None, duplicates: Duplicates) -> list[str]:
    """Return the checks for duplicates that were skipped, with reasons."""
    backbone = examples.modality.default_backbone or "…"
    missing = []
    if features is None:
        missing.append(
            "near duplicates with other hashes, and wrong labels "
            f'(pass model=, such as tltk.backbone("{backbone}"), or --backbone {backbone})'
        )
    if duplicates.threshold is not None and not duplicates.is_calibrated:
        missing.append(
            "the rate of false near duplicates: there are too few candidates of different classes; the largest "
            f"difference is {duplicates.threshold:g}"
        )
    if duplicates.threshold is None:
        missing.append(f"near duplicates of {check.plural(examples.modality.name)} (pass model=)")
    return missing


def _summary(examples: Examples) -> str:
    source = examples.sources[0]
    classes = source.counts()
    text = f"{len(source):,} {check.plural(source.modality)}" + (f", {len(classes):,} classes" if classes else "")
    return text + (
        f"; test: {len(examples.sources[1]):,} {check.plural(source.modality)}" if len(examples.sources) > 1 else ""
    )
