import time

import pytest

from tltk.training import checkpoint_file
from tltk.training.checkpoint import Checkpoint
from tltk.training.checkpoints import Checkpoints
from tltk.training.stop_request import StopRequest, TrainingStopped


def checkpoints(folder, every="2 steps", *, resumed=None, keep=2):
    return Checkpoints(folder, Checkpoint(every, keep), StopRequest(), shared=lambda: {"history": []}, resumed=resumed)


def test_they_are_due_after_a_number_of_steps(tmp_path):
    written = checkpoints(tmp_path)
    assert [written.is_due(steps=1) for _ in range(2)] == [False, True]
    written.write({"number": 1})
    assert [written.is_due(steps=1) for _ in range(2)] == [False, True]


def test_they_are_due_after_a_time(tmp_path, monkeypatch):
    written, now = checkpoints(tmp_path, "5 min"), time.monotonic()
    assert not written.is_due(steps=1000)
    monkeypatch.setattr(time, "monotonic", lambda: now + 301)
    assert written.is_due(steps=0)
    written.write({})
    assert not written.is_due(steps=0) and written.count == 1


def test_without_a_folder_none_are_written():
    written = checkpoints(None)
    assert not written.is_due(steps=100)
    written.write({})
    assert written.count == 0


def test_those_of_another_training_are_not_kept(tmp_path):
    for number in range(2):
        checkpoints(tmp_path).write({"number": number})
    (only,) = checkpoint_file.checkpoint_files(tmp_path)
    assert checkpoint_file.read(only.path)["number"] == 1
    checkpoints(tmp_path, resumed={"phase": 0, "during": None}).write({"number": 2})
    assert len(checkpoint_file.checkpoint_files(tmp_path)) == 2


def test_a_request_to_stop_between_two_phases_writes_the_start_of_the_next(tmp_path):
    written = checkpoints(tmp_path, "2 h")
    written.phase(0, {"weights": []}).begin()
    assert checkpoint_file.read_latest(tmp_path) is None
    written.stop_request.signal_number = 15
    with pytest.raises(TrainingStopped):
        written.phase(1, {"weights": []}).begin()
    state = checkpoint_file.read_latest(tmp_path)
    assert (state["phase"], state["during"], state["before"]) == (1, None, {"weights": []})
