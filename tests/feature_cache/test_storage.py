import re
from pathlib import Path

import keras
import pytest

from tltk.feature_cache import storage as cache_storage
from tltk.feature_cache.storage import Cache
from tltk.foundation import hardware
from tltk.pipeline import store


def test_auto_chooses_memory_for_little_data_disk_for_much_and_off_where_caching_does_not_pay(tmp_path, monkeypatch):
    layout = store.Layout(((256,),), ("float32",))

    reasons = []

    def storage(count, epochs=3, layout=layout, cache="auto", multiply_adds=1e6):
        choice = cache_storage.choose_storage(
            Cache(cache), layout, count, epochs=epochs, folder=tmp_path, multiply_adds=multiply_adds
        )
        reasons.append(choice.reason)
        return choice.storage

    assert storage(1000) == "memory"
    assert storage(1000, epochs=1) == "off"
    assert storage(1_000_000) == "disk"
    assert storage(10, epochs=1, cache="memory") == "memory"
    assert not any(reasons)
    large = store.Layout(((1024, 1024),), ("float32",))
    assert storage(10, layout=large) == "off"
    assert "4.2 MB of an example (1024×1024 float32) would take about as long as computing" in reasons[-1]
    assert storage(10, layout=large, multiply_adds=1e9) == "memory", "features of a large image that take long"
    usage = cache_storage.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(cache_storage.shutil, "disk_usage", lambda folder: usage)
    assert storage(1_000_000) == "off"
    assert "need 1.0 GB, and 1.0 kB are free on the disk" in reasons[-1] and "bfloat16" in reasons[-1]
    monkeypatch.setattr(hardware, "free_memory", lambda: 1000)
    assert storage(1000) == "off"


def test_multiply_adds_are_those_of_all_positions():
    tokens = keras.Input((7, 4))
    x = keras.layers.LSTM(3, return_sequences=True)(keras.layers.Dense(5)(tokens))
    model = keras.Model(tokens, keras.layers.Dense(6)(keras.layers.LSTM(2)(x)))
    lstm = 7 * 4 * (5 * 3 + 3 * 3) + 7 * 4 * (3 * 2 + 2 * 2)
    assert cache_storage.multiply_adds(model) == 7 * 4 * 5 + lstm + 2 * 6


def test_a_misspelt_storage_is_not_mistaken_for_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for word in ("memroy", "none", "False", "ram", "no"):
        with pytest.raises(ValueError, match=f"must be one of 'auto', .* or a folder.* Received: '{word}'"):
            Cache(word)
    with pytest.raises(ValueError, match="Did you mean 'memory'"):
        Cache("memroy")
    assert Cache(Path("memroy")).storage == Path("memroy")
    assert Cache("features/photos").storage == "features/photos"


def test_wrong_options_of_a_cache_are_rejected():
    with pytest.raises(
        ValueError, match=re.escape("`dtype` must be None, 'float16' or 'bfloat16'. Received: 'bfloat'")
    ):
        Cache("memory", "bfloat")
    with pytest.raises(TypeError, match=r"`cache` must be str or Path. Received: bool"):
        Cache(True)
    with pytest.raises(ValueError, match=r"or a folder.* Received: ''"):
        Cache("")
