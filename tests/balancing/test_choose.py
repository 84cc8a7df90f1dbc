"""The comparison of `balance="auto"`."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from tests.balancing.examples import uneven
from tltk.balancing import choose as module
from tltk.balancing.choose import CANDIDATES, REFITTED, Choice, Row, choose, even_choice
from tltk.balancing.record import Balance

LABELS = uneven((600, 200, 80), exclusive=False)
METHODS = (*CANDIDATES, "thresholds")


@pytest.fixture(scope="module")
def choice():
    return choose(uneven(), Balance(calibrate=True), metric="balanced_accuracy", methods=METHODS)


def test_the_best_method_is_used_and_its_price_is_told(choice):
    rows = {row.method: row for row in choice.rows}
    assert list(rows) == ["nothing", *CANDIDATES]
    best = rows[choice.balance.method]
    assert best.balanced_accuracy > max(row.balanced_accuracy for row in choice.rows) - 0.02
    assert choice.balance == Balance(best.method, calibrate=True)
    gain = 100 * (best.balanced_accuracy - rows["nothing"].balanced_accuracy)
    assert gain > 5
    assert f"{best.method} gains {gain:.1f} ±" in choice.summary
    cost = 100 * (rows["nothing"].accuracy - best.accuracy)
    assert f"costs {cost:.1f} points of accuracy" in choice.summary


@pytest.mark.parametrize(("wrong", "best"), [(2, "logit_adjusted_loss"), (40, "logit_adjustment")])
def test_of_methods_that_cannot_be_told_apart_the_preferred_one_is_used(wrong, best):
    targets = np.eye(2)[np.arange(200) % 2]
    outcomes, rows = {}, []
    for name, errors in {"nothing": 90, "logit_adjustment": 20, "logit_adjusted_loss": 19 + wrong}.items():
        predicted = targets.copy()
        first = 100 if name == "logit_adjustment" else 0  # the methods are wrong on other examples
        predicted[first : first + errors] = 1 - predicted[first : first + errors]
        outcomes[name] = module._Outcome(targets, predicted, 0.0)
        rows.append(Row(name, module._metric(outcomes[name], "balanced_accuracy"), 0.0, 0.0, 0.0))
    assert module._best(tuple(rows), outcomes, "balanced_accuracy", seed=0).method == best


def test_the_table_has_a_line_for_each_method(choice):
    lines = choice.lines()
    assert lines[0].split() == ["method", "balanced_accuracy", "accuracy", "macro_f1", "log_loss"]
    assert len({len(line) for line in lines}) == 1
    assert len(lines) == 1 + len(choice.rows)


def test_a_last_layer_that_is_fitted_again_is_what_was_compared():
    outcome = choose(uneven(), Balance(), metric="balanced_accuracy", methods=REFITTED, refit=True)
    assert [row.method for row in outcome.rows] == ["nothing", *REFITTED]
    assert outcome.balance.refit
    assert outcome.balance.method in REFITTED


def test_even_classes_are_left_alone():
    same = choose(uneven((80, 80, 70)), Balance(), metric="macro_f1", methods=METHODS)
    assert (same.balance.method, same.rows, same.lines()) == ("nothing", (), [])
    assert "classes are even" in same.summary
    assert even_choice(1.6, Balance(), "macro_f1") is None


def test_where_nothing_helps_nothing_is_done():
    separable = uneven(spread=0.02)
    outcome = choose(separable, Balance(), metric="balanced_accuracy", methods=METHODS)
    assert outcome.balance.method == "nothing"
    assert outcome.summary.startswith("nothing is done: ")
    assert len(outcome.rows) == 5


def test_thresholds_are_tried_for_the_f1_of_labels(monkeypatch):
    monkeypatch.setattr(module, "_SIGNIFICANT", 1.0)
    outcome = choose(LABELS, Balance(), metric="macro_f1", methods=("logit_adjustment", "thresholds"))
    assert [row.method for row in outcome.rows] == ["nothing", "thresholds", "logit_adjustment"]
    best = max(outcome.rows, key=lambda row: row.macro_f1).method
    expected = {"thresholds": Balance("nothing", thresholds="macro_f1")}
    assert outcome.balance == expected.get(best, Balance(best))


def test_the_f1_of_classes_is_tuned_by_factors():
    outcome = choose(uneven(), Balance(), metric="macro_f1", methods=("thresholds",))
    assert [row.method for row in outcome.rows] == ["nothing", "thresholds"]


def test_the_metrics_are_those_of_scikit_learn():
    generator = np.random.default_rng(0)
    true, predicted = generator.integers(0, 3, (2, 40))
    outcome = module._Outcome(np.eye(3)[true], np.eye(3)[predicted], 0.0)
    expected = {
        "balanced_accuracy": balanced_accuracy_score(true, predicted),
        "accuracy": (true == predicted).mean(),
        "macro_f1": f1_score(true, predicted, average="macro"),
    }
    assert {name: module._metric(outcome, name) for name in expected} == pytest.approx(expected)
    labels = module._Outcome(generator.integers(0, 2, (40, 3)), generator.integers(0, 2, (40, 3)), 0.0)
    columns = list(zip(labels.targets.T, labels.predicted.T, strict=True))
    expected = {
        "balanced_accuracy": np.mean([balanced_accuracy_score(*column) for column in columns]),
        "accuracy": (labels.targets == labels.predicted).mean(),
        "macro_f1": np.mean([f1_score(*column) for column in columns]),
    }
    assert {name: module._metric(labels, name) for name in expected} == pytest.approx(expected)


def test_of_very_many_rows_whole_groups_are_taken(monkeypatch):
    monkeypatch.setattr(module, "_MAX_ROWS", 100)
    grouped = replace(uneven(), groups=np.repeat(np.arange(70), 4))
    sample = module._sample(grouped, 0)
    assert len(sample.targets) == 100
    np.testing.assert_array_equal(np.unique(sample.groups, return_counts=True)[1], 4)


def test_gains_of_other_metrics_are_told_too():
    nothing, best = Row("nothing", 0.5, 0.8, 0.5, 0.4), Row("inverse", 0.6, 0.78, 0.55, 0.5)
    text = module._side_effects(best, nothing, "balanced_accuracy")
    assert text == " and 5.0 points of macro_f1, and costs 2.0 points of accuracy and 0.100 of log loss"
    assert Choice(Balance(), (nothing,), "macro_f1", "").lines()[1].split() == [
        "nothing",
        *["0.500", "0.800"],
        "0.500",
        "0.400",
    ]
