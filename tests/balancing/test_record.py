"""The record of what is done about uneven classes."""

import pytest

import tltk
from tltk.balancing.record import METHODS, Balance, as_balance
from tltk.errors import InvalidInput, InvalidType


@pytest.mark.parametrize("method", METHODS)
def test_a_name_is_a_record_with_defaults(method):
    assert as_balance(method) == tltk.balance(method) == Balance(method)


def test_a_record_keeps_its_options():
    record = tltk.balance("logit_adjustment", tau=2, prior={"a": 3, "b": 1}, costs={("a", "b"): 5}, calibrate=True)
    assert (record.tau, record.prior, record.costs) == (2.0, (("a", 3.0), ("b", 1.0)), (("a", "b", 5.0),))
    assert as_balance(record) is record
    assert as_balance(None) is None
    assert record.to_config()["calibrate"] is True


def test_every_wrong_option_is_named_at_once():
    with pytest.raises(InvalidInput) as raised:
        tltk.balance("focal", tau=2.0, gamma=-1, thresholds="macro_f", tuned_on="test", metric="accuracy", recall=0)
    for fragment in (
        "`tau` is an option of 'logit_adjusted_loss', 'logit_adjustment', 'tau_normalization'",
        "`gamma` must be a number above 0. Received: -1",
        "`thresholds` must be one of 'macro_f1'",
        "Received: 'macro_f'. Did you mean 'macro_f1'?",
        "`metric` must be one of 'balanced_accuracy', 'macro_f1'",
        "`tuned_on` must be 'train' or 'val'",
        "`recall` must be a number above 0 and at most 1",
    ):
        assert fragment in str(raised.value)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"prior": [0.5, 0.5]}, InvalidType, r"`prior` must be a dict"),
        ({"prior": {"a": 0}}, InvalidInput, r"above 0.*'a': 0"),
        ({"costs": {"a": 1.0}}, InvalidInput, r"pairs.*'a'"),
        ({"costs": {("a", "b"): -1}}, InvalidInput, r"at least 0.*-1"),
        ({"costs": [1]}, InvalidType, r"`costs` must be a dict"),
        ({"costs": {("a", "b"): 2}, "thresholds": "accuracy"}, InvalidInput, r"`costs` and `thresholds`"),
    ],
)
def test_wrong_priors_and_costs_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        tltk.balance("logit_adjustment", **options)


def test_other_types_and_unknown_names_are_refused():
    with pytest.raises(InvalidType, match=r"`balance` must be the name of a method.*0.5"):
        as_balance(0.5)
    with pytest.raises(InvalidInput, match=r"`balance` must be one of.*'invers'.*Did you mean 'inverse'"):
        as_balance("invers")
