import sys
import types
from functools import partial
from importlib import metadata

import pytest

from tltk.foundation import registry
from tltk.foundation.errors import ExtensionError
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


def define(module, value):
    """Define a class `Task` with an attribute, as a cell of a notebook or the body of a module does."""
    names = {"__name__": module}
    exec(f"class Task:\n    value = {value}", names)
    return names["Task"]


@pytest.mark.parametrize("module", ["__main__", "my_tasks"])
def test_a_definition_that_runs_again_replaces_the_earlier_one(tasks, module):
    tasks.register("a", define(module, 1))
    tasks.register("b", 0)
    tasks.register("a", define(module, 2))
    assert tasks.get("a").value == 2 and list(tasks) == ["a", "b"]
    with pytest.raises(ValueError, match="task 'a' is registered already"):
        tasks.register("a", define("another_module", 3))


def test_functions_without_a_name_of_their_own_are_redefinitions_only_in_the_main_module(tasks):
    first, second = (lambda: 1), (lambda: 2)
    tasks.register("a", 1, definition=first)
    with pytest.raises(ValueError, match="registered already"):
        tasks.register("a", 2, definition=second)
    first.__module__ = second.__module__ = "__main__"
    tasks.register("a", 2, definition=partial(second))
    assert tasks.get("a") == 2


def test_built_in_names_cannot_be_taken_before_the_first_lookup(monkeypatch):
    module = types.ModuleType("builtin_shapes")
    shapes = Registry("shape", "register_shape(…)", builtins=["builtin_shapes"])
    monkeypatch.setitem(sys.modules, "builtin_shapes", module)
    monkeypatch.setattr(registry, "import_module", lambda name: shapes.register("circle", name))
    with pytest.raises(ValueError, match="shape 'circle' is registered already: 'builtin_shapes'"):
        shapes.register("circle", "mine")
    assert "circle" in shapes


class Packages:
    """Installed packages with entry points: name → registration function."""

    def __init__(self, **functions):
        self.functions, self.loads = functions, []

    def entry_points(self, group):
        return [self.entry_point(name) for name in self.functions] if group == "tltk" else []

    def entry_point(self, name):
        def load():
            self.loads.append(name)
            return self.functions[name]

        package = types.SimpleNamespace(name=f"tltk-{name}", version="1.2")
        return types.SimpleNamespace(name=name, value=f"{name}:register", dist=package, load=load)


@pytest.fixture
def install(monkeypatch):
    """Return a function that replaces all installed packages."""

    def install(**functions):
        packages = Packages(**functions)
        monkeypatch.setattr(metadata, "entry_points", packages.entry_points)
        registry._pending_entry_points.cache_clear()
        return packages

    yield install
    registry._pending_entry_points.cache_clear()


@pytest.mark.parametrize(
    "look_up",
    [
        lambda tasks: tasks.get("x"),
        lambda tasks: "x" in tasks,
        list,
        Registry.values,
        lambda tasks: 7 in tasks.search(),
    ],
    ids=["get", "contains", "iter", "values", "search"],
)
def test_installed_packages_are_loaded_by_the_first_lookup_that_needs_them(tasks, install, look_up):
    packages = install(colours=lambda: tasks.register("x", 7))
    tasks.register("a", 1)
    assert tasks.get("a") == 1 and "a" in tasks and tasks.registered() == (1,) and 1 in tasks.search()
    assert packages.loads == [], "no lookup needed a package so far"
    assert look_up(tasks)
    assert look_up(tasks) and tasks.get("x") == 7
    assert packages.loads == ["colours"], "once per process"


def test_a_package_may_look_names_up_while_it_registers(tasks, install):
    def register():
        assert "unknown" not in tasks
        tasks.register("x", len(tasks.values()))

    install(colours=register)
    assert tasks.get("x") == 0


def test_a_broken_package_is_named_once_and_the_others_are_loaded(tasks, install):
    def broken():
        raise ImportError("no module named 'colour'")

    install(broken=broken, colours=lambda: tasks.register("x", 7))
    tasks.register("a", 1)
    assert tasks.get("a") == 1, "a lookup that needs no package works"
    with pytest.raises(ExtensionError, match=r"tltk-broken 1.2.*broken:register.*ImportError.*uninstall") as raised:
        tasks.get("y")
    assert isinstance(raised.value.__cause__, ImportError)
    assert list(tasks) == ["a", "x"]
    with pytest.raises(ValueError, match="no task 'y'"):
        tasks.get("y")
