"""Clusters: which of the embedded examples belong together, by scikit-learn."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tltk.foundation import checks as check
from tltk.inference.embed import Features

METHODS = ("kmeans", "hdbscan")
_MOST = 20  # clusters that are tried where `k` is left open
_SAMPLE = 2000  # examples that a silhouette is computed on: it compares each with each
_STARTS = 10  # of k-means, the best of which is kept


@dataclass(frozen=True, eq=False)
class Clusters:
    """What `cluster` found.

    Args:
        labels: int64 [n], the cluster of each example, from 0, the largest first; -1 for what belongs to none.
        centers: float32 [clusters, channels], the mean of each.
        silhouette: in [-1, 1], how much nearer examples are to their own cluster than to the next one (Rousseeuw 1987);
            None where there are fewer than two clusters.
        tried: number of clusters → its silhouette, where `k` was left open.
        example_ids: the name of each example.
        order: int64 [n], the examples by their distance from the center of their cluster, the nearest first.
    """

    labels: np.ndarray
    centers: np.ndarray
    silhouette: float | None
    tried: dict[int, float]
    example_ids: tuple[str, ...]
    order: np.ndarray

    def members(self, number: int) -> np.ndarray:
        """Return the examples of a cluster, int64, the most typical first."""
        return self.order[self.labels[self.order] == number]

    def describe(self, shown: int = 3) -> str:
        """Say in a line each how large the clusters are, and name their most typical examples."""
        sizes = [len(self.members(number)) for number in range(len(self.centers))]
        lines = [
            f"{number}: {size} examples, such as "
            + check.listing((self.example_ids[row] for row in self.members(number)[:shown]), limit=shown)
            for number, size in enumerate(sizes)
        ]
        alone = int((self.labels < 0).sum())
        return "\n".join([*lines, f"{alone} examples belong to none"] if alone else lines)


def cluster(
    features: Features | np.ndarray,
    *,
    method: str = "kmeans",
    k: int | Iterable[int] | None = None,
    min_size: int | None = None,
    seed: int = 0,
) -> Clusters:
    """Find groups among embedded examples, without labels.

    Vectors are brought to length 1 first, so that nearness is their cosine, as sentence encoders are trained for.

    Args:
        features: from `tltk.embed`, or float [n, channels].
        method: "kmeans" puts every example into one of `k` clusters; "hdbscan" (Campello et al. 2013) finds their
            number by density, and leaves out what is between them.
        k: clusters of k-means; several numbers, or None for 2 to 20, choose the one with the best silhouette.
        min_size: smallest cluster of HDBSCAN; the default is a fiftieth of the examples, at least 5.
        seed: of k-means' starts.

    Returns:
        The clusters.

    Raises:
        TypeError: if `features` are neither.
        ValueError: if there are too few examples, a vector is not finite, or an option is out of range.

    Example:
        >>> points = np.repeat(np.eye(3), 4, axis=0)
        >>> cluster(points).labels.tolist()
        [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    """
    check.kind_of("features", features, (Features, np.ndarray), hint="Pass what tltk.embed returned.")
    vectors = np.asarray(features.values if isinstance(features, Features) else features, np.float32)
    check.one_of("method", method, METHODS)
    sizes = _checked(vectors, method, k, min_size)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    tried: dict[int, float] = {}
    if method == "hdbscan":
        labels = _by_density(unit, min_size)
    elif len(sizes) == 1:
        labels = _by_means(unit, sizes[0], seed)
    else:
        found = {size: _by_means(unit, size, seed) for size in sizes}
        tried = {size: value for size, each in found.items() if (value := _silhouette(unit, each, seed)) is not None}
        labels = found[max(tried, key=lambda size: (tried[size], -size))] if tried else found[sizes[0]]
    names = (
        features.example_ids if isinstance(features, Features) else tuple(f"example {row}" for row in range(len(unit)))
    )
    labels = _largest_first(labels)
    centers = np.stack([unit[labels == number].mean(0) for number in range(labels.max(initial=-1) + 1)] or [[]])
    away = np.linalg.norm(unit - centers[np.maximum(labels, 0)], axis=1) if centers.size else np.zeros(len(unit))
    centers = centers if centers.size else np.zeros((0, unit.shape[1]), np.float32)
    return Clusters(labels, centers, _silhouette(unit, labels, seed), tried, names, np.argsort(away, kind="stable"))


def _checked(vectors: np.ndarray, method: str, k: int | Iterable[int] | None, min_size: int | None) -> list[int]:
    """Return the numbers of clusters to try."""
    problems = check.Problems()
    if vectors.ndim != 2:
        raise ValueError(f"`features` must be [n, channels], pooled. Received: shape {vectors.shape}")
    count = len(vectors)
    if count < 3:
        problems.add(f"at least 3 examples are needed. Received: {count}")
    if not np.isfinite(vectors).all():
        problems.add("`features` must be finite numbers")
    if method == "hdbscan" and k is not None:
        problems.add("`k` is of k-means; HDBSCAN finds the number of clusters")
    if method == "kmeans" and min_size is not None:
        problems.add("`min_size` is of HDBSCAN")
    if min_size is not None and (type(min_size) is not int or not 2 <= min_size <= count):
        problems.add(f"`min_size` must be a whole number from 2 to {count}. Received: {min_size!r}")
    several = isinstance(k, Iterable) and not isinstance(k, str)
    given: Any = range(2, min(_MOST, count - 1) + 1) if k is None else k
    chosen = list(given) if several or k is None else [given]
    wrong = [each for each in chosen if not _is_whole(each) or not 1 <= each <= count]
    if wrong or not chosen:
        shown = check.listing(map(repr, wrong)) or "none"
        problems.add(f"`k` must be whole numbers from 1 to {count}. Received: {shown}")
    problems.raise_if_any()
    return [int(each) for each in chosen]


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _by_means(unit: np.ndarray, size: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    distinct = len(np.unique(unit, axis=0))
    size = min(size, distinct)  # scikit-learn would warn, and return fewer as well
    return KMeans(size, n_init=_STARTS, random_state=seed).fit(unit).labels_.astype(np.int64)


def _by_density(unit: np.ndarray, min_size: int | None) -> np.ndarray:
    from sklearn.cluster import HDBSCAN

    size = min_size or max(5, len(unit) // 50)
    return HDBSCAN(min_cluster_size=min(size, len(unit)), copy=True).fit(unit).labels_.astype(np.int64)


def _silhouette(unit: np.ndarray, labels: np.ndarray, seed: int) -> float | None:
    """Compute the mean silhouette of what belongs to a cluster, on a sample of many."""
    from sklearn.metrics import silhouette_score

    inside = np.flatnonzero(labels >= 0)
    if len(inside) > _SAMPLE:
        inside = np.random.default_rng(seed).choice(inside, _SAMPLE, replace=False)
    kinds = len(np.unique(labels[inside]))
    return float(silhouette_score(unit[inside], labels[inside])) if 2 <= kinds < len(inside) else None


def _largest_first(labels: np.ndarray) -> np.ndarray:
    """Number clusters by their sizes; of equal ones, that of the first example comes first."""
    known, first, counts = np.unique(labels[labels >= 0], return_index=True, return_counts=True)
    rank = np.full(labels.max(initial=-1) + 2, -1, np.int64)  # its last place is that of -1
    rank[known[np.lexsort((first, -counts))]] = np.arange(len(known))
    return rank[labels]
