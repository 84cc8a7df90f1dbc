"""The comparison of formats measures the written files."""

import numpy as np
import pytest

import tltk
from tests.conftest import squares, squares_model
from tests.texts import asked, marked, tiny_preset
from tltk.serving import comparison
from tltk.serving.comparison import KERAS, compare


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return tltk.backbone(str(tiny_preset(tmp_path_factory.mktemp("presets") / "tiny")))


def nonzero_head():
    return tltk.head(zero_init=False, normalization=None)


@pytest.mark.usefixtures("replay_here")
def test_every_format_is_measured_beside_keras(tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "_TIMED_CALLS", 3)
    model = squares_model(head=tltk.head(zero_init=False))
    formats = ("saved_model", "onnx", "litert_int8")
    rows = compare(model, tmp_path, squares(30), calibration=squares(20), formats=formats)
    assert [row.format for row in rows] == [KERAS, *formats]
    assert rows[0].score == tltk.evaluate(model, squares(30)).metrics["accuracy"]
    assert rows[0].path is None and rows[0].largest_difference == 0
    for row in rows[1:]:
        assert row.path == tmp_path / row.format / "1" and row.path.is_dir()
        assert row.metric == "accuracy"
        assert row.largest_difference <= (0.1 if "8" in row.format else 1e-4)
        assert row.size_bytes == sum(file.stat().st_size for file in row.path.rglob("*") if file.is_file())
    assert rows[1].score == rows[2].score == rows[0].score
    assert all(set(row.latency_ms) == {"1", "32"} and min(row.latency_ms.values()) > 0 for row in rows)


@pytest.mark.usefixtures("replay_here")
def test_the_score_is_computed_with_the_written_file(tmp_path, monkeypatch):
    monkeypatch.setattr(
        comparison, "_load_network", lambda path, model: lambda tensor: np.eye(3, dtype="float32")[[0] * len(tensor)]
    )
    model, data = squares_model(head=tltk.head(zero_init=False)), squares(30)
    rows = compare(model, tmp_path, data, calibration=data, formats=("onnx",))
    assert rows[1].score == np.mean(data.targets.values == 0)


@pytest.mark.parametrize(
    ("task_name", "metric", "file_format"),
    [("token_classification", "f1", "saved_model"), ("question_answering", "exact_match", "onnx")],
)
@pytest.mark.usefixtures("replay_here")
def test_span_tasks_get_the_scores_of_evaluate(backbone, tmp_path, monkeypatch, task_name, metric, file_format):
    monkeypatch.setattr(comparison, "_TIMED_CALLS", 1)
    if task_name == "token_classification":
        data = marked(12)
        task = tltk.token_classification(data.labels, head=nonzero_head())
    else:
        data = asked(12)
        task = tltk.question_answering(head=nonzero_head())
    model = tltk.assemble(backbone, task, precision="float32")
    rows = compare(model, tmp_path, data, calibration=data, formats=(file_format,))
    assert {row.metric for row in rows} == {metric}
    assert rows[1].score == pytest.approx(rows[0].score)


def test_an_unknown_format_is_an_error_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"`formats` must be one of .*Did you mean 'onnx'"):
        compare(squares_model(), tmp_path / "x", squares(), calibration=squares(), formats=("saved_model", "onx"))
    assert not (tmp_path / "x").exists()
