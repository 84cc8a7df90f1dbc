from pathlib import Path

from tltk.foundation.paths import cache_folder, in_shell, local_path


def test_the_cache_folder_comes_from_the_environment_or_the_platform(monkeypatch):
    monkeypatch.setenv("TLTK_CACHE", "~/mine")
    assert cache_folder() == Path.home() / "mine"
    monkeypatch.delenv("TLTK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/tmp/caches")
    assert cache_folder() == Path("/tmp/caches/tltk")


def test_paths_as_people_write_them(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert local_path("~/photos") == Path("/home/me/photos")
    assert local_path("file:///tmp/my%20photos") == Path("/tmp/my photos")
    assert local_path(Path("photos")) == Path("photos")


def test_a_path_can_be_pasted_into_a_shell():
    assert in_shell("runs/a") == "runs/a"
    assert in_shell(Path("/else/../my runs/it's")) == """'/my runs/it'"'"'s'"""
