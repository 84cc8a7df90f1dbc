"""The ten reports of `python -m tests.inputs`."""

import pytest

from tests.inputs import REPORTS


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.__name__)
def test_a_reported_fault_does_not_occur(report, tmp_path):
    assert report(tmp_path) is True
