"""Builds the findings of an inspection."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tltk.data.source import PARTS
from tltk.inspection.confident_learning import LabelIssues
from tltk.inspection.duplicates import Duplicates
from tltk.inspection.examples import TEST, Examples
from tltk.inspection.records import FINDINGS, SEVERITIES, Finding

_FEW = 10  # examples of a class
_UNEVEN = 10  # times as many examples
_KEPT = 10  # examples that a finding shows


def finding(
    name: str,
    texts: Iterable[str],
    *,
    count: int | None = None,
    ids: Sequence[str] = (),
    exclude: Sequence[str] = (),
    severity: str = "",
    fix: str = "",
) -> Finding:
    """Build a finding; severity and fix are those of its name unless others are given.

    Args:
        name: Name of the finding.
        texts: One text for each example, pair or class.
        count: Their number, if it is not that of `texts`.
        ids: See `Finding`.
        exclude: See `Finding`.
        severity: See `Finding`.
        fix: See `Finding`.
    """
    shown = tuple(texts)
    usual_severity, usual_fix = FINDINGS[name]
    total = len(shown) if count is None else count
    return Finding(name, severity or usual_severity, total, shown[:_KEPT], fix or usual_fix, tuple(ids), tuple(exclude))


def sorted_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings with a count, errors first, then in the order of the table in docs/inspection.md."""
    order = list(FINDINGS)
    present = [item for item in findings if item.count]
    return tuple(sorted(present, key=lambda item: (SEVERITIES.index(item.severity), order.index(item.name))))


def unreadable(examples: Examples) -> Finding:
    """List the examples that cannot be used: found now, or when the source was read."""
    reasons = {str(examples.names[row]): reason for row, reason in sorted(examples.unreadable.items())}
    source_ids = [str(examples.names[row]) for row in sorted(examples.unreadable) if row < examples.source_size]
    for source, prefix in zip(examples.sources, ("", TEST), strict=False):
        reasons |= {f"{prefix}{example.example_id}": example.reason for example in source.invalid}
    source_ids += [example.example_id for example in examples.sources[0].invalid]
    texts = (f"{name} ({reason})" for name, reason in reasons.items())
    return finding("unreadable", texts, ids=tuple(reasons), exclude=source_ids)


def remarked(examples: Examples) -> list[Finding]:
    """List what the modality remarks about examples, such as odd sizes."""
    details: dict[str, dict[int, str]] = {}
    settings: dict[str, tuple[str, str]] = {}
    for remark, first in examples.remarks():
        details.setdefault(remark.finding, {}).update({first + row: text for row, text in remark.details.items()})
        if remark.details:
            settings.setdefault(remark.finding, (remark.severity, remark.fix))
    return [
        finding(
            name,
            (f"{examples.names[row]} ({text})" for row, text in rows.items()),
            ids=tuple(str(examples.names[row]) for row in rows),
            exclude=examples.source_ids(list(rows)),
            severity=settings[name][0],
            fix=settings[name][1],
        )
        for name, rows in details.items()
        if rows
    ]


def class_counts(counts: Mapping[str, int]) -> list[Finding]:
    """Find classes without examples, with few, and with many times as many as others.

    Args:
        counts: Class → number of its examples, see `Source.counts`.
    """
    present = {name: count for name, count in counts.items() if count}
    few = [f"{name} ({count})" for name, count in present.items() if count < _FEW]
    findings = [
        finding("empty_classes", [name for name, count in counts.items() if not count]),
        finding("few_examples", few),
    ]
    if present:
        least, most = (choose(present, key=lambda name: present[name]) for choose in (min, max))
        if present[most] >= _UNEVEN * present[least]:
            text = f"{most} ({present[most]:,}), {least} ({present[least]:,})"
            findings.append(
                finding("uneven_classes", [text], count=sum(present[most] >= _UNEVEN * n for n in present.values()))
            )
    return findings


def duplicates(examples: Examples, duplicates: Duplicates) -> list[Finding]:
    """Tell apart duplicates in one part, in two parts, and with different labels."""
    order = np.argsort(duplicates.originals, kind="stable")
    starts = np.flatnonzero(np.diff(duplicates.originals[order], prepend=-1))
    sets = [rows.tolist() for rows in np.split(order, starts[1:]) if len(rows) > 1]
    agreeing: list[list[int]] = []
    conflicts: list[list[int]] = []
    for rows in sets:
        labels = {str(label) for row in rows if (label := examples.label(row)) is not None}
        (conflicts if len(labels) > 1 else agreeing).append(rows)
    near = duplicates.near.tolist()
    is_across = [examples.parts[first] != examples.parts[second] for first, second in near]
    conflicting_pairs = [pair for pair in near if _have_other_classes(examples, *pair)]
    return [
        _exact(examples, agreeing),
        _leaks(examples, sets, "leaks"),
        _conflicts(examples, conflicts, conflicting_pairs),
        _leaks(examples, [pair for pair, across in zip(near, is_across, strict=True) if across], "near_leaks"),
        _near(examples, [pair for pair, across in zip(near, is_across, strict=True) if not across]),
    ]


