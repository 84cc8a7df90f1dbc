from pathlib import Path

from tltk.foundation.paths import cache_folder


def test_the_cache_is_where_the_environment_says_else_where_the_platform_keeps_caches(monkeypatch):
    monkeypatch.setenv("TLTK_CACHE", "~/mine")
    assert cache_folder() == Path.home() / "mine"
    monkeypatch.delenv("TLTK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/tmp/caches")
    assert cache_folder() == Path("/tmp/caches/tltk")
