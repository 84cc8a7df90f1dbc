"""The only place that formats errors: what came, what was expected, and the nearest right spelling."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

_LISTED = 12


def did_you_mean(value: object, allowed: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest allowed spelling, or an empty string."""
    allowed = list(allowed)
    inside = [item for item in allowed if len(str(value)) > 3 and str(value).lower() in item]
    near = difflib.get_close_matches(str(value), inside or allowed, n=1, cutoff=0.0 if inside else 0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


def listing(values: Iterable[object], *, limit: int = _LISTED) -> str:
    """Return values joined by commas, cut after `limit` with the number left out."""
    items = [str(value) for value in values]
    more = f" … and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more


def one_of(name: str, value: object, allowed: Iterable[str]) -> None:
    """Raise unless `value` is one of the allowed strings."""
    allowed = tuple(allowed)
    if value in allowed:
        return
    choices = listing((repr(item) for item in allowed), limit=60)
    raise ValueError(f"`{name}` must be one of {choices}. Received: {value!r}.{did_you_mean(value, allowed)}")


def positive(**named: float) -> None:
    """Raise unless every named number is above zero; all that are not are listed at once."""
    problems = Problems()
    for name, value in named.items():
        if not is_number(value) or value <= 0:
            problems.add(f"`{name}` must be a number above 0. Received: {value!r}")
    problems.raise_if_any()


def counts(**named: int) -> None:
    """Raise unless every named value is a whole number above zero; all that are not are listed at once."""
    problems = Problems()
    for name, value in named.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            problems.add(f"`{name}` must be a whole number above 0. Received: {value!r}")
    problems.raise_if_any()


def within(name: str, value: float, *, low: float, high: float, open_high: bool = False) -> None:
    """Raise unless low <= value <= high (or < high with `open_high`)."""
    if is_number(value) and low <= value <= high and not (open_high and value == high):
        return
    upper = f"below {high}" if open_high else f"at most {high}"
    raise ValueError(f"`{name}` must be at least {low} and {upper}. Received: {value!r}")


def is_number(value: object) -> bool:
    """Tell whether a value is an int or float and not a bool, NaN included as not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def kind_of(name: str, value: object, expected: type | tuple[type, ...], *, hint: str = "") -> None:
    """Raise TypeError unless `value` is an instance of `expected`."""
    if isinstance(value, expected):
        return
    types = expected if isinstance(expected, tuple) else (expected,)
    wanted = " or ".join(kind.__name__ for kind in types)
    tail = f" {hint}" if hint else ""
    raise TypeError(f"`{name}` must be {wanted}. Received: {type(value).__name__}.{tail}")


def known_keys(name: str, given: Mapping[str, Any], allowed: Iterable[str]) -> None:
    """Raise for keys that mean nothing, each with its nearest right spelling."""
    allowed = tuple(allowed)
    problems = Problems()
    for key in given:
        if key not in allowed:
            problems.add(f"`{name}` has no key {key!r}.{did_you_mean(key, allowed)}")
    problems.raise_if_any(f"known keys: {listing(allowed)}")


class ServingError(RuntimeError):
    """What is served cannot be called, or is not the model that was trained."""


class MissingExtraError(ModuleNotFoundError):
    """A package that only one feature needs is not installed; the message says which extra brings it."""


class Problems:
    """Collect everything that is wrong with one call, then raise it as one error.

    Example:
        >>> problems = Problems()
        >>> problems.add("`epochs` must be above 0. Received: 0")
        >>> problems.raise_if_any()
        Traceback (most recent call last):
        ...
        ValueError: `epochs` must be above 0. Received: 0
    """

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, problem: str) -> None:
        """Add one finished sentence."""
        self.found.append(problem)

    def raise_if_any(self, heading: str = "", *, error: type[Exception] = ValueError) -> None:
        """Raise `error` with every problem on its own line, or return if there is none."""
        if not self.found:
            return
        if len(self.found) == 1 and not heading:
            raise error(self.found[0])
        shown = self.found[:_LISTED]
        more = [f"  … and {len(self.found) - _LISTED} more"] if len(self.found) > _LISTED else []
        title = heading or f"{len(self.found)} problems:"
        raise error("\n".join([title, *(f"  - {line}" for line in shown), *more]))
