"""A thread-safe collection of the examples that cannot be used."""

from collections.abc import Iterable, Iterator
from threading import Lock

from tltk.foundation import checks as check
from tltk.specs import InvalidExample


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

    def add(self, example_id: str, reason: str) -> None:
        """Add one example; only the first reason for an example is kept."""
        with self._lock:
            self._by_id.setdefault(example_id, InvalidExample(example_id, reason))

    def extend(self, examples: Iterable[InvalidExample]) -> None:
        """Add several examples."""
        for example in examples:
            self.add(example.example_id, example.reason)

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[InvalidExample]:
        return iter(tuple(self._by_id.values()))

    def listing(self, *, limit: int = 8) -> str:
        """Return "id (reason)" of the first `limit` examples and the number of further ones."""
        return listing(self, limit=limit)


def listing(examples: Iterable[InvalidExample], *, limit: int = 8) -> str:
    """Return "id (reason)" of the first `limit` examples, joined by commas, and the number of further ones."""
    return check.listing((f"{example.example_id} ({example.reason})" for example in examples), limit=limit)
