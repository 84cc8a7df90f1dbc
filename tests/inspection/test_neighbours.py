"""Pairs of similar examples, against a comparison of all pairs."""

import numpy as np
import pytest

from tltk.inspection import neighbours


def hashes_with_near_ones(count):
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 2**63, count, dtype=np.uint64)
    hashes[5], hashes[9] = hashes[2] ^ np.uint64(0b101), hashes[2]
    return hashes


@pytest.mark.parametrize("block", [4, 2**23])
def test_hash_pairs_are_those_of_a_comparison_of_all(monkeypatch, block):
    monkeypatch.setattr(neighbours, "_BLOCK_PAIRS", block)
    pairs = neighbours.hash_pairs(hashes_with_near_ones(40), max_distance=3, limit=10)
    assert pairs.tolist() == [[2, 5], [2, 9], [5, 9]]


def test_only_the_nearest_hashes_of_each_row_are_kept():
    hashes = np.array([0, 0b111, 0b1, 0b11, 0], np.uint64)
    pairs = neighbours.hash_pairs(hashes, max_distance=3, limit=2)
    assert [pair for pair in pairs.tolist() if pair[0] == 0] == [[0, 2], [0, 4]]
    assert neighbours.hash_pairs(hashes[:0], max_distance=3, limit=2).shape == (0, 2)


@pytest.mark.parametrize("block", [7, 2**23])
def test_feature_pairs_are_the_nearest_above_the_limit(monkeypatch, block):
    monkeypatch.setattr(neighbours, "_BLOCK_PAIRS", block)
    features = np.random.default_rng(1).normal(size=(30, 5)).astype("float32")
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    cosines = features @ features.T - 2 * np.eye(30)
    expected = {
        tuple(sorted((row, int(column))))
        for row in range(30)
        for column in np.argsort(-cosines[row])[:2]
        if cosines[row, column] >= 0.8
    }
    assert set(map(tuple, neighbours.feature_pairs(features, min_cosine=0.8, limit=2).tolist())) == expected


def test_one_example_has_no_neighbours():
    assert neighbours.feature_pairs(np.ones((1, 3), np.float32), min_cosine=0, limit=5).shape == (0, 2)


def test_clusters_are_connected_components():
    assert neighbours.clusters(6, np.array([[4, 1], [1, 3], [5, 5]])).tolist() == [0, 1, 2, 1, 1, 5]
    assert neighbours.clusters(3, np.zeros((0, 2), np.int64)).tolist() == [0, 1, 2]
