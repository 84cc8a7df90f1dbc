"""Tests of `tltk.foundation.duration`."""

from time import perf_counter

import pytest

from tltk.errors import InvalidInput
from tltk.foundation import duration


def test_budgets_are_times():
    budgets = ("5 min", "5min", "30 s", "30s", "2 hours", "1.5 h", "90 seconds", None)
    assert [duration.budget_seconds(budget) for budget in budgets] == [300, 300, 30, 30, 7200, 5400, 90, None]
    for wrong in ("soon", "5", "5 steps", "-1 min", "0 s", "", 5):
        with pytest.raises(InvalidInput, match="5 min"):
            duration.budget_seconds(wrong)


def test_the_time_that_is_left_can_be_infinite_or_spent():
    assert duration.Deadline.after(None).left == float("inf")
    assert 3500 < duration.Deadline.after(3600).left <= 3600
    assert duration.Deadline(1.0, perf_counter() - 60).left < 0


def test_durations_are_written_as_people_say_them():
    assert [duration.describe(seconds) for seconds in (12.3, 5400)] == ["12 s", "90 min"]
