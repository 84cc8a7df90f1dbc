"""`tltk.cluster`: groups of similar examples by their features, computed by scikit-learn."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from tltk.foundation import checks as check
from tltk.foundation import familiar
from tltk.foundation.errors import InvalidInput
from tltk.inference.embed import Features, scaled_to_unit_length

log = logging.getLogger("tltk")

METHODS = ("kmeans", "hdbscan")
_MAX_CLUSTERS = 20  # largest number of clusters tried if `n_clusters` is None
_SILHOUETTE_EXAMPLES = 2000  # sample size: a silhouette compares all pairs
_INITIALIZATIONS = 10  # of k-means; the best result is kept
_SEARCH_INITIALIZATIONS = 3  # for each of several numbers of clusters
_SMALL = 20_000  # examples: below, the threads of scikit-learn wait for each other longer than they compute
_NULL_FACTOR = 1.2  # of the silhouette of vectors without clusters: two samples of noise differ by less
_NOTHING_FOUND = "no cluster was found"
_WAY_OUT = 'Pass a smaller `min_cluster_size`, or method="kmeans", which assigns every example.'


@dataclass(frozen=True, eq=False)
class Clusters:
    """Result of `cluster`.

    Args:
        labels: int64 [n], cluster of each example, numbered from 0 in order of size, the largest first; -1 for examples
            that belong to no cluster.
        centers: float32 [clusters, channels], mean of the unit-length vectors of each cluster.
        silhouette: Mean silhouette in [-1, 1]: how much nearer examples are to their own cluster than to the next one
            (Rousseeuw 1987). None for fewer than two clusters.
        silhouettes: Number of clusters → silhouette, if several numbers were tried.
        ids: Id of each example.
        order: int64 [n], rows of the examples sorted by distance from the center of their cluster, the nearest first.
        null_silhouette: For k-means, the silhouette of as many clusters among normally distributed vectors with the
            same mean and covariance, which have no clusters (as in SigClust, Liu et al. 2008); None without silhouette.
    """

    labels: np.ndarray
    centers: np.ndarray
    silhouette: float | None
    silhouettes: dict[int, float]
    ids: tuple[str, ...]
    order: np.ndarray
    null_silhouette: float | None = None

    @property
    def note(self) -> str:
        """What to know about the result: no cluster was found, or the clusters are no better than those of noise."""
        if not len(self.centers):
            return f"{_NOTHING_FOUND} among {len(self.labels)} examples. {_WAY_OUT}"
        if self.silhouette is None or self.null_silhouette is None:
            return ""
        if self.silhouette > _NULL_FACTOR * self.null_silhouette:
            return ""
        return (
            f"the {len(self.centers)} clusters may be arbitrary: their silhouette, {self.silhouette:.2g}, is near that "
            f"of vectors without clusters, {self.null_silhouette:.2g}. Look at the examples, pass another `n_clusters` "
            "or embed with another backbone."
        )

    def members(self, number: int) -> np.ndarray:
        """Return the rows of the examples in a cluster, int64, those nearest to its center first."""
        return self.order[self.labels[self.order] == number]

    def describe(self, shown: int = 3) -> str:
        """Describe each cluster in one line: its size and the `shown` examples nearest to its center."""
        if not len(self.centers):
            return self.note
        sizes = [len(self.members(number)) for number in range(len(self.centers))]
        lines = [
            f"{number}: {size} examples, such as "
            + check.listing((self.ids[row] for row in self.members(number)[:shown]), limit=shown)
            for number, size in enumerate(sizes)
        ]
        unassigned = int((self.labels < 0).sum())
        lines += [f"{unassigned} examples belong to no cluster"] if unassigned else []
        return "\n".join([*lines, self.note] if self.note else lines)


@familiar.arguments
def cluster(
    features: Features | np.ndarray,
    *,
    method: str = "kmeans",
    n_clusters: int | Iterable[int] | None = None,
    min_cluster_size: int | None = None,
    seed: int = 0,
) -> Clusters:
    """Find groups among embedded examples, without labels.

    Vectors are scaled to unit length first, so that their distance depends on the cosine similarity, for which
    sentence encoders are trained.

    Args:
        features: From `tltk.embed`, or float [n, channels].
        method: "kmeans" assigns every example to one of `n_clusters` clusters. "hdbscan" (Campello et al. 2013) finds
            the number of clusters by density, and assigns no cluster to examples between them.
        n_clusters: Number of clusters for k-means, or several numbers, of which the one with the best silhouette is
            used; None tries 2 to 20.
        min_cluster_size: Size of the smallest cluster for HDBSCAN; the default is a fiftieth of the examples, at
            least 5.
        seed: Seed of the initializations of k-means.

    Returns:
        The clusters. If HDBSCAN finds none, all labels are -1. A warning, `note` and `describe` say so, and also if the
        clusters of k-means are no better than those of vectors without clusters.

    Raises:
        InvalidType: If `features` is neither `Features` nor an array.
        InvalidInput: If there are too few examples, a vector is not finite, or an option is out of range.

    Examples:
        >>> points = np.repeat(np.eye(3), 4, axis=0)
        >>> cluster(points).labels.tolist()
        [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    """
    check.instance_of("features", features, (Features, np.ndarray), hint="Pass what tltk.embed returned.")
    vectors = np.asarray(features.features if isinstance(features, Features) else features, np.float32)
    check.one_of("method", method, METHODS)
    cluster_counts = _check_options(vectors, method, n_clusters, min_cluster_size)
    unit_vectors = scaled_to_unit_length(vectors)
    silhouettes: dict[int, float] = {}
    if method == "hdbscan":
        labels = _hdbscan(unit_vectors, min_cluster_size)
    elif len(cluster_counts) == 1:
        labels = _kmeans(unit_vectors, cluster_counts[0], seed)
    else:
        labels, silhouettes = _best_kmeans(unit_vectors, cluster_counts, seed)
    labels = _numbered_by_size(labels)
    centers, distances = _centers(unit_vectors, labels)
    names = features.ids if isinstance(features, Features) else None
    silhouette = _silhouette(unit_vectors, labels, seed)
    is_compared = method == "kmeans" and silhouette is not None
    clusters = Clusters(
        labels,
        centers,
        silhouette,
        silhouettes,
        names or tuple(f"example {row}" for row in range(len(vectors))),
        np.argsort(distances, kind="stable"),
        _null_silhouette(vectors, len(centers), seed) if is_compared else None,
    )
    if clusters.note:
        log.warning("%s", clusters.note)
    return clusters


def _check_options(
    vectors: np.ndarray, method: str, n_clusters: int | Iterable[int] | None, min_cluster_size: int | None
) -> list[int]:
    """Return the numbers of clusters to try; raise one error that lists all problems."""
    problems = check.Problems()
    if vectors.ndim != 2:
        raise InvalidInput(f"`features` must have shape [n, channels], so pooling is needed. Received: {vectors.shape}")
    count = len(vectors)
    if count < 3:
        problems.add(f"at least 3 examples are needed. Received: {count}")
    if not np.isfinite(vectors).all():
        problems.add("`features` must be finite numbers. Received: NaN or infinity")
    if method == "hdbscan" and n_clusters is not None:
        problems.add(
            '`n_clusters` requires method="kmeans"; HDBSCAN finds the number of clusters. '
            f"Received: n_clusters={n_clusters!r}"
        )
    if method == "kmeans" and min_cluster_size is not None:
        problems.add(f'`min_cluster_size` requires method="hdbscan". Received: min_cluster_size={min_cluster_size!r}')
    if min_cluster_size is not None and (type(min_cluster_size) is not int or not 2 <= min_cluster_size <= count):
        problems.add(f"`min_cluster_size` must be a whole number from 2 to {count}. Received: {min_cluster_size!r}")
    if n_clusters is None:
        cluster_counts: list[Any] = list(range(2, min(_MAX_CLUSTERS, count - 1) + 1))
    else:
        is_several = isinstance(n_clusters, Iterable) and not isinstance(n_clusters, str)
        cluster_counts = list(cast(Iterable, n_clusters)) if is_several else [n_clusters]
    wrong = [number for number in cluster_counts if not check.is_whole(number) or not 1 <= number <= count]
    if wrong or not cluster_counts:
        received = check.listing(map(repr, wrong)) or "none"
        problems.add(f"`n_clusters` must be whole numbers from 1 to {count}. Received: {received}")
    problems.raise_if_any()
    return [int(number) for number in cluster_counts]


def _best_kmeans(unit_vectors: np.ndarray, cluster_counts: list[int], seed: int) -> tuple[np.ndarray, dict[int, float]]:
    """Return the labels with the best silhouette, fewer clusters first if equal, and the silhouettes."""
    labels_by_count = {
        number: _kmeans(unit_vectors, number, seed, initializations=_SEARCH_INITIALIZATIONS)
        for number in cluster_counts
    }
    silhouettes = {}
    for number, labels in labels_by_count.items():
        silhouette = _silhouette(unit_vectors, labels, seed)
        if silhouette is not None:
            silhouettes[number] = silhouette
    best = max(silhouettes, key=lambda number: (silhouettes[number], -number)) if silhouettes else cluster_counts[0]
    return labels_by_count[best], silhouettes


def _kmeans(
    unit_vectors: np.ndarray, clusters: int, seed: int, *, initializations: int = _INITIALIZATIONS
) -> np.ndarray:
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    distinct = len(np.unique(unit_vectors, axis=0))
    clusters = min(clusters, distinct)  # scikit-learn would find no more either, and warn
    kmeans = KMeans(clusters, n_init=initializations, random_state=seed)
    with threadpool_limits(1 if len(unit_vectors) < _SMALL else None):
        return kmeans.fit(unit_vectors).labels_.astype(np.int64)


def _hdbscan(unit_vectors: np.ndarray, min_cluster_size: int | None) -> np.ndarray:
    from sklearn.cluster import HDBSCAN

    size = min(min_cluster_size or max(5, len(unit_vectors) // 50), len(unit_vectors))
    return HDBSCAN(min_cluster_size=size, copy=True).fit(unit_vectors).labels_.astype(np.int64)


def _centers(unit_vectors: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of each cluster, and the distance of each example from the mean of its cluster."""
    count = labels.max(initial=-1) + 1
    if not count:
        return np.zeros((0, unit_vectors.shape[1]), np.float32), np.zeros(len(unit_vectors))
    centers = np.stack([unit_vectors[labels == number].mean(0) for number in range(count)])
    # Examples without a cluster get the distance from the first center, which is not used.
    return centers, np.linalg.norm(unit_vectors - centers[np.maximum(labels, 0)], axis=1)


def _silhouette(unit_vectors: np.ndarray, labels: np.ndarray, seed: int) -> float | None:
    """Compute the mean silhouette of the examples that belong to a cluster, on a sample if there are many."""
    from sklearn.metrics import silhouette_score

    assigned = np.flatnonzero(labels >= 0)
    if len(assigned) > _SILHOUETTE_EXAMPLES:
        assigned = np.random.default_rng(seed).choice(assigned, _SILHOUETTE_EXAMPLES, replace=False)
    clusters = len(np.unique(labels[assigned]))
    if not 2 <= clusters < len(assigned):
        return None
    return float(silhouette_score(unit_vectors[assigned], labels[assigned]))


def _null_silhouette(vectors: np.ndarray, clusters: int, seed: int) -> float | None:
    """Return the silhouette of as many clusters among normal vectors of the same mean and covariance."""
    generator = np.random.default_rng(seed)
    if len(vectors) > _SILHOUETTE_EXAMPLES:
        vectors = vectors[generator.choice(len(vectors), _SILHOUETTE_EXAMPLES, replace=False)]
    mean = vectors.mean(0)
    factors = generator.normal(size=(len(vectors), len(vectors))).astype(np.float32) / np.sqrt(len(vectors))
    null_vectors = scaled_to_unit_length(factors @ (vectors - mean) + mean)
    labels = _kmeans(null_vectors, clusters, seed, initializations=_SEARCH_INITIALIZATIONS)
    return _silhouette(null_vectors, labels, seed)


def _numbered_by_size(labels: np.ndarray) -> np.ndarray:
    """Renumber clusters by size, the largest first; of equal ones the one with the earliest example comes first."""
    clusters, first_rows, counts = np.unique(labels[labels >= 0], return_index=True, return_counts=True)
    new_number = np.full(labels.max(initial=-1) + 2, -1, np.int64)  # the last entry is that of label -1
    new_number[clusters[np.lexsort((first_rows, -counts))]] = np.arange(len(clusters))
    return new_number[labels]
