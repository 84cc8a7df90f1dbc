"""Parallel work on all cores, with results in order."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from itertools import chain, islice
from typing import Any


def cores() -> int:
    """Return the number of CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), thread_name_prefix="tltk-read")


def in_order(work: Callable[[Any], Any], parts: Iterator[Any]) -> Iterator[Any]:
    """Apply a function to items in parallel threads and yield the results in the order of the items.

    Only a few items are processed ahead of the consumer, so memory does not grow. A single item, such as one image to
    predict, is processed in the calling thread, since switching threads takes longer than reading it.

    Args:
        work: Function of one item; called in other threads if there are several items.
        parts: Items.

    Yields:
        `work(part)` for each item.
    """
    first_two = list(islice(parts, 2))
    if len(first_two) == 1:
        yield work(first_two[0])
        return
    futures: deque[Future] = deque()
    try:
        for part in chain(first_two, parts):
            futures.append(_pool().submit(work, part))
            if len(futures) > cores() + 1:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()
    finally:
        for future in futures:
            future.cancel()
