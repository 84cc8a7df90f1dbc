import json
import zipfile

import numpy as np
import pytest

import tltk
from tests.conftest import squares, squares_model
from tltk.training.run import Run, model_of, versions


@pytest.fixture
def saved(tmp_path):
    run = tltk.fit(
        squares_model(), squares(), squares(12), recipe=tltk.linear_probe(epochs=1), out=tmp_path / "run", batch_size=8
    )
    return run, tmp_path / "run"


def test_a_loaded_run_equals_the_saved_run(saved):
    run, folder = saved
    loaded = tltk.load_run(folder)
    x = squares().examples[:4].astype("float32")
    np.testing.assert_array_equal(loaded.model.keras.predict(x, verbose=0), run.model.keras.predict(x, verbose=0))
    assert loaded.model.task == run.model.task
    assert loaded.model.stages == run.model.stages
    assert loaded.model.input_spec == run.model.input_spec
    assert loaded.model.origin == run.model.origin
    assert loaded.phases == run.phases


def test_a_run_records_recipe_versions_seed_and_origin(saved):
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
        "seconds.json",
        "invalid.csv",
        "split.csv",
    }


def test_a_loaded_run_can_be_trained_further(saved):
    _, folder = saved
    model = tltk.load_run(folder).model
    run = tltk.fit(model, squares(), squares(12), recipe=tltk.linear_probe(epochs=1), batch_size=8)
    assert run.history


def test_damaged_and_missing_files_are_named(saved):
    _, folder = saved
    (folder / "model.keras").write_bytes(b"PK\x03\x04 cut off")
    (folder / "metrics.json").unlink()
    with pytest.raises(
        ValueError, match=r"damaged: metrics.json \(missing\), model.keras changed after the run was saved"
    ):
        tltk.load_run(folder)
    (folder / "config.json").write_text('{"format": 99}')
    with pytest.raises(ValueError, match=r"has format 99; this version of tltk reads format 2"):
        tltk.load_run(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json is damaged"):
        tltk.load_run(folder)
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"is not the folder of a run: it lacks config.json"):
        tltk.load_run(folder)


def test_history_is_loaded_and_unchanged_by_a_second_save(tmp_path):
    run = tltk.fit(squares_model(), squares(), squares(12), recipe=tltk.linear_probe(epochs=2), out=tmp_path / "run")
    loaded = tltk.load_run(tmp_path / "run")
    assert [row["epoch"] for row in loaded.history] == [1, 2]
    assert loaded.history[1]["loss"] == pytest.approx(run.history[1]["loss"])
    before = (tmp_path / "run" / "history.csv").read_bytes()
    loaded.save(tmp_path / "run")
    assert (tmp_path / "run" / "history.csv").read_bytes() == before


@pytest.mark.parametrize("text", ["[1]", '{"format": 2}', '{"format": 2, "task": 3}', "{"])
def test_a_damaged_config_raises_an_error(text, tmp_path):
    tltk.fit(squares_model(), squares(), recipe=tltk.linear_probe(epochs=1), out=tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text(text)
    with pytest.raises(ValueError, match="damaged"):
        tltk.load_run(tmp_path / "run")


def test_the_model_of_a_run_a_folder_or_a_model(tmp_path):
    model = squares_model()
    run = Run(model).save(tmp_path / "runs" / "squares")
    assert model_of(model) is model and model_of(run) is model
    assert model_of(run.folder).task == model_of(str(run.folder)).task == model.task


def test_a_wrong_path_or_model_is_refused_with_the_way_out(tmp_path):
    Run(squares_model()).save(tmp_path / "runs" / "squares")
    (tmp_path / "other").mkdir()
    for path, message in (
        ("runs", r"runs is not the folder of a run: it lacks config.json and model.keras. It contains runs: .*squares"),
        ("runs/square", r"it does not exist.*Did you mean '.*runs/squares'"),
        ("other", r"it lacks config.json and model.keras. Pass the folder that was given to tltk.fit\(out=\)"),
        ("runs/squares/model.keras", r"it is a file.*tltk.adopt\(keras.models.load_model\('.*model.keras'\), task\)"),
    ):
        with pytest.raises(FileNotFoundError, match=message):
            model_of(tmp_path / path)
    with pytest.raises(TypeError, match=r"plain Keras model, 'conv_net_classification'.*tltk.adopt\(model, task\)"):
        model_of(squares_model().keras)
    with pytest.raises(
        TypeError, match=r"`model` must be TransferModel or Run.* Received: int. Pass a run, its folder"
    ):
        model_of(3)


def edited(folder, name, edit):
    """Edit a file of a run on purpose: without its checksums."""
    config = json.loads((folder / "config.json").read_text())
    config.pop("sha256", None)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / name).write_text(edit((folder / name).read_text()))


def test_a_run_whose_configuration_or_history_changed_is_refused_unless_on_purpose(saved):
    _, folder = saved
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"blue"', '"blux"'))
    with pytest.raises(ValueError, match=r"damaged: config.json changed after.*remove `sha256` from config.json"):
        tltk.load_run(folder)
    (folder / "config.json").write_text(text)
    assert tltk.load_run(folder).save(folder) and tltk.load_run(folder).model.task.labels.names[2] == "blue"
    edited(folder, "config.json", lambda text: text.replace('"blue"', '"azure"'))
    assert tltk.load_run(folder).model.task.labels.names[2] == "azure"


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("history.csv", lambda text: text + "probe,2\n"),
        ("history.csv", lambda text: text + "probe,2" + ",1" * 90 + "\n"),
        ("history.csv", lambda text: text + '"never closed'),
        ("invalid.csv", lambda text: "example,why\na,b\n"),
        ("metrics.json", lambda text: "[" * 100_000),
        ("metrics.json", lambda text: '{"phases": [{"name": "probe"}]}'),
        ("metrics.json", lambda text: '{"phases": 3}'),
        ("config.json", lambda text: text.replace('"weights": {', '"weights": 3, "other": {')),
        ("config.json", lambda text: text.replace('"input": {', '"input": [], "other": {')),
        ("config.json", lambda text: text[:-1] + ', "sha256": []}'),
        ("config.json", lambda text: text[:-1] + ', "sha256": {"../../x": ""}}'),
    ],
)
def test_every_wrong_entry_is_an_error_that_names_the_folder(saved, name, edit):
    _, folder = saved
    edited(folder, name, edit)
    with pytest.raises(tltk.errors.InvalidInput, match=f"{folder}.*damaged"):
        tltk.load_run(folder)


def test_weights_with_a_wrong_checksum_are_refused_although_keras_would_load_them(saved, monkeypatch):
    _, folder = saved
    edited(folder, "history.csv", str)
    data = bytearray((folder / "model.keras").read_bytes())
    with zipfile.ZipFile(folder / "model.keras") as archive:
        member = archive.getinfo("model.weights.h5")
    data[member.header_offset + member.file_size - 600] ^= 1
    (folder / "model.keras").write_bytes(data)
    with pytest.raises(
        tltk.errors.InvalidInput, match=r"model.keras is damaged: the checksum of 'model.weights.h5' is wrong"
    ):
        tltk.load_run(folder)
