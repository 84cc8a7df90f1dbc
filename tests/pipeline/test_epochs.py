"""Which epoch comes next, and what has been found unreadable."""

import pytest

from tltk.pipeline.epochs import Epochs


def test_an_epoch_counts_once_its_last_batch_is_taken():
    epochs = Epochs(str)
    assert epochs.next == 0
    epochs.finished(0)
    assert epochs.next == 1


def test_a_run_can_start_at_any_epoch_of_at_least_zero():
    epochs = Epochs(str)
    epochs.start_at(4)
    assert epochs.next == 4
    for wrong in (-1, 1.5, True):
        with pytest.raises(ValueError, match="`epoch` must be a whole number of at least 0"):
            epochs.start_at(wrong)
