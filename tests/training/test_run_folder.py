"""A run replaces an older one as a whole, or not at all."""

import json
import shutil

import pytest

import tltk
from tests.conftest import squares, squares_model
from tltk.errors import InvalidInput
from tltk.foundation.files import write_csv
from tltk.training import run_folder, split_file


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    """The folder of a run of three epochs, with a report, the file of a phase, and a file of the user."""
    folder = tmp_path_factory.mktemp("runs") / "squares"
    tltk.fit(squares_model(), squares(), squares(12), recipe=tltk.linear_probe(epochs=3), batch_size=8, out=folder)
    for name in ("report.html", "probe.lora.npz", "notes.txt"):
        (folder / name).write_text("older")
    return folder


@pytest.fixture
def folder(older, tmp_path):
    return shutil.copytree(older, tmp_path / "run")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Killed(BaseException):
    """Stands for SIGKILL: no handler runs afterwards."""


def train_again(folder, epochs=2, **options):
    return tltk.fit(
        squares_model(),
        squares(),
        squares(12),
        recipe=tltk.linear_probe(epochs=epochs),
        batch_size=8,
        out=folder,
        **options,
    )


def test_a_second_run_leaves_no_file_of_the_first(folder):
    train_again(folder)
    assert set(contents(folder)) == {
        "config.json",
        "model.keras",
        "history.csv",
        "metrics.json",
        "seconds.json",
        "invalid.csv",
        "split.csv",
        "notes.txt",
    }
    assert [row["epoch"] for row in tltk.load_run(folder).history] == [1, 2]


def test_files_that_the_older_run_recorded_are_removed(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "vocabulary.json").write_text("[]")
    (folder / "config.json").write_text(json.dumps({**config, "files": ["vocabulary.json", "../run/notes.txt"]}))
    train_again(folder, epochs=1)
    assert not (folder / "vocabulary.json").exists()
    assert (folder / "notes.txt").exists()


def test_a_second_run_that_is_killed_leaves_the_first_as_it_was_and_is_named(folder, caplog, monkeypatch):
    before = contents(folder)
    with monkeypatch.context() as patch:  # a killed process removes nothing
        patch.setattr(shutil, "rmtree", lambda path: None)
        patch.setattr("tltk.training.history.publish_run", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            train_again(folder)
    (leftover,) = folder.glob("unfinished-*")
    assert contents_of_files(folder) == before
    run = tltk.load_run(folder)
    assert [row["epoch"] for row in run.history] == [1, 2, 3]
    assert "still running or was killed, after 2 epochs. This is the previous run." in caplog.text
    train_again(folder, epochs=1)
    assert not leftover.exists()


def contents_of_files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("call", range(1, 9))
def test_a_kill_while_a_run_is_published_leaves_one_run_or_none(older, folder, call, monkeypatch):
    calls = []

    def counted(method):
        def wrapper(path, *arguments, **options):
            calls.append(path)
            if len(calls) == call:
                raise Killed
            return method(path, *arguments, **options)

        return wrapper

    with run_folder.unfinished(folder) as temporary:
        for name in ("config.json", "model.keras", "history.csv", "metrics.json"):
            (temporary / name).write_text("newer")
        with monkeypatch.context() as patch:
            patch.setattr(type(folder), "unlink", counted(type(folder).unlink))
            patch.setattr(type(folder), "replace", counted(type(folder).replace))
            with pytest.raises(Killed):
                run_folder.publish(temporary, folder)
    if run_folder.is_run(folder):
        assert contents(folder) == contents(older)  # killed before anything was removed
    else:
        assert call > 1


def test_a_folder_whose_first_training_was_killed_says_so(tmp_path):
    (tmp_path / "run" / "unfinished-x").mkdir(parents=True)
    (tmp_path / "run" / "unfinished-x" / "history.csv").write_text("phase,epoch\nprobe,1\n")
    with pytest.raises(
        tltk.errors.NotFound, match=r"it lacks config.json and model.keras; a training into .* after 1 epochs"
    ):
        tltk.load_run(tmp_path / "run")


def test_a_fit_that_saves_nothing_leaves_no_empty_folder(tmp_path):
    with pytest.raises(ValueError, match="`val` has no labels"):
        tltk.fit(squares_model(), squares(), tltk.from_arrays(squares(6).examples), out=tmp_path / "runs" / "a" / "b")
    assert not (tmp_path / "runs").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="`val` has no labels"):
        tltk.fit(squares_model(), squares(), tltk.from_arrays(squares(6).examples), out=tmp_path / "mine" / "b")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_a_file_that_is_rewritten_gets_a_new_checksum_and_a_kill_leaves_a_run(older, folder):
    rows = [{"example_id": "photos/3.jpg", "reason": "0 bytes"}]
    for moment in ("before", "after"):

        def write(path, moment=moment):
            if moment == "before":
                raise Killed
            write_csv(path, rows)
            raise Killed

        with pytest.raises(Killed):
            run_folder.rewrite(folder, "invalid.csv", write)
        assert len(tltk.load_run(folder).invalid) == (moment == "after")
    run_folder.rewrite(folder, "invalid.csv", lambda path: write_csv(path, rows))
    assert "invalid.csv" in json.loads((folder / "config.json").read_text())["sha256"]
    (folder / "invalid.csv").write_text("example_id,reason\nx,y\n")
    with pytest.raises(InvalidInput, match=r"invalid\.csv changed"):
        tltk.load_run(folder)


def test_a_second_process_may_not_train_into_the_same_folder(folder):
    with run_folder.unfinished(folder) as temporary:
        refused = pytest.raises(InvalidInput, match=rf"another process is training into .*remove {temporary}")
        with refused, run_folder.unfinished(folder):
            pass
        assert temporary.is_dir()
    with run_folder.unfinished(folder):
        pass


def test_the_split_is_among_the_files_that_are_checked(folder):
    run_folder.rewrite(folder, "split.csv", lambda path: split_file.write(path.parent, {"test": squares(6, seed=2)}))
    tltk.load_run(folder)
    (folder / "split.csv").write_text("part,example_id,fingerprint\n")
    with pytest.raises(InvalidInput, match=r"split\.csv changed after the run was saved"):
        tltk.load_run(folder)
