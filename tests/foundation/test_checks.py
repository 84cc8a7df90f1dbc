from pathlib import Path

import numpy as np
import pytest

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput


def test_an_unknown_choice_raises_with_the_nearest_allowed_one():
    with pytest.raises(
        ValueError, match=r"`pooling` must be one of 'avg', 'max'. Received: 'averg'. Did you mean 'avg'\?"
    ):
        check.one_of("pooling", "averg", ("avg", "max"))


def test_positive_lists_every_number_that_is_not_above_zero():
    with pytest.raises(ValueError, match=r"(?s)`a` must.*Received: 0.*`b` must.*Received: 'x'"):
        check.positive(a=0, b="x", c=1)


def test_nan_and_bools_do_not_count_as_numbers():
    assert not check.is_number(float("nan"))
    assert not check.is_number(True)
    assert check.is_number(0)
    assert not check.is_whole(np.bool_(True)) and not check.is_whole(np.float32(1))
    assert check.is_number(np.float32(0.5)) and check.is_whole(np.int64(1)) and not check.is_number(np.float32("nan"))


def test_a_number_out_of_range_raises():
    check.within("fraction", 1.0, low=0, high=1)
    with pytest.raises(ValueError, match=r"`fraction` must be at least 0 and below 1. Received: 1.0"):
        check.within("fraction", 1.0, low=0, high=1, open_high=True)


def test_a_wrong_type_raises_with_the_hint():
    with pytest.raises(TypeError, match=r"`model` must be int or float. Received: str. Pass a number."):
        check.instance_of("model", "x", (int, float), hint="Pass a number.")


def test_unknown_keys_raise_with_the_allowed_ones():
    with pytest.raises(ValueError, match=r"(?s)known keys: scale, offset.*no key 'scael'. Did you mean 'scale'"):
        check.known_keys("config", {"scael": 1}, ("scale", "offset"))


def test_a_long_list_of_problems_is_truncated_with_the_number_of_omitted_ones():
    problems = check.Problems()
    for index in range(20):
        problems.add(f"problem {index}")
    with pytest.raises(ValueError, match=r"(?s)problem 11.*and 8 more") as error:
        problems.raise_if_any("heading")
    assert "problem 12" not in str(error.value)


def test_no_problems_raise_nothing():
    check.Problems().raise_if_any("heading")


def test_counts_must_be_whole_numbers_above_zero():
    check.counts(batch_size=1, stages=np.int64(3))
    with pytest.raises(ValueError, match=r"(?s)`a` must be a whole number above 0. Received: 0.*`b`.*Received: 2.5"):
        check.counts(a=0, b=2.5)


@pytest.mark.parametrize("value", [-1, 2**31, 0.5, True, "1"])
def test_a_seed_is_a_whole_number_of_31_bits(value):
    assert type(check.seed(np.int64(0))) is int
    with pytest.raises(InvalidInput, match=r"`seed` must be a whole number in \[0, 2\*\*31\)\. Received: "):
        check.seed(value)


@pytest.mark.parametrize("value", ["", "  ", "a\0b"])
def test_an_empty_path_is_not_the_current_folder(value):
    with pytest.raises(InvalidInput, match=r'`out` must be a path; the current folder is "."'):
        check.path("out", value)
    assert check.path("out", ".") == check.path("out", Path())
