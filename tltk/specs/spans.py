"""Parts of texts: entities and answers."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Span:
    """A part of a text.

    Offsets count characters (Unicode code points), as Python's strings do: the part is `text[span.start : span.end]`.

    Args:
        start: Start offset.
        end: End offset (exclusive).
        label: Type of the entity; "" for an answer.
        probability: Probability the model assigns; None in targets.

    Example:
        >>> span = Span(3, 8, "city")
        >>> "In Paris"[span.start : span.end]
        'Paris'
    """

    start: int
    end: int
    label: str = ""
    probability: float | None = field(default=None, compare=False)
