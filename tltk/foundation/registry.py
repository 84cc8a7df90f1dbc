"""Registries: what tltk knows by name, open to a user's own code and to installed packages."""

from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module, metadata
from typing import Generic, TypeVar

from tltk.foundation import checks as check

Value = TypeVar("Value")
ENTRY_POINTS = "tltk"


class Registry(Generic[Value]):
    """Values by name.

    An installed package adds its own through entry points of the group "tltk": each names a function without arguments
    that calls `tltk.register_task` and its like. They are loaded when a name is first looked up.

    Args:
        noun: what is registered, for errors: "task".
        way: how to register one, for errors: "tltk.register_task(…)".
        builtins: modules that register tltk's own values when they are imported, which is at the first look-up.

    Example:
        >>> colours = Registry("colour", "register_colour(…)")
        >>> colours.register("red", 1)
        >>> colours.get("red")
        1
    """

    def __init__(self, noun: str, way: str, *, builtins: Sequence[str] = ()) -> None:
        self.noun, self.way, self.builtins = noun, way, builtins
        self._values: dict[str, Value] = {}

    def register(self, name: str, value: Value) -> None:
        """Add a value.

        Raises:
            ValueError: if the name is not a string, empty, or already taken by another value.
        """
        if not isinstance(name, str) or not name:
            raise ValueError(f"every {self.noun} needs a name. Received: {name!r}")
        if self._values.get(name, value) != value:
            raise ValueError(
                f"{self.noun} {name!r} is registered already: {self._values[name]!r}. Choose another name."
            )
        self._values[name] = value

    def get(self, name: str) -> Value:
        """Return the value of a name.

        Raises:
            ValueError: for an unknown name, with the known ones and how to register one.
        """
        if name not in self._values:
            self._load()
        if name not in self._values:
            near = check.did_you_mean(name, self._values)
            known = check.listing(map(repr, self._values), limit=20) or "none"
            raise ValueError(
                f"there is no {self.noun} {name!r}.{near} Known: {known}. Register your own with {self.way}, in the "
                "same process, before it is used."
            )
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(tuple(self._values))

    def values(self) -> tuple[Value, ...]:
        """Return every registered value, in the order of registration."""
        self._load()
        return tuple(self._values.values())

    def _load(self) -> None:
        """Import the modules of the built-in values, which may look things up here while they register."""
        modules, self.builtins = self.builtins, ()
        for module in modules:
            import_module(module)
        load_entry_points()


@cache
def load_entry_points() -> None:
    """Call the registration functions of installed packages, once a process."""
    for point in metadata.entry_points(group=ENTRY_POINTS):
        point.load()()
