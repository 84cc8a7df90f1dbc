import ml_dtypes
import numpy as np
import pytest

from tltk.errors import InvalidInput
from tltk.training import checkpoint_file

STATE = {
    "phase": 1,
    "weights": [
        np.arange(6, dtype="float32").reshape(2, 3),
        np.zeros((), "int64"),
        np.array([1.5], ml_dtypes.bfloat16),
    ],
    "best": (0.1 + 0.2, float("-inf")),
    "names": {"a": None, "b": True, "c": "ünï"},
    "file": b"\x00\xff",
    "rate": np.float32(0.1),
}


def same(first, second):
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return type(first) is type(second) and len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, np.ndarray | np.generic):
        return first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()
    return type(first) is type(second) and first == second


def test_a_state_is_read_as_it_was_written(tmp_path):
    path = checkpoint_file.write(tmp_path, STATE, keep=2)
    assert same(STATE, checkpoint_file.read(path))


def test_equal_arrays_are_stored_once(tmp_path):
    weights = np.random.default_rng(0).normal(size=(100, 100)).astype("float32")
    once = checkpoint_file.write(tmp_path / "once", {"weights": [weights]}, keep=1)
    thrice = checkpoint_file.write(tmp_path / "thrice", {"weights": [weights, weights.copy()], "best": weights}, keep=1)
    assert thrice.stat().st_size < once.stat().st_size + 500


def test_the_latest_are_kept(tmp_path):
    for number in range(4):
        checkpoint_file.write(tmp_path, {"number": number}, keep=2)
    assert [checkpoint.number for checkpoint in checkpoint_file.checkpoint_files(tmp_path)] == [4, 3]
    assert checkpoint_file.read_latest(tmp_path) == {"number": 3}
    checkpoint_file.remove(tmp_path)
    assert checkpoint_file.read_latest(tmp_path) is None and not any(tmp_path.iterdir())


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(tmp_path, caplog):
    for number in range(2):
        path = checkpoint_file.write(tmp_path, {"number": number}, keep=2)
    path.write_bytes(path.read_bytes()[:-40])
    assert checkpoint_file.read_latest(tmp_path) == {"number": 0}
    assert f"{path} is damaged" in caplog.text
    path = checkpoint_file.write(tmp_path, {"number": 2}, keep=2)
    assert len(checkpoint_file.checkpoint_files(tmp_path)) == 2  # the damaged one does not count
    for checkpoint in checkpoint_file.checkpoint_files(tmp_path):
        checkpoint.path.write_bytes(b"PK")
    with pytest.raises(InvalidInput, match=r"checkpoint-000002.*checkpoint-000001"):
        checkpoint_file.read_latest(tmp_path)
    (path.parent / f".1.{path.name}").touch()  # of a process that was killed while writing
    checkpoint_file.remove(tmp_path)
    assert not path.parent.exists()


def test_any_changed_byte_is_noticed(tmp_path):
    path = checkpoint_file.write(tmp_path, STATE, keep=1)
    contents, generator = path.read_bytes(), np.random.default_rng(0)
    for position in generator.integers(0, len(contents), 50):
        damaged = bytearray(contents)
        damaged[position] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(InvalidInput, match="is damaged"):
            checkpoint_file.read(path)


def test_nothing_in_a_checkpoint_is_executed(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (tmp_path / "written").touch, ()

    folder = tmp_path / checkpoint_file.FOLDER
    folder.mkdir()
    np.savez(folder / "new.npz", contents=np.array([Harmful()], object))
    harmful = folder / f"checkpoint-000001-{checkpoint_file._digest(folder / 'new.npz')}.npz"
    (folder / "new.npz").rename(harmful)
    with pytest.raises(InvalidInput, match="pickle"):
        checkpoint_file.read(harmful)
    assert not (tmp_path / "written").exists()


def test_what_cannot_be_stored_is_an_error(tmp_path):
    with pytest.raises(TypeError, match="cannot hold object"):
        checkpoint_file.write(tmp_path, {"value": object()}, keep=1)
    with pytest.raises(TypeError, match=r"\$array"):
        checkpoint_file.write(tmp_path, {"$array": 1}, keep=1)
