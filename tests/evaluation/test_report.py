import json

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
    assert saved["invalid"] == [{"example_id": "a.jpg", "reason": "0 bytes"}]


def test_another_extension_is_rejected_before_a_folder_is_created(tmp_path):
    with pytest.raises(ValueError, match=r"must end in .html or .json"):
        REPORT.save(tmp_path / "new" / "report.pdf")
    assert not (tmp_path / "new").exists()
