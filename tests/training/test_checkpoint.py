import pytest

from tltk.errors import InvalidInput
from tltk.training.checkpoint import Checkpoint


@pytest.mark.parametrize(
    ("every", "seconds", "steps"),
    [("5 min", 300, None), ("30s", 30, None), ("1.5 hours", 5400, None), ("2 H", 7200, None), ("500 steps", None, 500)],
)
def test_times_and_steps_are_read(every, seconds, steps):
    assert (Checkpoint(every).seconds, Checkpoint(every).steps) == (seconds, steps)


@pytest.mark.parametrize("every", ["", "5", "0 min", "1.5 steps", "five minutes", "0 steps"])
def test_wrong_intervals_are_refused(every):
    with pytest.raises(InvalidInput, match="`every` must be a time"):
        Checkpoint(every)


def test_at_least_one_is_kept():
    with pytest.raises(InvalidInput, match="`keep`"):
        Checkpoint(keep=0)
