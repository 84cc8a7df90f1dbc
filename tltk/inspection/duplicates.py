"""Exact and near duplicates: which examples are the same, or nearly."""

from dataclasses import dataclass

import numpy as np

from tltk.foundation import progress
from tltk.inspection import neighbours
from tltk.inspection.examples import Examples
from tltk.inspection.null import min_cosine, near_threshold
from tltk.pipeline.parallel import in_order

_HASH_DISTANCE = 10  # bits of 63 or 64 in which near duplicates differ at most; two random hashes differ in half
_HASH_LIMIT, _FEATURE_LIMIT = 10, 5  # candidates of each example
_BLOCK = 256  # pairs that are compared at once


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Which examples are equal, and which nearly.

    Args:
        originals: int64 [n], the first row with the same contents; its own row for an example without a copy.
        near: int64 [pairs, 2], near duplicates; copies are represented by the first of them.
        differences: float32 [pairs].
        threshold: Largest difference of near duplicates; None if that was not checked.
        is_calibrated: Whether the threshold was estimated from pairs of different classes.
    """

    originals: np.ndarray
    near: np.ndarray
    differences: np.ndarray
    threshold: float | None
    is_calibrated: bool

    def groups(self, count: int) -> np.ndarray:
        """Return a number for each of the first `count` rows; duplicates of both kinds have equal ones: int64."""
        copies = np.stack([np.arange(len(self.originals)), self.originals], 1)
        return neighbours.clusters(len(self.originals), np.concatenate([copies, self.near]))[:count]


def find_duplicates(examples: Examples, features: np.ndarray | None, *, false_alarms: float, seed: int) -> Duplicates:
    """Find exact and near duplicates among the readable examples.

    Args:
        examples: All examples.
        features: float32 [n, channels], of length 1; zeros for unreadable examples. None without a model.
        false_alarms: Largest expected fraction of false pairs among the near duplicates.
        seed: Seed of the sample of pairs whose cosines are compared.
    """
    hashes = examples.hashes
    originals = _copies(examples, hashes)
    firsts = np.intersect1d(np.flatnonzero(originals == np.arange(len(examples))), examples.readable)
    pairs = np.zeros((0, 2), np.int64)
    if hashes is not None:
        pairs = firsts[neighbours.hash_pairs(hashes[firsts], max_distance=_HASH_DISTANCE, limit=_HASH_LIMIT)]
    if features is not None:
        classes = None if examples.classes is None else examples.classes[firsts]
        least = min_cosine(features[firsts], classes, seed=seed)
        positions = neighbours.feature_pairs(features[firsts], min_cosine=least, limit=_FEATURE_LIMIT)
        pairs = neighbours.unique_pairs(np.concatenate([pairs, firsts[positions]]))
    differences = _differences(examples, features, pairs)
    if differences is None:
        return Duplicates(originals, pairs[:0], np.zeros(0, np.float32), None, False)
    limit = examples.modality.max_difference
    originals = _merged(examples, originals, pairs[differences <= limit])
    is_first = (originals[pairs] == pairs).all(1)
    pairs, differences = pairs[is_first], differences[is_first]
    is_cross = _cross_class(examples, pairs)
    threshold, is_calibrated = near_threshold(differences, is_cross, limit=limit, false_alarms=false_alarms)
    near = differences <= threshold
    return Duplicates(originals, pairs[near], differences[near], threshold, is_calibrated)


def _copies(examples: Examples, hashes: np.ndarray | None) -> np.ndarray:
    """Return the first row with the contents of each row, among rows with equal hashes."""
    originals = np.arange(len(examples))
    rows = examples.readable
    if hashes is not None:
        _, numbers, counts = np.unique(hashes[rows], return_inverse=True, return_counts=True)
        rows = rows[(counts[numbers] > 1) | examples.is_digested()[rows]]
    first: dict[str, int] = {}
    for row, digest in zip(rows.tolist(), examples.digests(rows), strict=True):
        if digest:
            originals[row] = first.setdefault(digest, row)
    return originals


def _merged(examples: Examples, originals: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Also find copies whose hashes differ a little: a JPEG, decoded at a reduced size, and its pixels in a PNG.

    Args:
        examples: All examples.
        originals: First row with the contents of each row.
        pairs: Rows of near duplicates.
    """
    rows = np.unique(pairs)
    first: dict[str, int] = {}
    moved = np.arange(len(originals))
    for row, digest in zip(rows.tolist(), examples.digests(rows), strict=True):
        if digest:
            moved[row] = first.setdefault(digest, row)
    return moved[originals]


def _differences(examples: Examples, features: np.ndarray | None, pairs: np.ndarray) -> np.ndarray | None:
    """Return how much the examples of each pair differ, float32 [pairs]; None if they cannot be compared."""
    compare = examples.modality.differences
    has_sketches = all(traits.sketches is not None for traits in examples.traits)

    def compare_block(block: np.ndarray) -> np.ndarray | None:
        differences = compare(*map(examples.sketches, block.T)) if has_sketches else None
        if differences is None and features is not None:
            differences = 1 - np.einsum("ij,ij->i", *(features[rows] for rows in block.T))
        return differences

    blocks = [pairs[start : start + _BLOCK] for start in range(0, len(pairs), _BLOCK)]
    results = [np.zeros(0, np.float32)]
    with progress.bar("comparing candidates", len(pairs)) as advance:
        for block, differences in zip(blocks, in_order(compare_block, iter(blocks)), strict=True):
            if differences is None:
                return None
            results.append(differences)
            advance(len(block))
    if not has_sketches and features is None:
        return None
    return np.concatenate(results).astype(np.float32)


def _cross_class(examples: Examples, pairs: np.ndarray) -> np.ndarray:
    """Return whether the two examples of each pair have different classes, bool [pairs]."""
    if examples.classes is None:
        return np.zeros(len(pairs), bool)
    first, second = examples.classes[pairs].T
    return (first != second) & (first >= 0) & (second >= 0)
