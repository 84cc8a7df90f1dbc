"""The records `Choice` and `Advice`: what was compared, and what is recommended."""

from dataclasses import asdict, dataclass
from typing import Any

from tltk.advice.curves import Forecast
from tltk.advice.shift import Shift
from tltk.foundation import checks as check
from tltk.foundation import display
from tltk.specs import InvalidExample

PROBE = "probe"
_HEADINGS = ("choice", "method", "accuracy", "80 % interval", "seconds", "MB", "ms/example", "top-1")


@dataclass(frozen=True)
class Choice:
    """A backbone, or features without one, and how well a classifier of its features does.

    Args:
        name: Name of the backbone, or of the features.
        method: "probe" (tuned logistic regression) or "k-NN".
        accuracy: Expected accuracy on new examples, of a classifier of all compared examples.
        low: Lower end of the 80 % interval.
        high: Upper end.
        seconds: Time that the features took here, weights and graph included.
        parameters: Weights of the backbone; 0 without one.
        milliseconds: Time of one example here in full batches, reading included: the price of a request.
        top1: Published ImageNet accuracy; None if there is none.
        h_score: H-score; None unless asked for.
        log_me: LogME; None unless asked for.
    """

    name: str
    method: str
    accuracy: float
    low: float
    high: float
    seconds: float
    parameters: int
    milliseconds: float
    top1: float | None = None
    h_score: float | None = None
    log_me: float | None = None

    @property
    def megabytes(self) -> float:
        """Size of the weights in float32."""
        return 4e-6 * self.parameters


@dataclass(frozen=True)
class Advice:
    """What `tltk.advise` found out.

    Args:
        choices: Everything that was compared, the best first.
        recommended: Name of the recommended choice.
        reason: Why.
        labels: Forecasts for other numbers of labels, with the recommended features.
        label_advice: What more labels would bring, in a sentence.
        shift: Whether the target differs from the training examples; None without a target.
        not_tried: Backbones that were not tried, with the reason.
        examples: Number of the labelled examples that were compared.
        total: Number of all labelled examples that can be used.
        invalid: Examples that could not be used, with reasons.
    """

    choices: tuple[Choice, ...]
    recommended: str
    reason: str
    labels: tuple[Forecast, ...] = ()
    label_advice: str = ""
    shift: Shift | None = None
    not_tried: tuple[str, ...] = ()
    examples: int = 0
    total: int = 0
    invalid: tuple[InvalidExample, ...] = ()

    __repr__ = display.short_repr

    def __getitem__(self, name: str) -> Choice:
        """Return the probe of a backbone, or of features, by its name.

        Raises:
            InvalidInput: If nothing of this name was compared.
        """
        probes = {choice.name: choice for choice in self.choices if choice.method == PROBE}
        check.one_of("name", name, probes)
        return probes[name]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        choices = [{**asdict(choice), "megabytes": choice.megabytes} for choice in self.choices]
        shift = self.shift and {**asdict(self.shift), "kind": self.shift.kind, "advice": self.shift.describe()}
        return {**asdict(self), "choices": choices, "shift": shift}

    def describe(self) -> str:
        """Return a table and the recommendation, as text."""
        has_measures = any(choice.h_score is not None for choice in self.choices)
        headings = [*_HEADINGS, *(["H-score", "LogME"] if has_measures else [])]
        rows = [headings, *([*_cells(choice), *(_measures(choice) if has_measures else [])] for choice in self.choices)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(headings))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines += [f"compared on {self.examples:,} of {self.total:,} examples"] if self.examples < self.total else []
        lines += [f"recommended: {self.recommended}: {self.reason}"]
        lines += [f"labels: {self.label_advice}"] if self.label_advice else []
        lines += [f"shift: {self.shift.describe()}"] if self.shift else []
        return "\n".join([*lines, *(f"not tried: {text}" for text in self.not_tried)])

    def _repr_html_(self) -> str:
        table = display.Table(_HEADINGS, [_cells(choice) for choice in self.choices])
        texts = [f"{self.recommended}: {self.reason}", self.label_advice, self.shift.describe() if self.shift else ""]
        return display.html(". ".join(filter(None, texts)), [table])


def _cells(choice: Choice) -> list[str]:
    return [
        choice.name,
        choice.method,
        f"{choice.accuracy:.3f}",
        f"{choice.low:.3f} – {choice.high:.3f}",
        f"{choice.seconds:.1f}",
        f"{choice.megabytes:.0f}",
        f"{choice.milliseconds:.1f}",
        "" if choice.top1 is None else f"{choice.top1:.3f}",
    ]


def _measures(choice: Choice) -> list[str]:
    return ["" if value is None else f"{value:.3f}" for value in (choice.h_score, choice.log_me)]
