import numpy as np
import pytest

from tltk.trainability.audit.byte_check import MIN_STEPS, NO_GRADIENT, check_phase

PATHS = ["base/kernel", "bn/moving_mean", "head/kernel"]


def arrays(*numbers):
    return [np.full(2, number, "float32") for number in numbers]


def test_a_phase_that_moved_the_right_weights_has_no_problems():
    trained = {"head/kernel"}
    assert check_phase(PATHS, arrays(1, 2, 3), arrays(1, 2, 4), trained=trained, steps=9) == ()
    drifted = arrays(1, 3, 4)
    assert (
        check_phase(PATHS, arrays(1, 2, 3), drifted, trained=trained, updated_statistics={"bn/moving_mean"}, steps=9)
        == ()
    )


def test_weights_are_compared_by_bytes():
    assert check_phase(PATHS, arrays(0.0, 2, 3), arrays(-0.0, 3, 3), trained={"head/kernel", "gone"}, steps=9) == (
        "`gone` is trainable, and not a weight of the model.",
        "`base/kernel` is frozen, and changed.",
        "`bn/moving_mean` is frozen, and changed.",
        f"`head/kernel` is trainable, and did not change in 9 steps: {NO_GRADIENT}.",
    )


def test_in_a_short_phase_only_moved_weights_are_judged():
    problems = check_phase(PATHS, arrays(1, 2, 3), arrays(1, 3, 3), trained={"head/kernel"}, steps=MIN_STEPS - 1)
    assert problems == ("`bn/moving_mean` is frozen, and changed.",)


def test_lists_of_different_lengths_are_an_error():
    with pytest.raises(ValueError, match=r"one array per path is needed. Received: 3 paths, 2 and 3"):
        check_phase(PATHS, arrays(1, 2), arrays(1, 2, 3), trained=set(), steps=1)


def test_without_optimizer_state_a_layer_is_judged_as_a_whole():
    paths = ["key/kernel", "key/bias", "dead/kernel", "dead/bias"]
    before, after = arrays(1, 1, 1, 1), arrays(2, 1, 1, 1)
    problems = check_phase(paths, before, after, trained=set(paths), steps=9)
    assert [sentence.split("`")[1] for sentence in problems] == ["dead/kernel", "dead/bias"]
    problems = check_phase(paths, before, after, trained=set(paths), without_gradient={"key/bias"}, steps=9)
    assert [sentence.split("`")[1] for sentence in problems] == ["key/bias", "dead/kernel", "dead/bias"]
