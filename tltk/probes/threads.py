"""How many threads products of matrices use."""

from contextlib import AbstractContextManager

from threadpoolctl import threadpool_limits

_SMALL = 2_000_000  # numbers: below it, the threads of a matrix product wait for each other


def threads_for(size: int) -> AbstractContextManager:
    """Return a block in which NumPy uses one thread if matrices are small.

    Args:
        size: Numbers in the largest matrix.

    Examples:
        >>> import numpy as np
        >>> with threads_for(4):
        ...     (np.ones((2, 2)) @ np.ones(2)).tolist()
        [2.0, 2.0]
    """
    return threadpool_limits(1 if size < _SMALL else None)
