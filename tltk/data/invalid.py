"""A thread-safe collection of the examples that cannot be used."""

from collections.abc import Iterable, Iterator
from threading import Lock

from tltk.foundation import checks as check
from tltk.specs import InvalidExample

_SHOWN_IDS = 3


class Invalid:
    """Collects invalid examples, each once, in the order they are added; safe to use from several threads.

    Args:
        examples: Examples to start with.

    Examples:
        >>> invalid = Invalid()
        >>> invalid.add("cats/3.jpg", "0 bytes")
        >>> invalid.add("cats/3.jpg", "0 bytes")
        >>> len(invalid), invalid.listing()
        (1, 'cats/3.jpg (0 bytes)')
    """

    def __init__(self, examples: Iterable[InvalidExample] = ()) -> None:
        self._by_id: dict[str, InvalidExample] = {}
        self._lock = Lock()
        self.extend(examples)

    def add(self, example_id: str, reason: str, *, is_annotation: bool = False) -> None:
        """Add one example, or an annotation of one; only the first reason for an example is kept."""
        with self._lock:
            self._by_id.setdefault(example_id, InvalidExample(example_id, reason, is_annotation))

    def extend(self, examples: Iterable[InvalidExample]) -> None:
        """Add several examples."""
        for example in examples:
            self.add(example.example_id, example.reason, is_annotation=example.is_annotation)

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[InvalidExample]:
        return iter(tuple(self._by_id.values()))

    def listing(self, *, limit: int = 8) -> str:
        """Return "id (reason)" of the first `limit` examples and the number of further ones."""
        return listing(self, limit=limit)


def by_reason(examples: Iterable[InvalidExample], *, limit: int = 8) -> list[str]:
    """Return one line for each reason, the most frequent first: number of examples, the reason, and the first examples.

    Args:
        examples: Invalid examples.
        limit: Maximum number of lines; the last one counts the examples of the other reasons.

    Examples:
        >>> rows = [InvalidExample(f"a.csv, row {row}", "`label` must not be empty") for row in (2, 5)]
        >>> print(*by_reason([InvalidExample("a.csv, row 3", "`text` must not be empty"), *rows]), sep="\\n")
        2: `label` must not be empty (a.csv, row 2; a.csv, row 5)
        1: `text` must not be empty (a.csv, row 3)
    """
    ids: dict[str, list[str]] = {}
    for example in examples:
        ids.setdefault(example.reason, []).append(example.example_id)
    groups = sorted(ids.items(), key=lambda group: -len(group[1]))
    lines = [
        f"{len(group):,}: {reason} ({'; '.join(group[:_SHOWN_IDS])}{' …' if len(group) > _SHOWN_IDS else ''})"
        for reason, group in groups[:limit]
    ]
    others = sum(len(group) for _, group in groups[limit:])
    return [*lines, f"{others:,}: other reasons"] if others else lines


def listing(examples: Iterable[InvalidExample], *, limit: int = 8) -> str:
    """Return "id (reason)" of the first `limit` examples, joined by commas, and the number of further ones."""
    return check.listing((f"{example.example_id} ({example.reason})" for example in examples), limit=limit)
