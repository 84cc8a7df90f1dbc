import errno
import json
import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest

from tltk.errors import FileError
from tltk.foundation import files


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(temporary):
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="no space left; free some") as error:
        files.write_atomically(path, fail)
    assert error.value.filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_accepts_numpy_values_and_nan_becomes_null(tmp_path):
    files.write_json(
        tmp_path / "a.json", {"a": np.float32(0.5), "b": np.arange(2), "c": (1, float("nan")), "d": tmp_path}
    )
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 0.5, "b": [0, 1], "c": [1, None], "d": str(tmp_path)}


def test_csv_columns_are_the_keys_of_every_row(tmp_path):
    files.write_csv(tmp_path / "a.csv", [{"a": 1}, {"a": 2, "b": "x,y"}])
    assert (tmp_path / "a.csv").read_text() == 'a,b\n1,\n2,"x,y"\n'


def test_too_little_free_space_raises_before_anything_is_written(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage(10, 10, 5_000_000))
    with pytest.raises(OSError, match="no space left: 9 MB are needed and 5 MB are free"):
        files.make_folder(tmp_path / "new", required_bytes=9_000_000)


def test_creating_a_folder_where_a_file_is_raises_with_its_path(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(OSError, match="cannot write") as error:
        files.make_folder(tmp_path / "a")
    assert error.value.filename == str(tmp_path / "a")


def test_a_temporary_folder_is_removed_at_the_end_or_by_the_next_one_after_a_kill(tmp_path):
    with pytest.raises(KeyboardInterrupt), files.temporary_folder(tmp_path, ".writing-") as folder:
        (folder / "half").write_text("")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    code = (
        "import os, sys; from pathlib import Path; from tltk.foundation import files\n"
        "with files.temporary_folder(Path(sys.argv[1]), '.writing-'): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    assert len(list(tmp_path.iterdir())) == 1
    with (
        files.temporary_folder(tmp_path, ".other-") as other,
        files.temporary_folder(tmp_path, ".writing-") as first,
        files.temporary_folder(tmp_path, ".writing-") as second,
    ):
        assert set(tmp_path.iterdir()) == {other, first, second}  # the abandoned folder is gone


def test_flushing_a_missing_file_raises(tmp_path):
    (tmp_path / "a").write_text("a")
    files.flush(tmp_path / "a", tmp_path)
    with pytest.raises(FileNotFoundError):
        files.flush(tmp_path / "missing")


def test_a_temporary_folder_that_cannot_be_created_raises_with_its_parent(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OSError, match="cannot write") as error,
        files.temporary_folder(tmp_path / "file", ".writing-"),
    ):
        pass
    assert error.value.filename == str(tmp_path / "file")


def test_a_csv_file_is_read_as_it_was_written_or_is_an_error(tmp_path):
    rows = [{"a": "1", "b": 'x, "y"\nz'}, {"a": "", "b": "é"}]
    files.write_csv(tmp_path / "a.csv", rows)
    assert files.read_csv(tmp_path / "a.csv") == rows
    assert files.read_csv(tmp_path / "missing.csv") == []
    for content, reason in (
        (b"a,b\n1\n", "row 2 does not have 2 cells"),
        (b"a,b\n1,2\n1,2,3\n", "row 3 does not have 2 cells"),
        (b"a,b\n\xff,2\n", "codec can't decode"),
        (b'a,b\n"1,2\n', "unexpected end of data"),
    ):
        (tmp_path / "a.csv").write_bytes(content)
        with pytest.raises(ValueError, match=f"a.csv is damaged: .*{reason}"):
            files.read_csv(tmp_path / "a.csv")


def test_half_of_a_character_is_written_as_an_escape(tmp_path):
    files.write_json(tmp_path / "a.json", {"id": "\ud83d"})
    assert json.loads((tmp_path / "a.json").read_text()) == {"id": "\ud83d"}


def test_a_file_where_a_folder_is_needed_is_named_with_the_way_out(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"cannot write: it is a file, and a folder is needed. Choose another path"):
        files.make_folder(tmp_path / "file")
    with pytest.raises(FileError, match=r"cannot write: .*/file is a file, and a folder is needed"):
        files.make_folder(tmp_path / "file" / "sub" / "folder")
    with pytest.raises(FileError, match="is a folder, and a file is needed"):
        files.write_text(tmp_path, "text")


def test_a_folder_that_cannot_be_created_is_a_file_error(tmp_path, monkeypatch):
    with pytest.raises(FileError, match="File name too long") as caught:
        files.make_folder(tmp_path / ("a" * 300))
    assert caught.value.errno == errno.ENAMETOOLONG

    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files.Path, "mkdir", refuse)
    with pytest.raises(FileError, match=r"cannot write: Permission denied. Choose a folder of your own"):
        files.make_folder(tmp_path / "sub")


def test_a_generated_folder_loses_its_own_files_only(tmp_path):
    folder = files.make_generated_folder(tmp_path / "scenes", pattern=r"\d+\.png")
    for name in ("000.png", "111.png", ".DS_Store"):
        (folder / name).write_text("old")
    files.make_generated_folder(folder, pattern=r"\d+\.png")
    assert [path.name for path in folder.iterdir()] == [".DS_Store"]
    for name in ("000.png", "holiday.png"):
        (folder / name).write_text("mine")
    with pytest.raises(FileError, match=r"holiday\.png.*scenes") as caught:
        files.make_generated_folder(folder, pattern=r"\d+\.png")
    assert caught.value.errno == errno.ENOTEMPTY and (folder / "000.png").read_text() == "mine"
