"""Weights of examples: checked when they are passed, and kept by everything that derives a source."""

import json

import numpy as np
import pytest

import tltk
from tests.conftest import squares
from tltk.data.sample_weight import as_sample_weight, element_weights, require_weight
from tltk.errors import InvalidInput

WEIGHTS = [1.0, 0.5, 0.0, 2.0]


def weighted_texts():
    return tltk.from_arrays(["a", "b", "c", "d"], ["x", "y", "x", "y"], sample_weight=WEIGHTS)


def test_weights_are_float32_whatever_they_were():
    for values in (WEIGHTS, np.array(WEIGHTS)[:, None], (True, False), np.array([3, 1], "int64")):
        weights = as_sample_weight(values, len(values), str)
        assert weights.dtype == np.float32 and weights.tolist() == np.ravel(values).tolist()


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ([1, -1, 1, np.nan], r"finite and at least 0. Received: example 1: -1, example 3: nan"),
        ([1, 1e39, 1, 1], r"example 1: 1e\+39"),
        ([1, 1, 1], r"`sample_weight` must have 4 numbers, one per example. Received: int64 of shape \(3,\)"),
        ([[1, 2], [1, 2], [1, 2], [1, 2]], r"of shape \(4, 2\)"),
        (["a", "b", "c", "d"], r"must have 4 numbers"),
        ([0, 0, 0, 0], "all 4 sample weights of `sample_weight` are 0"),
    ],
)
def test_weights_that_are_wrong_are_named_with_their_rows(weights, match):
    with pytest.raises(InvalidInput, match=match):
        weighted_texts().with_sample_weight(weights)


def test_derived_sources_keep_the_weights():
    source = weighted_texts()
    assert source[[3, 0]].sample_weight.tolist() == [2, 1]
    assert source[2:3].sample_weight.tolist() == [0], "a part may have no weight; fit and evaluate refuse it"
    assert source.subset(source.targets == 0).sample_weight.tolist() == [1, 0]
    assert source.with_sample_weight(None).sample_weight is None
    assert "sample weights from 0 to 2" in source.describe()
    require_weight(source.sample_weight, "data")


def test_a_split_is_the_same_with_and_without_weights():
    source = squares(30)
    parts = tltk.split(source, seed=3)
    weighted_parts = tltk.split(source.with_sample_weight(np.arange(30)), seed=3)
    for part, weighted in zip(parts, weighted_parts, strict=True):
        assert weighted.ids.tolist() == part.ids.tolist() == weighted.sample_weight.astype(int).tolist()


def test_elements_have_the_weights_of_their_examples():
    weights = np.array([1.0, 2.0], "float32")
    assert element_weights(weights, np.array([0, 1, 1])).tolist() == [1, 2, 2]
    assert element_weights(weights, None) is weights and element_weights(None, np.array([0])) is None


def test_a_column_of_a_table_holds_the_weights(tmp_path):
    rows = [{"text": "a", "label": "x", "w": 2}, {"text": "b", "label": "y", "w": 0.5}]
    jsonl, table = tmp_path / "a.jsonl", tmp_path / "a.csv"
    jsonl.write_text("\n".join(map(json.dumps, rows)))
    table.write_text("text,label,w\na,x,2\nb,y,0.5\n")
    for file in (jsonl, table):
        source = tltk.from_file(file, input="text", modality="text", sample_weight="w")
        assert source.sample_weight.tolist() == [2, 0.5]
    with pytest.raises(InvalidInput, match=r"no column 'ww'.*Did you mean 'w'"):
        tltk.from_csv(table, input="text", modality="text", sample_weight="ww")


def test_rows_of_texts_with_a_wrong_weight_are_left_out(tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("text,label,w\na,x,2\nb,y,-1\nc,y,\nd,y,1\n")
    source = tltk.from_csv(table, input="text", modality="text", sample_weight="w")
    assert source.sample_weight.tolist() == [2, 1]
    assert [(bad.example_id, bad.reason) for bad in source.invalid] == [
        ("a.csv, row 3", "`w` must be a weight, a finite number of at least 0. Received: '-1'"),
        ("a.csv, row 4", "`w` must be a weight, a finite number of at least 0. Received: ''"),
    ]
