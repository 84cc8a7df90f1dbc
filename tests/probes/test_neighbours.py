"""Tests of `tltk.probes.neighbours`."""

import numpy as np

from tltk.probes.folds import stratified_folds
from tltk.probes.neighbours import best_neighbours, neighbour_scores, out_of_fold_scores


def test_the_nearest_decide_by_their_cosine():
    features, targets = np.array([[1, 0], [2, 0.1], [0, 5]]), np.eye(3)
    scores = neighbour_scores(features, targets, np.array([[3.0, 0.0], [0.0, 0.1]]), neighbours=2)
    assert scores.argmax(1).tolist() == [0, 2]
    assert np.allclose(scores.sum(1), 1)
    assert np.isfinite(neighbour_scores(features, targets, np.zeros((1, 2)), neighbours=20)).all()


def test_the_number_of_neighbours_is_chosen_by_cross_validation():
    generator = np.random.default_rng(0)
    classes = np.arange(300) % 3
    features = np.eye(3)[classes] + 0.9 * generator.normal(size=(300, 3))
    folds = stratified_folds(classes)
    number, scores = best_neighbours(features, classes, folds=folds)
    assert number >= 10
    assert (scores.argmax(1) == classes).mean() > 0.6
    copies = out_of_fold_scores(features, np.eye(3)[generator.permutation(classes)], folds, neighbours=1)
    assert (copies.argmax(1) == classes).mean() < 0.45
