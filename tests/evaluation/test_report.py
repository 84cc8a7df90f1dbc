import json
from dataclasses import replace

import numpy as np
import pytest

from tltk.evaluation.report import Report
from tltk.specs import InvalidExample

REPORT = Report(
    "classification",
    3,
    {"accuracy": np.float64(2 / 3)},
    confusion=np.array([[1, 0], [1, 1]]),
    invalid=(InvalidExample("a.jpg", "0 bytes"),),
)


def test_a_report_is_plain_json(tmp_path):
    saved = json.loads(REPORT.save(tmp_path / "new" / "report.json").read_text())
    assert saved == REPORT.to_dict()
    assert saved["confusion"] == [[1, 0], [1, 1]] and saved["metrics"]["accuracy"] == 2 / 3
    assert saved["invalid"] == [{"example_id": "a.jpg", "reason": "0 bytes", "is_annotation": False}]


def test_another_extension_is_rejected_before_a_folder_is_created(tmp_path):
    with pytest.raises(ValueError, match=r"must end in .html or .json"):
        REPORT.save(tmp_path / "new" / "report.pdf")
    assert not (tmp_path / "new").exists()


def test_the_headline_has_the_interval_and_the_score_of_the_commonest_class():
    rows = ({"name": "ham", "examples": 28}, {"name": "spam", "examples": 4})
    confusion = np.array([[28, 0], [2, 2]])
    report = Report("classification", 32, {"accuracy": 30 / 32}, rows, confusion=confusion, inputs="texts")
    assert report.headline == "94% correct on 32 texts (95 %: 80% to 98%); always answering 'ham': 88%"
    assert replace(report, total_weight=3.0).headline == ""  # the interval is for equal weights
    assert REPORT.headline == ""


def test_headline_and_notes_are_in_every_form_of_a_report(tmp_path):
    rows = ({"name": "ham", "examples": 1}, {"name": "spam", "examples": 2})
    report = replace(REPORT, classes=rows, notes=("no example of 'eggs'",))
    page = report.save(tmp_path / "report.html").read_text()
    for text in (page, report._repr_html_()):
        assert "67% correct on 3 examples" in text and "no example of" in text
    assert report.to_dict()["headline"] == report.headline
