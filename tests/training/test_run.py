import json

import numpy as np
import pytest

import tltk
from tests.conftest import squares, squares_model
from tltk.training.run import versions


@pytest.fixture
def saved(tmp_path):
    run = tltk.fit(
        squares_model(), squares(), squares(12), recipe=tltk.linear_probe(epochs=1), out=tmp_path / "run", batch_size=8
    )
    return run, tmp_path / "run"


def test_a_run_comes_back_as_it_was(saved):
    run, folder = saved
    again = tltk.load_run(folder)
    x = squares().examples[:4].astype("float32")
    np.testing.assert_array_equal(again.model.keras.predict(x, verbose=0), run.model.keras.predict(x, verbose=0))
    assert again.model.task == run.model.task
    assert again.model.stages == run.model.stages
    assert again.model.input == run.model.input
    assert again.model.origin == run.model.origin
    assert again.phases == run.phases


def test_a_run_records_what_is_needed_to_make_it_again(saved):
    _, folder = saved
    config = json.loads((folder / "config.json").read_text())
    assert config["recipe"]["phases"][0]["name"] == "probe"
    assert config["versions"] == versions()
    assert config["weights"]["kind"] == "model"
    assert (config["seed"], config["batch_size"], config["interrupted"]) == (0, 8, False)
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "model.keras",
        "history.csv",
        "metrics.json",
        "invalid.csv",
    }


def test_a_loaded_run_trains_on(saved):
    _, folder = saved
    model = tltk.load_run(folder).model
    run = tltk.fit(model, squares(), squares(12), recipe=tltk.linear_probe(epochs=1), batch_size=8)
    assert run.history


def test_damage_is_named(saved):
    _, folder = saved
    (folder / "model.keras").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ValueError, match=r"model.keras cannot be read as a Keras model"):
        tltk.load_run(folder)
    (folder / "config.json").write_text('{"format": 99}')
    with pytest.raises(ValueError, match=r"is of format 99; this version reads 2"):
        tltk.load_run(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json is damaged"):
        tltk.load_run(folder)
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"is no run: it has no config.json"):
        tltk.load_run(folder)


def test_history_and_invalid_examples_come_back_and_survive_a_second_save(tmp_path):
    run = tltk.fit(squares_model(), squares(), squares(12), recipe=tltk.linear_probe(epochs=2), out=tmp_path / "run")
    loaded = tltk.load_run(tmp_path / "run")
    assert [row["epoch"] for row in loaded.history] == [1, 2]
    assert loaded.history[1]["loss"] == pytest.approx(run.history[1]["loss"])
    before = (tmp_path / "run" / "history.csv").read_bytes()
    loaded.save(tmp_path / "run")
    assert (tmp_path / "run" / "history.csv").read_bytes() == before


@pytest.mark.parametrize("text", ["[1]", '{"format": 2}', '{"format": 2, "task": 3}', "{"])
def test_a_damaged_record_is_said_to_be_damaged(text, tmp_path):
    tltk.fit(squares_model(), squares(), recipe=tltk.linear_probe(epochs=1), out=tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text(text)
    with pytest.raises(ValueError, match="damaged"):
        tltk.load_run(tmp_path / "run")
