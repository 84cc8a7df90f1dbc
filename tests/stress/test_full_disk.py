"""On a disk without space, everything ends with a clear error and leaves what was there before intact."""

import errno

import keras
import numpy as np
import pytest

import tltk
from tests.conftest import squares, squares_model
from tests.stress.full_disk import contents, fill, promise_space, remove_filler, small_disk
from tltk.errors import FileError
from tltk.training import checkpoint_file
from tltk.training.run import Run


@pytest.fixture(scope="module")
def model():
    return squares_model()


@pytest.fixture
def disk():
    with small_disk(megabytes=16) as folder:
        yield folder


@pytest.mark.parametrize("promised", [False, True])
@pytest.mark.parametrize("leave", [0, 60_000])
def test_a_run_that_does_not_fit_leaves_the_older_one(disk, model, promised, leave, monkeypatch):
    Run(model).save(disk / "run")
    before = contents(disk)
    fill(disk, leave=leave)
    if promised:
        promise_space(monkeypatch)
    with pytest.raises(FileError, match="no space left") as error:
        tltk.fit(model, squares(), recipe=tltk.linear_probe(epochs=1), batch_size=8, out=disk / "run")
    assert error.value.errno == errno.ENOSPC and str(disk) in str(error.value)
    assert contents(disk) == before
    assert tltk.load_run(disk / "run").model.task == model.task
    remove_filler(disk)
    monkeypatch.undo()
    Run(model).save(disk / "run")
    assert not list((disk / "run").glob("unfinished*"))


def test_a_cache_that_does_not_fit_leaves_the_others(disk, model, monkeypatch):
    embedded = tltk.embed(model, squares(8), cache=disk / "cache")
    before = contents(disk)
    fill(disk, leave=4096)
    promise_space(monkeypatch)
    x = np.random.default_rng(0).integers(0, 255, (3000, 16, 16, 3), "uint8")
    with pytest.raises(FileError, match="cannot store") as error:
        tltk.embed(model, x, pooling=None, cache=disk / "cache")
    assert error.value.errno == errno.ENOSPC
    after = contents(disk)
    assert {name: after[name] for name in before} == before
    assert not [name for name in after.keys() - before if name.endswith((".bin", ".json"))]
    np.testing.assert_array_equal(tltk.embed(model, squares(8), cache=disk / "cache").features, embedded.features)


def test_a_report_that_does_not_fit_leaves_the_older_one(disk, model):
    report = tltk.evaluate(model, squares(6))
    report.save(disk / "report.html")
    before = contents(disk)
    fill(disk)
    with pytest.raises(FileError, match=r"no space left.*report.html"):
        report.save(disk / "report.html")
    assert contents(disk) == before
    assert len(list(disk.iterdir())) == 2


@pytest.mark.usefixtures("replay_here")
def test_an_export_that_does_not_fit_leaves_the_older_version(disk, model, monkeypatch):
    tltk.export(model, disk / "serving")
    before = contents(disk)
    fill(disk, leave=30_000)
    for promised in (False, True):
        if promised:
            promise_space(monkeypatch)
        with pytest.raises(FileError) as error:
            tltk.export(model, disk / "serving")
        assert error.value.errno == errno.ENOSPC
        assert contents(disk) == before
        assert [path.name for path in (disk / "serving").iterdir()] == ["1"]


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before_it(disk, model, monkeypatch):
    def train(**options):
        options = {"recipe": tltk.full(epochs=2), "batch_size": 8, "verbose": 0, "resume": True, **options}
        return tltk.fit(squares_model(), squares(), out=disk / "run", checkpoint="1 step", **options)

    class FillDisk(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 2:
                fill(disk, leave=4096)
                promise_space(monkeypatch)

        def get_state(self):
            return None

        def set_state(self, state):
            pass

    with pytest.raises(FileError, match="no space left") as error:
        train(callbacks=[FillDisk()])
    assert error.value.errno == errno.ENOSPC and str(disk) in str(error.value)
    remove_filler(disk)
    monkeypatch.undo()
    state = checkpoint_file.read_latest(disk / "run")
    assert state["phase"] == 0 and state["during"]["step"] == 2
    run = train(resume="force")
    assert run.phases[0].epochs == 2 and not (disk / "run" / "checkpoints").exists()
