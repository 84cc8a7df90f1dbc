import os
import unicodedata

import pytest

from tests.images import class_folder, encoded, solid_png
from tltk.data.formats.media_files import find_files, is_ignored, readable
from tltk.errors import FileError


def test_images_unreadable_images_and_other_files_are_told_apart(tmp_path):
    solid_png(tmp_path / "deep" / "a.PNG", (0, 0, 0))
    (tmp_path / "no suffix").write_bytes(encoded("jpg"))
    (tmp_path / "b.heic").write_bytes(b"")
    (tmp_path / "c.txt").write_text("")
    (tmp_path / "LICENSE").write_text("")
    solid_png(tmp_path / "@eaDir" / "a.png", (0, 0, 0))
    found = find_files(tmp_path)
    assert [os.path.relpath(path, tmp_path) for path in found.paths] == ["no suffix", "deep/a.PNG"]
    assert [example.example_id for example in found.invalid(tmp_path)] == ["b.heic"]
    assert found.others == {".txt": 1, "no suffix": 1}
    assert found.hint().startswith(", but 1 .heic, 1 no suffix, 1 .txt; supported are .jpg, .jpeg")


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch):
    class_folder(tmp_path, count=1)

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(FileError, match=r"cannot be listed: Permission denied"):
        find_files(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.png", "a.png"), (unicodedata.normalize("NFD", "é"), "é"), (os.fsdecode(b"\xe9.png"), "\\xe9.png")],
)
def test_names_are_composed_and_printable(name, text):
    assert readable(name) == text
    readable(name).encode("utf-8")


def test_hidden_names_and_those_of_systems_are_ignored():
    ignored = [".git", "__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found", "thumbnails"]
    ignored += ["Thumbs", ".thumbnails", ".Trash-1000", "__pycache__", ".ipynb_checkpoints"]
    assert [name for name in (*ignored, "cats", "thumb") if not is_ignored(name)] == ["cats", "thumb"]
