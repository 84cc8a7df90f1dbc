"""Registries of named values, to which user code and installed packages can add."""

from collections.abc import Iterator, Sequence
from functools import cache, partial
from importlib import import_module, metadata
from typing import Any, Generic, TypeVar

from tltk.foundation import checks as check
from tltk.foundation.errors import ExtensionError, InvalidInput

Value = TypeVar("Value")
ENTRY_POINTS = "tltk"


class Registry(Generic[Value]):
    """Holds values by name.

    An installed package adds values through entry points of the group "tltk". Each names a function without arguments
    that calls `tltk.register_task` or a similar function. Entry points are loaded at the first lookup that needs them:
    a lookup of an unknown name, or a list of all values. Registration loads none, so that packages can register while
    they are loaded.

    Args:
        noun: What is registered, for error messages, such as "task".
        how_to_register: Call that registers a value, for error messages, such as "tltk.register_task(…)".
        builtins: Modules that register tltk's own values on import; they are imported at the first lookup or
            registration, so that nobody else can take their names.

    Examples:
        >>> colours = Registry("colour", "register_colour(…)")
        >>> colours.register("red", 1)
        >>> colours.get("red")
        1
    """

    def __init__(self, noun: str, how_to_register: str, *, builtins: Sequence[str] = ()) -> None:
        self.noun, self.how_to_register, self.builtins = noun, how_to_register, builtins
        self._values: dict[str, Value] = {}
        self._definitions: dict[str, Any] = {}

    def register(self, name: str, value: Value, *, definition: Any = None) -> None:
        """Add a value. Running the same definition again, as in a cell of a notebook, replaces its value.

        Args:
            name: Name of the value.
            value: What `get` returns.
            definition: The class or function that defines the value; None means the value itself.

        Raises:
            InvalidInput: If the name is not a string, is empty, or belongs to another value.
        """
        if not isinstance(name, str) or not name:
            raise InvalidInput(f"the name of a {self.noun} must be a non-empty string. Received: {name!r}")
        self._load_builtins()
        definition = value if definition is None else definition
        is_taken = name in self._values and self._values[name] != value
        if is_taken and not is_redefinition(definition, self._definitions.get(name)):
            raise InvalidInput(
                f"{self.noun} {name!r} is registered already: {self._values[name]!r}. Choose another name."
            )
        self._values[name], self._definitions[name] = value, definition

    def get(self, name: str) -> Value:
        """Return the value registered under a name.

        Raises:
            InvalidInput: If the name is unknown; the message lists the known ones.
            ExtensionError: If the name is unknown and an installed package cannot be loaded; raised once.
        """
        if name not in self:
            hint = check.did_you_mean(name, self._values)
            names = check.listing(map(repr, self._values), limit=20) or "none"
            raise InvalidInput(
                f"there is no {self.noun} {name!r}.{hint} Known: {names}. Register your own with "
                f"{self.how_to_register}, in the same process, before it is used."
            )
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        self._load_builtins()
        if name not in self._values:
            load_entry_points()
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        self._load_builtins()
        load_entry_points()
        return iter(tuple(self._values))

    def values(self) -> tuple[Value, ...]:
        """Return all registered values, in the order of registration."""
        return tuple(self._values[name] for name in self)

    def registered(self) -> tuple[Value, ...]:
        """Return the values registered so far, built-in values included, without loading installed packages."""
        self._load_builtins()
        return tuple(self._values.values())

    def search(self) -> Iterator[Value]:
        """Yield the values registered so far; then load installed packages and yield theirs.

        A search that ends early does not depend on packages that have nothing to do with it.
        """
        self._load_builtins()
        names = tuple(self._values)
        yield from (self._values[name] for name in names)
        yield from (self._values[name] for name in self if name not in names)

    def _load_builtins(self) -> None:
        """Import the modules of the built-in values; emptied first, since these modules use the registry themselves."""
        modules, self.builtins = self.builtins, ()
        for module in modules:
            import_module(module)


def is_redefinition(definition: Any, earlier: Any) -> bool:
    """Return whether a class or function has been defined again, in a notebook or by reloading its module.

    Args:
        definition: A class or function; for any other object, the result is False.
        earlier: What was registered under the same name before.
    """
    module, name = _module_and_name(definition)
    is_named = module == "__main__" or "<" not in name  # many functions of a module are called <lambda> or <locals>.x
    return is_named and module != "" and (module, name) == _module_and_name(earlier)


def _module_and_name(definition: Any) -> tuple[str, str]:
    function = definition.func if isinstance(definition, partial) else definition
    return (function.__module__, function.__qualname__) if hasattr(function, "__qualname__") else ("", "")


@cache
def _pending_entry_points() -> list[metadata.EntryPoint]:
    return list(metadata.entry_points(group=ENTRY_POINTS))


def load_entry_points() -> None:
    """Call the registration functions of installed packages, once per process.

    Raises:
        ExtensionError: If any fails; all of them are listed. The next call raises nothing, so that one broken package
            does not disable everything else.
    """
    entry_points = tuple(_pending_entry_points())
    _pending_entry_points().clear()  # first: a registration function may look names up
    failures, cause = [], None
    for entry_point in entry_points:
        try:
            entry_point.load()()
        except Exception as error:  # noqa: BLE001  a package may raise anything
            cause = error
            package = f"{entry_point.dist.name} {entry_point.dist.version}" if entry_point.dist else "(unknown)"
            failures.append(
                f"the installed package {package} could not be loaded through its entry point {entry_point.name!r} "
                f"({entry_point.value}): {type(error).__name__}: {error}. Update or uninstall it; until then, what it "
                "registers is missing."
            )
    if failures:
        raise ExtensionError("\n".join(failures)) from cause
