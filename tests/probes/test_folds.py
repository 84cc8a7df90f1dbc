"""Tests of `tltk.probes.folds`."""

import numpy as np

from tltk.probes.folds import strata_of, stratified_folds


def test_every_class_is_in_every_fold_and_groups_stay_together():
    classes = np.repeat([0, 1, 2], [50, 10, 5])
    folds = stratified_folds(classes, folds=5, seed=3)
    assert [sorted(np.bincount(folds[classes == label], minlength=5)) for label in range(3)] == [
        [10] * 5,
        [2] * 5,
        [1] * 5,
    ]
    windows = np.repeat(np.arange(10), 3)
    by_group = stratified_folds(np.repeat(np.arange(10) % 2, 3), folds=5, groups=windows).reshape(10, 3)
    assert (by_group == by_group[:, :1]).all()
    assert len(np.unique(by_group)) == 5


def test_few_examples_give_few_folds():
    assert sorted(stratified_folds(np.array([0, 1, 0]), folds=5)) == [0, 1, 2]
    assert stratified_folds(np.array([0])).tolist() == [0]


def test_strata_are_the_class_the_rarest_label_and_the_rank():
    assert strata_of(np.eye(3)[[2, 0]], "categorical").tolist() == [2, 0]
    labels = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0]], float)
    assert strata_of(labels, "multilabel").tolist() == [1, 0, 3]
    assert strata_of(np.array([[0.3], [-1.0], [5.0]]), "regression").tolist() == [1, 0, 2]
