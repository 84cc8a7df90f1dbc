"""Pairs of similar examples: by the bits of their hashes and by the cosine of their features, in blocks."""

import numpy as np

from tltk.foundation import progress

_BLOCK_PAIRS = 2**23  # pairs that are compared at once


def hash_pairs(hashes: np.ndarray, *, max_distance: int, limit: int) -> np.ndarray:
    """Find pairs of hashes that differ in few bits.

    Args:
        hashes: uint64 [n].
        max_distance: Largest number of different bits.
        limit: Pairs of each row with later rows that are kept, those with the smallest distance.

    Returns:
        Rows, int64 [pairs, 2] with the smaller row first.
    """
    step = max(1, _BLOCK_PAIRS // max(len(hashes), 1))
    pairs = [np.zeros((0, 2), np.int64)]
    with progress.bar("comparing hashes", len(hashes)) as advance:
        for start in range(0, len(hashes), step):
            block = np.arange(start, min(start + step, len(hashes)))
            bits = np.bitwise_count(hashes[block, None] ^ hashes[None, start:])
            rows, columns = np.nonzero(bits <= max_distance)
            is_later = columns > rows
            rows, columns = rows[is_later], columns[is_later]
            kept = _nearest(rows, bits[rows, columns], limit)
            pairs.append(np.stack([rows[kept] + start, columns[kept] + start], 1))
            advance(len(block))
    return np.concatenate(pairs)


def feature_pairs(features: np.ndarray, *, min_cosine: float, limit: int) -> np.ndarray:
    """Find the nearest neighbours of each example by the cosine of their features.

    Args:
        features: float32 [n, channels], of length 1.
        min_cosine: Smallest cosine of a pair.
        limit: Neighbours of each example.

    Returns:
        Rows, int64 [pairs, 2] with the smaller row first, each pair once.
    """
    limit = min(limit, len(features) - 1)
    if limit < 1:
        return np.zeros((0, 2), np.int64)
    step = max(1, _BLOCK_PAIRS // len(features))
    pairs = []
    with progress.bar("comparing features", len(features)) as advance:
        for start in range(0, len(features), step):
            rows = np.arange(start, min(start + step, len(features)))
            cosines = features[rows] @ features.T
            cosines[np.arange(len(rows)), rows] = -np.inf
            nearest = np.argpartition(-cosines, limit - 1, axis=1)[:, :limit]
            near = np.take_along_axis(cosines, nearest, 1) >= min_cosine
            pairs.append(np.stack([np.repeat(rows, near.sum(1)), nearest[near]], 1))
            advance(len(rows))
    return unique_pairs(np.concatenate(pairs))


def unique_pairs(pairs: np.ndarray) -> np.ndarray:
    """Return pairs int64 [k, 2] with the smaller row first, each once, sorted."""
    return np.unique(np.sort(pairs, axis=1), axis=0)


def clusters(count: int, pairs: np.ndarray) -> np.ndarray:
    """Number the connected components of a graph, in the order of their first rows.

    Args:
        count: Number of rows.
        pairs: Edges, int64 [k, 2].

    Returns:
        int64 [count], the smallest row of the component of each row.
    """
    parents = np.arange(count)

    def root(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]  # halve the path
            row = parents[row]
        return row

    for first, second in pairs.tolist():
        low, high = sorted((root(first), root(second)))
        parents[high] = low
    return np.array([root(row) for row in range(count)], np.int64)


def _nearest(rows: np.ndarray, distances: np.ndarray, limit: int) -> np.ndarray:
    """Return the positions of the `limit` entries with the smallest distance for each value of `rows`, sorted."""
    order = np.lexsort((distances, rows))
    _, first, counts = np.unique(rows[order], return_index=True, return_counts=True)
    rank = np.arange(len(order)) - np.repeat(first, counts)
    return np.sort(order[rank < limit])
