import pytest

from tltk.foundation import checks as check


def test_a_misspelt_choice_is_answered_with_the_nearest():
    with pytest.raises(
        ValueError, match=r"`pooling` must be one of 'avg', 'max'. Received: 'averg'. Did you mean 'avg'\?"
    ):
        check.one_of("pooling", "averg", ("avg", "max"))


def test_every_number_that_is_not_positive_is_named_at_once():
    with pytest.raises(ValueError, match=r"(?s)`a` must.*Received: 0.*`b` must.*Received: 'x'"):
        check.positive(a=0, b="x", c=1)


def test_nan_and_true_are_no_numbers():
    assert not check.is_number(float("nan"))
    assert not check.is_number(True)
    assert check.is_number(0)


def test_a_number_outside_its_range_is_refused():
    check.within("share", 1.0, low=0, high=1)
    with pytest.raises(ValueError, match=r"`share` must be at least 0 and below 1. Received: 1.0"):
        check.within("share", 1.0, low=0, high=1, open_high=True)


def test_a_wrong_kind_says_what_to_pass():
    with pytest.raises(TypeError, match=r"`model` must be int or float. Received: str. Pass a number."):
        check.kind_of("model", "x", (int, float), hint="Pass a number.")


def test_unknown_keys_are_listed_with_the_known_ones():
    with pytest.raises(ValueError, match=r"(?s)known keys: scale, offset.*no key 'scael'. Did you mean 'scale'"):
        check.known_keys("config", {"scael": 1}, ("scale", "offset"))


def test_many_problems_are_cut_with_their_number():
    problems = check.Problems()
    for index in range(20):
        problems.add(f"problem {index}")
    with pytest.raises(ValueError, match=r"(?s)problem 11.*and 8 more") as caught:
        problems.raise_if_any("heading")
    assert "problem 12" not in str(caught.value)


def test_no_problem_raises_nothing():
    check.Problems().raise_if_any("heading")


def test_counts_are_whole_numbers_above_zero():
    check.counts(batch_size=1, stages=3)
    with pytest.raises(ValueError, match=r"(?s)`a` must be a whole number above 0. Received: 0.*`b`.*Received: 2.5"):
        check.counts(a=0, b=2.5)
