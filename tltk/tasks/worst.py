"""Keeps the examples with the worst predictions of a test set of any size."""

import heapq
from typing import Any

KEPT = 100


class Worst:
    """The examples with the largest errors, of which only id and text are kept.

    Args:
        limit: Number of examples that are kept.

    Examples:
        >>> worst = Worst(limit=2)
        >>> for name, error in (("a", 0.0), ("b", 1.0), ("c", 3.0), ("d", 2.0)):
        ...     worst.add(name, error, f"{error:g} missed")
        >>> worst.rows()
        ({'example_id': 'c', 'error': '3 missed'}, {'example_id': 'd', 'error': '2 missed'})
    """

    def __init__(self, *, limit: int = KEPT) -> None:
        self.limit = limit
        self.count = 0
        self._heap: list[tuple[float, int, str, str]] = []  # the smallest error first

    def add(self, example_id: str, error: float, text: str) -> None:
        """Add an example.

        Args:
            example_id: Its id.
            error: How wrong the prediction is, at least 0; examples with the error 0 are not kept. Of equal ones those
                that came first are kept.
            text: What is wrong.
        """
        self.count += 1
        if error > 0:
            item = (error, -self.count, example_id, text)
            (heapq.heappush if len(self._heap) < self.limit else heapq.heappushpop)(self._heap, item)

    def rows(self) -> tuple[dict[str, Any], ...]:
        """Return id and text of each, the worst first, as `ReportParts.worst` takes them."""
        return tuple({"example_id": name, "error": text} for _, _, name, text in sorted(self._heap, reverse=True))
