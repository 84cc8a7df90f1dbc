from importlib import metadata

import pytest

from tltk.foundation import registry
from tltk.foundation.registry import Registry


@pytest.fixture
def tasks():
    return Registry("task", "tltk.register_task(…)")


def test_registered_values_are_listed_in_the_order_of_registration(tasks):
    tasks.register("b", 1)
    tasks.register("a", 2)
    assert tasks.get("a") == 2 and "b" in tasks
    assert list(tasks) == ["b", "a"] and tasks.values() == (1, 2)


def test_an_unknown_name_raises_with_the_nearest_one_and_how_to_register(tasks):
    tasks.register("classification", 1)
    with pytest.raises(ValueError, match=r"no task 'clasification'. Did you mean 'classification'\?.*register_task"):
        tasks.get("clasification")


def test_a_name_cannot_be_registered_for_two_values(tasks):
    value = object()
    tasks.register("a", value)
    tasks.register("a", value)
    with pytest.raises(ValueError, match="task 'a' is registered already"):
        tasks.register("a", object())
    with pytest.raises(ValueError, match="name of a task must be a non-empty string"):
        tasks.register("", value)


def test_an_installed_package_registers_through_its_entry_point(tasks, monkeypatch):
    class EntryPoint:
        def load(self):
            return lambda: tasks.register("from_package", 7)

    monkeypatch.setattr(metadata, "entry_points", lambda group: [EntryPoint()] if group == "tltk" else [])
    registry.load_entry_points.cache_clear()
    try:
        assert tasks.get("from_package") == 7
    finally:
        registry.load_entry_points.cache_clear()
