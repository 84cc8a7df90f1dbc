import re
from pathlib import Path

import pytest

from tltk.feature_cache import policy as cache_place
from tltk.feature_cache.policy import Cache
from tltk.foundation import hardware as machine
from tltk.pipeline import store


def test_auto_keeps_little_in_memory_much_on_disk_and_nothing_where_it_cannot_pay(tmp_path, monkeypatch):
    layout = store.Layout(((256,),), ("float32",))

    def chosen(count, epochs=3, layout=layout, cache="auto"):
        return cache_place.choose(Cache(cache), layout, count, epochs=epochs, folder=tmp_path)

    assert chosen(1000) == "memory"
    assert chosen(1000, epochs=1) == "off"
    assert chosen(1_000_000) == "disk"
    assert chosen(10, layout=store.Layout(((1024, 1024),), ("float32",))) == "off"
    assert chosen(10, epochs=1, cache="memory") == "memory"
    usage = cache_place.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(cache_place.shutil, "disk_usage", lambda folder: usage)
    assert chosen(1_000_000) == "off"
    monkeypatch.setattr(machine, "free_memory", lambda: 1000)
    assert chosen(1000) == "off"


def test_a_misspelt_place_is_not_taken_for_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for word in ("memroy", "none", "False", "ram", "no"):
        with pytest.raises(ValueError, match=f"must be one of 'auto', .* or a folder.* Received: '{word}'"):
            Cache(word)
    with pytest.raises(ValueError, match="Did you mean 'memory'"):
        Cache("memroy")
    assert Cache(Path("memroy")).where == Path("memroy")
    assert Cache("features/photos").where == "features/photos"


def test_a_cache_is_told_what_is_wrong_with_it():
    with pytest.raises(
        ValueError, match=re.escape("`dtype` must be None, 'float16' or 'bfloat16'. Received: 'bfloat'")
    ):
        Cache("memory", "bfloat")
    with pytest.raises(TypeError, match=r"`cache` must be str or Path. Received: bool"):
        Cache(True)
    with pytest.raises(ValueError, match=r"or a folder.* Received: ''"):
        Cache("")
