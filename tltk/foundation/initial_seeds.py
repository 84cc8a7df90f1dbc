"""The seeds of initial weights that Keras draws by itself."""

import random
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def initial_seeds(seed: int) -> Iterator[None]:
    """Make initial weights within the block depend on a seed alone.

    Keras 3 draws the seed of an initializer without one from Python's `random`; its state is restored afterwards.

    Args:
        seed: Any number.

    Examples:
        >>> import keras
        >>> with initial_seeds(3):
        ...     first = keras.initializers.HeNormal()((2, 2))
        >>> with initial_seeds(3):
        ...     second = keras.initializers.HeNormal()((2, 2))
        >>> bool((first == second).numpy().all())
        True
    """
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
