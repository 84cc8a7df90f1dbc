import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, silhouette_score

import tltk
from tltk.inference import cluster as clustering
from tltk.inference.cluster import cluster

SAID = {
    "cooking": ("Simmer the onions in butter.", "Whisk eggs with sugar and flour.", "Bake the bread until golden.",
                "Season the soup with salt and pepper."),
    "space": ("The telescope saw a distant galaxy.", "A comet orbits the sun.", "Stars are born in nebulae.",
              "The rover landed on Mars."),
    "football": ("The striker scored a late goal.", "The goalkeeper saved the penalty.",
                 "Fans filled the stadium for the match.", "The referee showed a red card."),
}  # fmt: skip


def blobs(*sizes, spread=0.05):
    generator = np.random.default_rng(0)
    centers = np.eye(len(sizes), 8)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    return (centers[truth] + generator.normal(0, spread, (len(truth), 8))) * 7, truth


@pytest.mark.parametrize("options", [{}, {"k": 3}, {"k": (2, 3, 4)}, {"method": "hdbscan"}])
def test_what_lies_apart_is_told_apart_the_largest_first(options):
    points, truth = blobs(20, 40, 10)
    found = cluster(points, **options)
    assert adjusted_rand_score(truth, found.labels) == 1
    assert [len(found.members(number)) for number in range(3)] == [40, 20, 10]
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    assert found.silhouette == pytest.approx(silhouette_score(unit.astype("float32"), found.labels), abs=1e-6)
    for number in range(3):
        np.testing.assert_allclose(found.centers[number], unit[found.labels == number].mean(0), atol=1e-6)


def test_the_number_of_clusters_is_the_one_with_the_best_silhouette():
    points, _ = blobs(15, 15, 15, 15)
    found = cluster(points)
    assert set(found.tried) == set(range(2, 21))
    assert max(found.tried, key=found.tried.get) == 4 == len(found.centers)
    assert cluster(points, k=4).tried == {}


def test_what_is_between_belongs_to_none():
    points, _ = blobs(30, 30)
    found = cluster(np.concatenate([points, np.random.default_rng(1).normal(size=(6, 8))]), method="hdbscan")
    assert (found.labels[60:] == -1).sum() >= 3
    assert found.describe().splitlines()[-1].endswith("examples belong to none")
    assert sorted(found.members(-1)) == np.flatnonzero(found.labels == -1).tolist()


def test_texts_of_three_subjects_are_three_clusters():
    said = [text for texts in SAID.values() for text in texts]
    features = tltk.embed(tltk.backbone("all_minilm_l6_v2_en"), said)
    found = tltk.cluster(features, k=3)
    assert adjusted_rand_score(np.repeat(np.arange(3), 4), found.labels) == 1
    assert found.example_ids == features.example_ids
    assert len(found.describe().splitlines()) == 3
    assert found.describe().startswith("0: 4 examples, such as example ")


def test_the_most_typical_stand_first():
    points, _ = blobs(12, 12, spread=0.2)
    found = cluster(points, k=2)
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    away = np.linalg.norm(unit[found.members(0)] - found.centers[0], axis=1)
    assert (np.diff(away) >= -1e-6).all()


def test_a_sample_of_many_is_judged(monkeypatch):
    points, _ = blobs(40, 40)
    whole = cluster(points, k=2).silhouette
    monkeypatch.setattr(clustering, "_SAMPLE", 20)
    sampled = cluster(points, k=2).silhouette
    assert sampled != whole
    assert sampled == pytest.approx(whole, abs=0.1)


def test_examples_that_are_all_alike_are_one_cluster():
    found = cluster(np.ones((6, 3)), k=4)
    assert found.labels.tolist() == [0] * 6
    assert found.silhouette is None
    assert cluster(np.zeros((6, 3))).labels.tolist() == [0] * 6


def test_where_nothing_is_dense_there_is_no_cluster():
    found = cluster(np.eye(8), method="hdbscan", min_size=5)
    assert found.labels.tolist() == [-1] * 8
    assert found.centers.shape == (0, 8)
    assert found.describe() == "8 examples belong to none"


def test_what_is_wrong_is_told():
    points, _ = blobs(5, 5)
    with pytest.raises(TypeError, match="`features` must be Features or ndarray"):
        cluster([[1.0]])
    with pytest.raises(ValueError, match=r"pooled. Received: shape \(2, 3, 4\)"):
        cluster(np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="Did you mean 'kmeans'"):
        cluster(points, method="k-means")
    with pytest.raises(ValueError, match=r"(?s)at least 3 examples.*must be finite"):
        cluster(np.full((2, 3), np.nan), k=1)
    with pytest.raises(ValueError, match=r"`k` must be whole numbers from 1 to 10\. Received: 0, 11"):
        cluster(points, k=(0, 3, 11))
    for wrong in (2.5, "3", True):
        with pytest.raises(ValueError, match=rf"`k` must be whole numbers from 1 to 10\. Received: {wrong!r}"):
            cluster(points, k=wrong)
    for fine in (np.int64(2), np.arange(2, 4)):
        assert len(cluster(points, k=fine).centers) == 2
    with pytest.raises(ValueError, match="`k` is of k-means"):
        cluster(points, method="hdbscan", k=3)
    with pytest.raises(ValueError, match="`min_size` is of HDBSCAN"):
        cluster(points, min_size=3)
    with pytest.raises(ValueError, match="`min_size` must be a whole number from 2 to 10"):
        cluster(points, method="hdbscan", min_size=1)
