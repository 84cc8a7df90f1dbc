"""The records `Finding` and `Inspection`: what is wrong with a data set, and which examples to leave out."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tltk.data.exclude import write_ids
from tltk.foundation import checks as check
from tltk.foundation import display

SEVERITIES = ("error", "warning", "note")
# Name of each finding → its severity and what to do, unless a modality says otherwise.
FINDINGS: dict[str, tuple[str, str]] = {
    "unreadable": ("error", "replace the files, or leave them out"),
    "scaling": ("error", "load the pixels again, and do not divide them: tltk scales them in the model"),
    "leaks": ("error", "leave the training copies out, or the test result is too good"),
    "conflicting_labels": ("error", "decide which label is right; equal examples are on the exclude list"),
    "near_leaks": ("warning", "split again with groups=inspection.groups, or leave the training copies out"),
    "exact_duplicates": ("warning", "leave all but one out"),
    "near_duplicates": ("warning", "keep them in the same part: tltk.split(…, groups=inspection.groups)"),
    "wrong_labels": ("warning", "check them, and correct those that are wrong"),
    "few_examples": ("warning", "collect more, or leave these classes out"),
    "empty_classes": ("warning", "check the names of the classes, or leave them out"),
    "odd_size": ("warning", "check whether they belong here"),
    "uneven_classes": ("note", 'try class_weight="balanced", and look at the recall of each class'),
    "overlong_texts": ("note", "choose truncation=, a longer sequence_length=, or split them"),
    "odd_channels": ("note", "check whether they were produced in another way"),
    "wrong_ending": ("note", "rename the files"),
}
_SHOWN = 3
_MAX_LINE = 200  # characters of the examples of a finding


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with some examples.

    Args:
        name: Such as "exact_duplicates"; docs/inspection.md lists all.
        severity: "error", "warning" or "note".
        count: Number of examples; of pairs for near duplicates and near leaks, of sets for leaks, of classes for the
            findings about classes.
        examples: The first ones, as a person reads them: "a.png = b.bmp".
        fix: What to do, in one line.
        ids: Ids of all examples concerned; those of `test` begin with "test: ".
        exclude: Ids of the examples of the source that would be left out.
    """

    name: str
    severity: str
    count: int
    examples: tuple[str, ...]
    fix: str
    ids: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    __repr__ = display.short_repr

    @property
    def title(self) -> str:
        """Name with spaces."""
        return self.name.replace("_", " ")


@dataclass(frozen=True, eq=False)
class Inspection:
    """Result of `tltk.inspect`.

    Args:
        summary: Such as "1,000 images, 10 classes".
        findings: What is wrong, errors first; only what occurs.
        groups: int64 [n], a number for each example of the source; exact and near duplicates have equal ones. Pass it
            to `tltk.split(…, groups=)`.
        excluded_by_default: Names of the findings whose examples are in `exclude`.
        not_checked: Checks that were skipped, with reasons.
        near_threshold: Largest difference of near duplicates; None if that was not checked.
        scores: With a run and a test part: "test", and "test without leaks" if there are leaks → its metrics.
    """

    summary: str
    findings: tuple[Finding, ...]
    groups: np.ndarray
    excluded_by_default: tuple[str, ...] = ("unreadable", "exact_duplicates", "conflicting_labels", "leaks")
    not_checked: tuple[str, ...] = ()
    near_threshold: float | None = None
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Inspection of {self.summary}: {self.counts}>"

    def __getitem__(self, name: str) -> Finding:
        """Return a finding by its name, with count 0 if nothing was found.

        Raises:
            InvalidInput: If there is no finding of this name.
        """
        check.one_of("name", name, FINDINGS)
        empty = Finding(name, FINDINGS[name][0], 0, (), FINDINGS[name][1])
        return next((finding for finding in self.findings if finding.name == name), empty)

    @property
    def counts(self) -> str:
        """How many findings of each severity there are: "2 errors, 1 warning"."""
        numbers = [
            (sum(finding.severity == severity for finding in self.findings), severity) for severity in SEVERITIES
        ]
        return ", ".join(f"{count} {name}{'s' * (count != 1)}" for count, name in numbers if count) or "nothing found"

    @property
    def exclude(self) -> tuple[str, ...]:
        """Ids of the examples to leave out: unreadable, equal to others, or also in the test part."""
        return self.exclude_ids(*self.excluded_by_default)

    def exclude_ids(self, *names: str) -> tuple[str, ...]:
        """Return the ids that findings would leave out, each once.

        Args:
            *names: Names of findings, such as "wrong_labels".

        Raises:
            InvalidInput: If there is no finding of this name.
        """
        return tuple(dict.fromkeys(example_id for name in names for example_id in self[name].exclude))

    def save_exclude_list(self, path: str | Path, *names: str) -> Path:
        """Write the ids to leave out to a file, one per line, which `exclude=` of every source reads.

        Args:
            path: File to write.
            *names: Names of findings; the default are those of `exclude`.

        Returns:
            The path.

        Raises:
            InvalidInput: If there is no finding of this name.
        """
        finding_names = names or self.excluded_by_default
        return write_ids(path, [(self[name].title, self[name].exclude) for name in finding_names])

    def describe(self) -> str:
        """Return the findings as text: severity, name, count and examples of each, and what to do."""
        lines = [f"{self.summary}: {self.counts}"]
        if self.findings:
            width = max(len(finding.title) for finding in self.findings)
            digits = max(len("count"), *(len(f"{finding.count:,}") for finding in self.findings))
            lines.append(f"severity  {'finding':<{width}}  {'count':>{digits}}  examples")
        for finding in self.findings:
            examples = _shown(finding)
            lines.append(f"{finding.severity:<8}  {finding.title:<{width}}  {finding.count:>{digits},}  {examples}")
            lines.append(f"{'':<8}  → {finding.fix}")
        lines += [f"{name}: {_metrics(metrics)}" for name, metrics in self.scores.items()]
        return "\n".join([*lines, *(f"not checked: {reason}" for reason in self.not_checked)])

    def to_dict(self) -> dict[str, Any]:
        """Return the inspection as JSON values, with the ids of all examples."""
        values: dict[str, Any] = {"summary": self.summary, "findings": [asdict(finding) for finding in self.findings]}
        values |= {"exclude": list(self.exclude), "groups": self.groups.tolist(), "not_checked": list(self.not_checked)}
        return {**values, "near_threshold": self.near_threshold, "scores": {**self.scores}}

    def _repr_html_(self) -> str:
        rows = [
            (finding.severity, finding.title, finding.count, _shown(finding), finding.fix) for finding in self.findings
        ]
        tables = [
            display.Table(("severity", "finding", "count", "examples", "what to do"), rows),
            display.Table(
                ("test score", "metrics"), [(name, _metrics(values)) for name, values in self.scores.items()]
            ),
            display.Table(("not checked",), [(reason,) for reason in self.not_checked]),
        ]
        return display.html(f"Inspection of {self.summary}: {self.counts}", tables)


def _shown(finding: Finding) -> str:
    more = " …" if finding.count > _SHOWN else ""
    text = "; ".join(finding.examples[:_SHOWN]).replace("\n", "\\n").replace("\r", "\\r")
    return (text if len(text) <= _MAX_LINE else f"{text[:_MAX_LINE]}…") + more


def _metrics(metrics: Mapping[str, float]) -> str:
    return check.listing((f"{name} {value:.4g}" for name, value in metrics.items()), limit=4)
