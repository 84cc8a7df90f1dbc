"""Proof by bytes that a phase moved what was to learn, and nothing else."""

from collections.abc import Collection, Sequence

import numpy as np

MIN_STEPS = 5
"""Optimizer steps before a weight that did not move is a problem.

The first step of a warm-up has the rate 0; a head that starts at zero passes no gradient down at its first real step,
and LoRA's zero matrix under such a head none at its second. One step is left over.
"""


class AuditError(RuntimeError):
    """Weights moved that were to stay, or stayed that were to move; the message lists all of them."""


def check_phase(
    paths: Sequence[str],
    before: Sequence[np.ndarray],
    after: Sequence[np.ndarray],
    *,
    learning: Collection[str],
    drifting: Collection[str] = (),
    touched: Collection[str] = (),
    untouched: Collection[str] = (),
    steps: int,
) -> tuple[str, ...]:
    """Prove that a phase moved what was to learn, and nothing else by a single byte.

    Args:
        paths: of the weights, in their order: `[weight.path for weight in model.weights]`.
        before: `model.get_weights()` right before the phase, after its plan was applied.
        after: `model.get_weights()` right after its last step, before anything is put back, undone or merged.
        learning: paths of the weights that were to learn.
        drifting: paths of moving statistics that may move: those of the batch norms that learn, no other.
        touched: paths of the weights that got a gradient; those that did and stayed are no problem: a scale in front
            of a norm has a gradient too small to change it.
        untouched: paths of the weights that got none, though weight decay may have moved them. Of the others nobody
            knows: plain SGD remembers nothing. Those are a problem if the whole layer stayed.
        steps: optimizer steps that were taken; below `MIN_STEPS` what stayed is not judged.

    Returns:
        A sentence for each weight that did not do what it was to do; empty if all is well.

    Raises:
        ValueError: if the lists are not of one length.

    Example:
        >>> one, two = np.ones(2), np.zeros(2)
        >>> check_phase(["a/kernel", "b/kernel"], [one, one], [two, one], learning={"b/kernel"}, steps=9)
        ('`a/kernel` was frozen, and moved.', '`b/kernel` was to learn, and did not move in 9 steps.')
    """
    if not len(paths) == len(before) == len(after):
        raise ValueError(f"one array a path is needed. Received: {len(paths)} paths, {len(before)} and {len(after)}.")
    unknown = set(learning) - set(paths)
    found = [f"`{path}` was to learn, and is no weight of the model." for path in sorted(unknown)]
    changed = [as_bytes(old) != as_bytes(new) for old, new in zip(before, after, strict=True)]
    alive = {_layer(path) for path, moved in zip(paths, changed, strict=True) if moved}
    for path, moved in zip(paths, changed, strict=True):
        if moved and path not in learning and path not in drifting:
            found.append(f"`{path}` was frozen, and moved.")
        if path not in learning or path in touched or steps < MIN_STEPS:
            continue
        if path in untouched or (not moved and _layer(path) not in alive):
            done = "got no gradient" if moved else "did not move"
            found.append(f"`{path}` was to learn, and {done} in {steps} steps.")
    return tuple(found)


def _layer(path: str) -> str:
    return path.rpartition("/")[0]


def as_bytes(array: np.ndarray) -> bytes:
    """Return the bytes of an array, whatever its order in memory."""
    return np.asarray(array).tobytes()
