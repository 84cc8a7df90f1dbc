"""What `fit` says about the data and the result."""

import math

import tltk
from tltk.specs import InvalidExample
from tltk.training.tell import tell_if_guessing, tell_invalid

THREE = tltk.classification(["a", "b", "c"])


def test_a_loss_that_is_still_that_of_guessing_is_told(caplog):
    tell_if_guessing(THREE, [{"loss": 2.0}, {"loss": math.log(3) - 0.01}], is_weighted=False)
    assert "The training loss, 1.09, is still that of guessing (1.1)" in caplog.text
    caplog.clear()
    tell_if_guessing(THREE, [{"loss": 0.9}], is_weighted=False)
    tell_if_guessing(THREE, [{"loss": 1.09, "accuracy": 0.92}], is_weighted=False)  # right, by small differences
    tell_if_guessing(THREE, [{"loss": 2.0}], is_weighted=True)  # the loss of guessing is unknown
    tell_if_guessing(tltk.regression(["kg"]), [{"loss": 2.0}], is_weighted=False)
    tell_if_guessing(THREE, [], is_weighted=False)
    focal = tltk.classification(["a", "b", "c"], loss="categorical_focal_crossentropy")
    tell_if_guessing(focal, [{"loss": 2.0}], is_weighted=False)
    assert caplog.text == ""


def test_invalid_examples_are_told_once_with_one_total_by_reason(caplog):
    rows = [InvalidExample(f"a.csv, row {row}", "`label` must not be empty") for row in range(2, 24)]
    tell_invalid((*rows, InvalidExample("a.csv, row 40", "`text` must not be empty")))
    assert caplog.messages == [
        "left out: 23 examples\n"
        "  22: `label` must not be empty (a.csv, row 2; a.csv, row 3; a.csv, row 4 …)\n"
        "  1: `text` must not be empty (a.csv, row 40)"
    ]
    caplog.clear()
    tell_invalid(())
    assert caplog.messages == []
