"""The records of an inspection: text, HTML, JSON, lists of ids."""

import json

import numpy as np
import pytest

import tltk
from tltk.data.exclude import read_ids
from tltk.errors import InvalidInput
from tltk.foundation.files import as_json_values
from tltk.inspection.records import FINDINGS, SEVERITIES

EVIL = "<script>alert(1)</script>.png"


@pytest.fixture
def inspection():
    found = (
        tltk.Finding("unreadable", "error", 1, (f"{EVIL} (0 bytes)",), "replace the files", (EVIL,), (EVIL,)),
        tltk.Finding("wrong_labels", "warning", 5, tuple("abcde"), "look", tuple("abcde"), tuple("abcde")),
        tltk.Finding("near_duplicates", "warning", 1, ("a ≈ b",), "keep", ("a", "b"), ("b",)),
    )
    scores = {"test": {"accuracy": 0.9}, "test without leaks": {"accuracy": 0.85}}
    return tltk.Inspection("8 images", found, np.arange(8), not_checked=("<b>x</b>",), scores=scores)


def test_the_short_form_counts_and_the_long_form_lists(inspection):
    assert repr(inspection) == "<Inspection of 8 images: 1 error, 2 warnings>"
    assert len(repr(inspection.findings[1])) < 500
    lines = inspection.describe().split("\n")
    assert lines[0] == "8 images: 1 error, 2 warnings"
    assert any(line.startswith("warning   wrong labels         5  a; b; c …") for line in lines)
    assert "          → replace the files" in lines
    assert lines[-3:] == ["test: accuracy 0.9", "test without leaks: accuracy 0.85", "not checked: <b>x</b>"]
    assert tltk.Inspection("2 texts", (), np.arange(2)).describe() == "2 texts: nothing found"


def test_html_is_escaped(inspection):
    page = inspection._repr_html_()
    assert "<script>" not in page
    assert "<b>x" not in page
    assert "&lt;script&gt;" in page
    assert "wrong labels" in page


def test_a_line_break_in_a_name_makes_no_line():
    found = tltk.Finding("unreadable", "error", 1, ("a\nerror  x",), "replace")
    assert "a\\nerror" in tltk.Inspection("1 image", (found,), np.arange(1)).describe()


def test_findings_by_name(inspection):
    assert inspection["wrong_labels"].count == 5
    absent = inspection["leaks"]
    assert (absent.count, absent.severity, absent.examples) == (0, "error", ())
    with pytest.raises(InvalidInput, match=r"'leeks'.*Did you mean 'leaks'"):
        inspection["leeks"]
    assert all(severity in SEVERITIES for severity, _ in FINDINGS.values())


def test_what_is_sure_is_excluded_and_the_rest_on_request(inspection, tmp_path):
    assert inspection.exclude == (EVIL,)
    assert inspection.exclude_ids("wrong_labels", "near_duplicates") == tuple("abcde")
    assert read_ids(inspection.save_exclude_list(tmp_path / "a.txt")) == [EVIL]
    assert read_ids(inspection.save_exclude_list(tmp_path / "b.txt", "near_duplicates")) == ["b"]
    assert "# near duplicates" in (tmp_path / "b.txt").read_text()
    with pytest.raises(InvalidInput, match="near_duplicate"):
        inspection.save_exclude_list(tmp_path / "c.txt", "near_duplicate")


def test_json_has_all(inspection):
    values = json.loads(json.dumps(as_json_values(inspection.to_dict())))
    assert values["findings"][0]["ids"] == [EVIL]
    assert values["exclude"] == [EVIL]
    assert values["groups"] == list(range(8))
    assert values["scores"]["test"] == {"accuracy": 0.9}
