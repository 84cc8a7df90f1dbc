"""The record of a part of a text: an entity or an answer."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Span:
    """A part of a text.

    Offsets count characters (Unicode code points), as Python's strings do: the part is `text[span.start : span.end]`.

    Args:
        start: Start offset.
        end: End offset (exclusive).
        label: Entity type; "" for an answer.
        probability: Probability that the model predicts, in [0, 1]; None in targets. Ignored in comparisons.

    Examples:
        >>> span = Span(3, 8, "city")
        >>> "In Paris"[span.start : span.end]
        'Paris'
    """

    start: int
    end: int
    label: str = ""
    probability: float | None = field(default=None, compare=False)
