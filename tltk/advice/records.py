"""The records `Choice` and `Advice`: what was compared, and what is recommended."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tltk.advice.curves import Forecast
from tltk.advice.shift import Shift
from tltk.foundation import checks as check
from tltk.foundation import display
from tltk.specs import InvalidExample

PROBE = "probe"
FINE_TUNING, RULE = "fine-tuning", "BiT-HyperRule"
_DEPTH_HEADINGS = (
    "method",
    "layers",
    "learning rate",
    "epochs",
    "regularization",
    "points over the probe",
    "80 % interval",
    "seconds",
)
_HEADINGS = ("choice", "method", "accuracy", "80 % interval", "seconds", "MB", "ms/example", "top-1")


@dataclass(frozen=True)
class Choice:
    """A backbone, or features without one, and how well a classifier of its features does.

    Args:
        name: Name of the backbone, or of the features.
        method: "probe" (tuned logistic regression), "k-NN", or "from scratch" for a small network without pretraining.
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
class Depth:
    """A depth and a learning rate of fine-tuning, trained on half of the examples and compared with the probe.

    Args:
        epochs: Passes over the training examples.
        learning_rate: Peak learning rate.
        fraction: Fraction of the backbone's layers that are trained, from the top.
        gain: Accuracy on the other half, minus that of a probe of the same training examples.
        low: Lower end of its 80 % interval.
        high: Upper end.
        seconds: Time that the training took here.
        regularization: "weight decay" of 0.01; "L2-SP", which pulls the pretrained weights to where they were instead;
            or "none".
        method: "fine-tuning" with AdamW after a probe, or "BiT-HyperRule", the baseline without tuning, see
            `tltk.recipes.bit_hyperrule`.
    """

    epochs: int
    learning_rate: float
    fraction: float
    gain: float
    low: float
    high: float
    seconds: float
    regularization: str = "weight decay"
    method: str = FINE_TUNING


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
        depths: Depths and learning rates of fine-tuning, the best first; empty if not asked for, or without time.
        depth_advice: How deep and how fast to fine-tune, and whether, in a sentence.
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
    depths: tuple[Depth, ...] = ()
    depth_advice: str = ""
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
        lines = _aligned(rows)
        lines += _aligned([_DEPTH_HEADINGS, *map(_depth_cells, self.depths)]) if self.depths else []
        lines += [f"compared on {self.examples:,} of {self.total:,} examples"] if self.examples < self.total else []
        lines += [f"recommended: {self.recommended}: {self.reason}"]
        lines += [f"depth: {self.depth_advice}"] if self.depth_advice else []
        lines += [f"labels: {self.label_advice}"] if self.label_advice else []
        lines += [f"shift: {self.shift.describe()}"] if self.shift else []
        return "\n".join([*lines, *(f"not tried: {text}" for text in self.not_tried)])

    def _repr_html_(self) -> str:
        tables = [display.Table(_HEADINGS, [_cells(choice) for choice in self.choices])]
        tables += [display.Table(_DEPTH_HEADINGS, map(_depth_cells, self.depths))] if self.depths else []
        shift = self.shift.describe() if self.shift else ""
        texts = [f"{self.recommended}: {self.reason}", self.depth_advice, self.label_advice, shift]
        return display.html(". ".join(filter(None, texts)), tables)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _depth_cells(depth: Depth) -> list[str]:
    gain = f"{100 * depth.low:+.1f} – {100 * depth.high:+.1f}"
    settings = [f"{depth.fraction:.0%}", f"{depth.learning_rate:.1e}", str(depth.epochs), depth.regularization]
    return [depth.method, *settings, f"{100 * depth.gain:+.1f}", gain, f"{depth.seconds:.1f}"]


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
