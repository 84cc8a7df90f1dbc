"""Work on all cores, with the results in order."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), thread_name_prefix="tltk-read")


def in_order(work: Callable[[Any], Any], parts: Iterator[Any]) -> Iterator[Any]:
    """Apply `work` to parts on all cores, a little ahead, and yield the results in the order of the parts.

    Args:
        work: runs in other threads.
        parts: taken only as fast as results are, so that memory does not grow.

    Yields:
        `work(part)` for each part.
    """
    waiting: deque[Future] = deque()
    try:
        for part in parts:
            waiting.append(_pool().submit(work, part))
            if len(waiting) > cores() + 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
