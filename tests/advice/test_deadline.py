"""Tests of `tltk.advice.deadline`."""

from time import perf_counter

from tltk.advice.deadline import Deadline, duration_text


def test_the_time_that_is_left_can_be_infinite_or_spent():
    assert Deadline.after(None).left == float("inf")
    assert 3500 < Deadline.after(3600).left <= 3600
    assert Deadline(1.0, perf_counter() - 60).left < 0


def test_durations_are_written_as_people_say_them():
    assert [duration_text(seconds) for seconds in (12.3, 5400)] == ["12 s", "90 min"]
