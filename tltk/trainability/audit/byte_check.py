"""Proof by bytes that a phase has changed the trained weights, and no others."""

from collections.abc import Collection, Sequence

import numpy as np

from tltk.foundation.errors import InvalidInput

MIN_STEPS = 5
"""Optimizer steps after which a trainable weight that has not changed is an error.

The first step of a warm-up has a learning rate of 0; a head that starts at zero passes no gradient down in its first
real step, and the zero matrix of LoRA below such a head none in its second. One step is left over.
"""


NO_GRADIENT = "the loss does not depend on it, or the examples give no gradient, as if all of them are equal"


def check_phase(
    paths: Sequence[str],
    before: Sequence[np.ndarray],
    after: Sequence[np.ndarray],
    *,
    trained: Collection[str],
    updated_statistics: Collection[str] = (),
    with_gradient: Collection[str] = (),
    without_gradient: Collection[str] = (),
    steps: int,
) -> tuple[str, ...]:
    """Prove that a phase has changed the trained weights, and no others by a single byte.

    Args:
        paths: Paths of the weights: `[weight.path for weight in model.weights]`.
        before: `model.get_weights()` just before the phase, after its plan was applied.
        after: `model.get_weights()` just after its last step, before anything is restored, undone or merged.
        trained: Paths of the weights that the plan trains.
        updated_statistics: Paths of the moving statistics that may change: those of batch norms that are trained.
        with_gradient: Paths of the weights that had a gradient. They may stay unchanged: the gradient of a scale in
            front of a norm may be too small to change it.
        without_gradient: Paths of the weights that had none, though weight decay may have changed them. For weights in
            neither list it is unknown, as with plain SGD; they are a problem if their whole layer is unchanged.
        steps: Optimizer steps taken; below `MIN_STEPS`, unchanged weights are not judged.

    Returns:
        A sentence for each weight that did not behave as it should; empty if there is none.

    Raises:
        InvalidInput: If the lists differ in length.

    Examples:
        >>> one, two = np.ones(2), np.zeros(2)
        >>> check_phase(["a/kernel", "b/kernel"], [one, one], [two, one], trained={"b/kernel"}, steps=9)
        ('`a/kernel` is frozen, and changed.', '`b/kernel` is trainable, and did not change in 9 steps: ...')
    """
    if not len(paths) == len(before) == len(after):
        raise InvalidInput(
            f"one array per path is needed. Received: {len(paths)} paths, {len(before)} and {len(after)}."
        )
    unknown = set(trained) - set(paths)
    problems = [f"`{path}` is trainable, and not a weight of the model." for path in sorted(unknown)]
    changed = [as_bytes(old) != as_bytes(new) for old, new in zip(before, after, strict=True)]
    changed_layers = {_layer(path) for path, has_changed in zip(paths, changed, strict=True) if has_changed}
    for path, has_changed in zip(paths, changed, strict=True):
        if has_changed and path not in trained and path not in updated_statistics:
            problems.append(f"`{path}` is frozen, and changed.")
        if path not in trained or path in with_gradient or steps < MIN_STEPS:
            continue
        if path in without_gradient or (not has_changed and _layer(path) not in changed_layers):
            problem = "got no gradient" if has_changed else "did not change"
            problems.append(f"`{path}` is trainable, and {problem} in {steps} steps: {NO_GRADIENT}.")
    return tuple(problems)


def _layer(path: str) -> str:
    return path.rpartition("/")[0]


def as_bytes(array: np.ndarray) -> bytes:
    """Return the bytes of an array in row-major order, whatever its order in memory."""
    return np.asarray(array).tobytes()
