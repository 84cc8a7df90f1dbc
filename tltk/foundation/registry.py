"""Registries of named values, to which user code and installed packages can add."""

from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module, metadata
from typing import Generic, TypeVar

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput

Value = TypeVar("Value")
ENTRY_POINTS = "tltk"


class Registry(Generic[Value]):
    """Holds values by name.

    An installed package adds values through entry points of the group "tltk". Each names a function without arguments
    that calls `tltk.register_task` or a similar function. Entry points are loaded at the first lookup.

    Args:
        noun: What is registered, for error messages, such as "task".
        how_to_register: Call that registers a value, for error messages, such as "tltk.register_task(…)".
        builtins: Modules that register tltk's own values on import; they are imported at the first lookup.

    Examples:
        >>> colours = Registry("colour", "register_colour(…)")
        >>> colours.register("red", 1)
        >>> colours.get("red")
        1
    """

    def __init__(self, noun: str, how_to_register: str, *, builtins: Sequence[str] = ()) -> None:
        self.noun, self.how_to_register, self.builtins = noun, how_to_register, builtins
        self._values: dict[str, Value] = {}

    def register(self, name: str, value: Value) -> None:
        """Add a value.

        Raises:
            InvalidInput: If the name is not a string, is empty, or belongs to another value.
        """
        if not isinstance(name, str) or not name:
            raise InvalidInput(f"the name of a {self.noun} must be a non-empty string. Received: {name!r}")
        if self._values.get(name, value) != value:
            raise InvalidInput(
                f"{self.noun} {name!r} is registered already: {self._values[name]!r}. Choose another name."
            )
        self._values[name] = value

    def get(self, name: str) -> Value:
        """Return the value registered under a name.

        Raises:
            InvalidInput: If the name is unknown; the message lists the known ones.
        """
        if name not in self._values:
            self._load()
        if name not in self._values:
            hint = check.did_you_mean(name, self._values)
            names = check.listing(map(repr, self._values), limit=20) or "none"
            raise InvalidInput(
                f"there is no {self.noun} {name!r}.{hint} Known: {names}. Register your own with "
                f"{self.how_to_register}, in the same process, before it is used."
            )
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(tuple(self._values))

    def values(self) -> tuple[Value, ...]:
        """Return all registered values, in the order of registration."""
        self._load()
        return tuple(self._values.values())

    def _load(self) -> None:
        """Import the modules of the built-in values, then load entry points.

        `builtins` is emptied first, because these modules may look names up while they register.
        """
        modules, self.builtins = self.builtins, ()
        for module in modules:
            import_module(module)
        load_entry_points()


@cache
def load_entry_points() -> None:
    """Call the registration functions of installed packages, once per process."""
    for entry_point in metadata.entry_points(group=ENTRY_POINTS):
        entry_point.load()()
