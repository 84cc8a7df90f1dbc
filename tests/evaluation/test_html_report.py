import re

import pytest

from tltk.evaluation.html_report import write_page

REPORT = {
    "task": "classification",
    "example_count": 3,
    "metrics": {"accuracy": 2 / 3, "r2": None},
    "classes": [{"name": "<b>cat</b>", "f1": 0.5, "examples": 2}, {"name": "dog", "f1": 1.0, "examples": 1}],
    "confusion": [[1, 1], [0, 1]],
    "calibration": [[0.7, 0.5, 2], [0.9, 1.0, 1]],
    "mistakes": [{"example_id": "a.jpg", "true": "cat", "predicted": "dog", "probability": 0.9}],
    "invalid": [{"example_id": "b.jpg", "reason": "0 bytes"}],
}


def test_a_page_shows_the_whole_report_and_loads_no_other_file(tmp_path):
    write_page(REPORT, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert text.count("<svg") == 2
    assert "0.6667" in text
    assert "b.jpg" in text
    assert "<b>cat</b>" not in text
    assert "<script" not in text
    assert not re.search(r"(src|href)=\"http", re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL))


@pytest.mark.parametrize("task", ["multilabel_classification", "regression"])
def test_a_page_without_confusion_and_calibration_has_no_chart(tmp_path, task):
    without_charts = {**REPORT, "task": task, "confusion": None, "calibration": [], "mistakes": [], "invalid": []}
    write_page(without_charts, tmp_path / "page.html")
    assert "<svg" not in (tmp_path / "page.html").read_text()


def test_the_page_of_many_classes_stays_small(tmp_path):
    classes = [{"name": f"class {index}", "f1": 0.5, "examples": 1} for index in range(80)]
    matrix = [[int(row == column) for column in range(80)] for row in range(80)]
    write_page({**REPORT, "classes": classes, "confusion": matrix}, tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < 1_000_000
