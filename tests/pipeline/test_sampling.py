"""Draws of elements that balance classes."""

import numpy as np
import pytest

from tltk.errors import InvalidInput
from tltk.pipeline.batching import Budget, Order, epoch_size
from tltk.pipeline.sampling import SAMPLING, Sampler

CLASSES = np.repeat([0, 1, 3], [12, 5, 2])  # class 2 does not occur


def drawn(method, epoch=0, seed=3):
    return Sampler(CLASSES, method).rows(np.random.default_rng([seed, epoch]))


@pytest.mark.parametrize(("method", "expected"), [("oversample", 12), ("undersample", 2)])
def test_every_class_is_drawn_equally_often(method, expected):
    rows = drawn(method)
    np.testing.assert_array_equal(np.bincount(CLASSES[rows]), [expected, expected, 0, expected])
    assert len(rows) == Sampler(CLASSES, method).count


def test_oversampling_draws_every_element_before_any_is_repeated():
    repeats = np.bincount(drawn("oversample"), minlength=len(CLASSES))
    np.testing.assert_array_equal(repeats[:12], 1)
    assert set(repeats[12:17]) == {2, 3}
    np.testing.assert_array_equal(repeats[17:], 6)


def test_undersampling_draws_others_in_each_epoch():
    epochs = [set(drawn("undersample", epoch)) for epoch in range(20)]
    assert set().union(*epochs) == set(range(len(CLASSES)))


def test_balanced_batches_have_all_classes_in_turn():
    rows = drawn("balanced_batches")
    assert len(rows) == len(CLASSES)
    for start in range(0, 18, 6):
        np.testing.assert_array_equal(np.bincount(CLASSES[rows[start : start + 6]]), [2, 2, 0, 2])


@pytest.mark.parametrize("method", SAMPLING)
def test_draws_depend_on_seed_and_epoch_only(method):
    np.testing.assert_array_equal(drawn(method, 1), drawn(method, 1))
    assert drawn(method, 1).tolist() != drawn(method, 2).tolist() != drawn(method, 2, seed=4).tolist()


@pytest.mark.parametrize("method", SAMPLING)
@pytest.mark.parametrize("lengths", [None, np.arange(1, 20)], ids=["images", "texts"])
def test_batches_can_be_asked_for_by_number(method, lengths):
    sampler = Sampler(CLASSES, method)
    order = Order(4, seed=5, epoch=2, sampler=sampler)
    batches = dict(order.batches(len(CLASSES), lengths))
    size = epoch_size(len(CLASSES), order, lengths)
    assert sum(map(len, batches.values())) == size.elements == sampler.count
    assert len(batches) == size.batches
    rest = dict(Order(4, seed=5, epoch=2, first=1, sampler=sampler).batches(len(CLASSES), lengths))
    assert {number: rows.tolist() for number, rows in rest.items()} == {
        number: rows.tolist() for number, rows in batches.items() if number
    }


def test_a_budget_of_tokens_counts_drawn_elements():
    order = Order(Budget(40), seed=5, sampler=Sampler(CLASSES, "oversample"))
    assert epoch_size(len(CLASSES), order, np.full(len(CLASSES), 10)).elements == 36


def test_nothing_to_draw_from_and_unknown_methods_are_refused():
    with pytest.raises(InvalidInput, match="no element"):
        Sampler(np.zeros(0, np.int64), "oversample")
    with pytest.raises(InvalidInput, match=r"oversampl.*Did you mean 'oversample'"):
        Sampler(CLASSES, "oversampling")