def wrong_labels(examples: Examples, rows: np.ndarray, issues: LabelIssues, class_names: Sequence[str]) -> Finding:
    """List likely wrong labels, most likely first.

    Args:
        examples: All examples.
        rows: int64 [k], rows of the checked examples, which `issues.rows` counts in.
        issues: Likely wrong labels.
        class_names: Names of the classes that `issues.suggested` numbers.
    """
    suspects = rows[issues.rows].tolist()
    texts = [
        f"{examples.names[row]} ({examples.label(row)}, more likely {class_names[suggested]})"
        for row, suggested in zip(suspects, issues.suggested, strict=True)
    ]
    names = tuple(str(examples.names[row]) for row in suspects)
    return finding("wrong_labels", texts, ids=names, exclude=examples.source_ids(suspects))


def leaked_test_rows(examples: Examples, duplicates: Duplicates) -> set[int]:
    """Return the rows of the test part that are equal or nearly equal to an example of another part."""
    groups = duplicates.groups(len(examples))
    is_test = examples.parts == PARTS[-1]
    elsewhere = set(groups[~is_test].tolist())
    return {int(row) for row in np.flatnonzero(is_test) if int(groups[row]) in elsewhere}


def _exact(examples: Examples, sets: list[list[int]]) -> Finding:
    """List equal examples in one part; all but the first of each part are superfluous."""
    texts, rows, superfluous = [], [], []
    for members in sets:
        by_part: dict[str, list[int]] = {}
        for row in members:
            by_part.setdefault(examples.parts[row], []).append(row)
        for copies in by_part.values():
            if len(copies) > 1:
                texts.append(_equal(examples, copies))
                rows += copies
                superfluous += copies[1:]
    names = tuple(str(examples.names[row]) for row in rows)
    return finding(
        "exact_duplicates", texts, count=len(superfluous), ids=names, exclude=examples.source_ids(superfluous)
    )


def _leaks(examples: Examples, sets: list[list[int]], name: str) -> Finding:
    """List examples that another part has too; the copy in the test part stays."""
    texts, rows, superfluous = [], [], []
    for members in sets:
        last = max((examples.parts[row] for row in members), key=PARTS.index)
        others = [row for row in members if examples.parts[row] != last]
        if others:
            kept = next(row for row in members if examples.parts[row] == last)
            texts.append(_equal(examples, [*others, kept], "≈" if name == "near_leaks" else "="))
            rows += members
            superfluous += others
    names = tuple(dict.fromkeys(str(examples.names[row]) for row in rows))
    return finding(name, texts, ids=names, exclude=examples.source_ids(list(dict.fromkeys(superfluous))))


def _near(examples: Examples, pairs: list[list[int]]) -> Finding:
    texts = [_equal(examples, pair, "≈") for pair in pairs]
    names = tuple(dict.fromkeys(str(examples.names[row]) for pair in pairs for row in pair))
    second = list(dict.fromkeys(pair[1] for pair in pairs))
    return finding("near_duplicates", texts, ids=names, exclude=examples.source_ids(second))


def _conflicts(examples: Examples, sets: list[list[int]], pairs: list[list[int]]) -> Finding:
    """List duplicates with different labels; near duplicates stay, since they may show different things."""
    texts = [_equal(examples, rows, "=", with_labels=True) for rows in sets]
    texts += [_equal(examples, rows, "≈", with_labels=True) for rows in pairs]
    rows = list(dict.fromkeys(row for members in (*sets, *pairs) for row in members))
    names = tuple(str(examples.names[row]) for row in rows)
    exclude = examples.source_ids([row for members in sets for row in members])
    return finding("conflicting_labels", texts, count=len(rows), ids=names, exclude=exclude)


def _have_other_classes(examples: Examples, first: int, second: int) -> bool:
    if examples.classes is None:
        return False
    classes = examples.classes[[first, second]]
    return bool((classes >= 0).all() and classes[0] != classes[1])


def _equal(examples: Examples, rows: list[int], sign: str = "=", *, with_labels: bool = False) -> str:
    labels = [f" ({examples.label(row)})" if with_labels else "" for row in rows]
    return f" {sign} ".join(f"{examples.names[row]}{label}" for row, label in zip(rows, labels, strict=True))
