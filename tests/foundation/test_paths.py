from pathlib import Path

from tltk.foundation.paths import cache_folder


def test_the_cache_folder_comes_from_the_environment_or_the_platform(monkeypatch):
    monkeypatch.setenv("TLTK_CACHE", "~/mine")
    assert cache_folder() == Path.home() / "mine"
    monkeypatch.delenv("TLTK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/tmp/caches")
    assert cache_folder() == Path("/tmp/caches/tltk")
