import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, silhouette_score

import tltk
from tltk.inference import cluster as clustering
from tltk.inference.cluster import cluster

TEXTS = {
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


@pytest.mark.parametrize("options", [{}, {"n_clusters": 3}, {"n_clusters": (2, 3, 4)}, {"method": "hdbscan"}])
def test_separate_groups_are_found_and_numbered_by_size(options):
    points, truth = blobs(20, 40, 10)
    clusters = cluster(points, **options)
    assert adjusted_rand_score(truth, clusters.labels) == 1
    assert [len(clusters.members(number)) for number in range(3)] == [40, 20, 10]
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    assert clusters.silhouette == pytest.approx(silhouette_score(unit.astype("float32"), clusters.labels), abs=1e-6)
    for number in range(3):
        np.testing.assert_allclose(clusters.centers[number], unit[clusters.labels == number].mean(0), atol=1e-6)


def test_the_number_of_clusters_is_the_one_with_the_best_silhouette():
    points, _ = blobs(15, 15, 15, 15)
    clusters = cluster(points)
    assert set(clusters.silhouettes) == set(range(2, 21))
    assert max(clusters.silhouettes, key=clusters.silhouettes.get) == 4 == len(clusters.centers)
    assert cluster(points, n_clusters=4).silhouettes == {}


def test_hdbscan_assigns_no_cluster_to_points_between_clusters():
    points, _ = blobs(30, 30)
    clusters = cluster(np.concatenate([points, np.random.default_rng(1).normal(size=(6, 8))]), method="hdbscan")
    assert (clusters.labels[60:] == -1).sum() >= 3
    assert clusters.describe().splitlines()[-1].endswith("examples belong to no cluster")
    assert sorted(clusters.members(-1)) == np.flatnonzero(clusters.labels == -1).tolist()


def test_kmeans_of_few_examples_uses_one_thread(monkeypatch):
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_info

    threads = []
    fit = KMeans.fit

    def counting_fit(self, points):
        threads.extend(pool["num_threads"] for pool in threadpool_info())
        return fit(self, points)

    monkeypatch.setattr(KMeans, "fit", counting_fit)
    cluster(blobs(10, 10)[0], n_clusters=2)
    assert set(threads) == {1}


def test_sentence_features_of_three_subjects_are_three_clusters():
    texts = [text for texts_of_subject in TEXTS.values() for text in texts_of_subject]
    features = tltk.embed(tltk.backbone("all_minilm_l6_v2_en"), texts)
    clusters = tltk.cluster(features, n_clusters=3)
    assert adjusted_rand_score(np.repeat(np.arange(3), 4), clusters.labels) == 1
    assert clusters.ids == features.ids
    assert sum(line[0].isdigit() for line in clusters.describe().splitlines()) == 3
    assert clusters.describe().startswith("0: 4 examples, such as example ")


def test_members_are_sorted_by_distance_from_the_center():
    points, _ = blobs(12, 12, spread=0.2)
    clusters = cluster(points, n_clusters=2)
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    distances = np.linalg.norm(unit[clusters.members(0)] - clusters.centers[0], axis=1)
    assert (np.diff(distances) >= -1e-6).all()


def test_the_silhouette_of_many_examples_is_computed_on_a_sample(monkeypatch):
    points, _ = blobs(40, 40)
    whole = cluster(points, n_clusters=2).silhouette
    monkeypatch.setattr(clustering, "_SILHOUETTE_EXAMPLES", 20)
    sampled = cluster(points, n_clusters=2).silhouette
    assert sampled != whole
    assert sampled == pytest.approx(whole, abs=0.1)


def test_equal_examples_are_one_cluster():
    clusters = cluster(np.ones((6, 3)), n_clusters=4)
    assert clusters.labels.tolist() == [0] * 6
    assert clusters.silhouette is None
    assert cluster(np.zeros((6, 3))).labels.tolist() == [0] * 6


def test_hdbscan_says_that_it_finds_no_cluster_where_no_region_is_dense(caplog):
    clusters = cluster(np.eye(8), method="hdbscan", min_cluster_size=5)
    assert clusters.labels.tolist() == [-1] * 8
    assert clusters.centers.shape == (0, 8)
    for message in (clusters.describe(), caplog.text):
        assert "no cluster was found among 8 examples" in message and "min_cluster_size" in message


def test_wrong_options_are_rejected():
    points, _ = blobs(5, 5)
    with pytest.raises(TypeError, match="`features` must be Features or ndarray"):
        cluster([[1.0]])
    with pytest.raises(ValueError, match=r"pooling is needed. Received: \(2, 3, 4\)"):
        cluster(np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="Did you mean 'kmeans'"):
        cluster(points, method="k-means")
    with pytest.raises(ValueError, match=r"(?s)at least 3 examples.*must be finite"):
        cluster(np.full((2, 3), np.nan), n_clusters=1)
    with pytest.raises(ValueError, match=r"`n_clusters` must be whole numbers from 1 to 10\. Received: 0, 11"):
        cluster(points, n_clusters=(0, 3, 11))
    for wrong in (2.5, "3", True):
        with pytest.raises(ValueError, match=rf"`n_clusters` must be whole numbers from 1 to 10\. Received: {wrong!r}"):
            cluster(points, n_clusters=wrong)
    for valid in (np.int64(2), np.arange(2, 4)):
        assert len(cluster(points, n_clusters=valid).centers) == 2
    with pytest.raises(ValueError, match='`n_clusters` requires method="kmeans"'):
        cluster(points, method="hdbscan", n_clusters=3)
    with pytest.raises(ValueError, match='`min_cluster_size` requires method="hdbscan"'):
        cluster(points, min_cluster_size=3)
    with pytest.raises(ValueError, match="`min_cluster_size` must be a whole number from 2 to 10"):
        cluster(points, method="hdbscan", min_cluster_size=1)


def test_clusters_of_noise_are_said_to_be_arbitrary(caplog):
    clusters = cluster(np.random.default_rng(0).normal(size=(60, 16)).astype("float32"), n_clusters=(2, 5))
    assert clusters.silhouette < 1.2 * clusters.null_silhouette
    for message in (clusters.note, clusters.describe(), caplog.text):
        assert "clusters may be arbitrary: their silhouette" in message


def test_real_clusters_are_not_said_to_be_arbitrary(caplog):
    points, _ = blobs(12, 12)
    clusters = cluster(points, n_clusters=2)
    assert clusters.silhouette > 1.2 * clusters.null_silhouette and clusters.note == "" and not caplog.text
