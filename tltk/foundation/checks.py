"""Argument checks whose errors state what was received, what was expected and the nearest valid spelling."""

import difflib
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from tltk.foundation.errors import InvalidInput, InvalidType

_LISTED = 12


def did_you_mean(value: object, allowed: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest allowed value, or an empty string."""
    allowed = list(allowed)
    containing = [item for item in allowed if len(str(value)) > 3 and str(value).lower() in item]
    nearest = difflib.get_close_matches(str(value), containing or allowed, n=1, cutoff=0.0 if containing else 0.5)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""


def listing(values: Iterable[object], *, limit: int = _LISTED) -> str:
    """Join values by commas; after `limit` values, only the number of omitted ones follows."""
    items = [str(value) for value in values]
    more = f" … and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more


def plural(modality: str) -> str:
    """Return the plural of the name of a modality for messages: "images", "texts", "sounds"."""
    return "sounds" if modality == "audio" else f"{modality}s"


def one_of(name: str, value: object, allowed: Iterable[str]) -> None:
    """Check that a value is one of the allowed strings.

    Raises:
        InvalidInput: If it is not, with the nearest allowed value.
    """
    allowed = tuple(allowed)
    if value in allowed:
        return
    choices = listing((repr(item) for item in allowed), limit=60)
    raise InvalidInput(f"`{name}` must be one of {choices}. Received: {value!r}.{did_you_mean(value, allowed)}")


def unencodable(text: object) -> str:
    r"""Return why a text cannot be written as UTF-8; "" if it can, or is not a string.

    JSON and `errors="surrogateescape"` make such texts: half of a character, which no tokenizer and no file takes.

    Examples:
        >>> unencodable("caf\u00e9"), unencodable("\ud83d")
        ('', "not Unicode: '\\ud83d' is half of a character")
    """
    if not isinstance(text, str):
        return ""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"not Unicode: {text[error.start]!r} is half of a character"
    return ""


def positive(**named: float) -> None:
    """Check that every named number is above zero.

    Raises:
        InvalidInput: If any is not; all of them are listed.
    """
    problems = Problems()
    for name, value in named.items():
        if not is_number(value) or value <= 0:
            problems.add(f"`{name}` must be a number above 0. Received: {value!r}")
    problems.raise_if_any()


def counts(**named: int) -> None:
    """Check that every named value is a whole number above zero.

    Raises:
        InvalidInput: If any is not; all of them are listed.
    """
    problems = Problems()
    for name, value in named.items():
        if not is_whole(value) or value < 1:
            problems.add(f"`{name}` must be a whole number above 0. Received: {value!r}")
    problems.raise_if_any()


def within(name: str, value: float, *, low: float, high: float, open_high: bool = False) -> None:
    """Check that low <= value <= high, or value < high with `open_high`.

    Raises:
        InvalidInput: If the value is out of range or not a number.
    """
    if is_number(value) and low <= value <= high and not (open_high and value == high):
        return
    upper = f"below {high}" if open_high else f"at most {high}"
    raise InvalidInput(f"`{name}` must be at least {low} and {upper}. Received: {value!r}")


def seed(value: int) -> int:
    """Check that a value is a seed, and return it as an int.

    Raises:
        InvalidInput: If it is not a whole number in [0, 2**31).
    """
    if not is_whole(value) or not 0 <= value < 2**31:
        raise InvalidInput(f"`seed` must be a whole number in [0, 2**31). Received: {value!r}")
    return int(value)


def is_number(value: object) -> bool:
    """Tell whether a value is a number of Python or NumPy; bools and NaN do not count as numbers."""
    return isinstance(value, Real) and not isinstance(value, bool) and value == value


def is_whole(value: object) -> bool:
    """Tell whether a value is an int of Python or NumPy; bools do not count as numbers."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def store_python_numbers(record: object) -> None:
    """Replace the NumPy numbers among the fields of a frozen record by those of Python, which JSON files can hold."""
    for name, value in list(vars(record).items()):
        if is_number(value) and type(value) not in (int, float):
            object.__setattr__(record, name, int(value) if is_whole(value) else float(value))


def instance_of(name: str, value: object, expected: type | tuple[type, ...], *, hint: str = "") -> None:
    """Check that a value is an instance of `expected`.

    Raises:
        InvalidType: If it is not; `hint` is appended to the message.
    """
    if isinstance(value, expected):
        return
    types = expected if isinstance(expected, tuple) else (expected,)
    names = " or ".join(item.__name__ for item in types)
    suffix = f" {hint}" if hint else ""
    raise InvalidType(f"`{name}` must be {names}. Received: {type(value).__name__}.{suffix}")


def path(name: str, value: object, *, hint: str = "") -> Path:
    """Check that a value is a path that can be written to, and return it.

    Raises:
        InvalidType: If it is neither a string nor a `Path`; `hint` is appended to the message.
        InvalidInput: If it is empty, which Python takes for the current folder, or has a NUL character.
    """
    instance_of(name, value, (str, Path), hint=hint)
    text = str(value)
    if (isinstance(value, str) and not text.strip()) or "\0" in text:
        raise InvalidInput(f'`{name}` must be a path; the current folder is ".". Received: {value!r}')
    return Path(text)


def known_keys(name: str, mapping: Mapping[str, Any], allowed: Iterable[str]) -> None:
    """Check that a mapping has no unknown keys.

    Raises:
        InvalidInput: If it has; each unknown key is listed with the nearest allowed one.
    """
    allowed = tuple(allowed)
    problems = Problems()
    for key in mapping:
        if key not in allowed:
            problems.add(f"`{name}` has no key {key!r}.{did_you_mean(key, allowed)}")
    problems.raise_if_any(f"known keys: {listing(allowed)}")


class Problems:
    """Collects everything that is wrong with one call and raises it as one error.

    Examples:
        >>> problems = Problems()
        >>> problems.add("`epochs` must be above 0. Received: 0")
        >>> problems.raise_if_any()
        Traceback (most recent call last):
        ...
        tltk.errors.InvalidInput: `epochs` must be above 0. Received: 0
    """

    def __init__(self) -> None:
        self.messages: list[str] = []

    def add(self, problem: str) -> None:
        """Add one problem, as a complete sentence."""
        self.messages.append(problem)

    def raise_if_any(self, heading: str = "", *, error: type[Exception] = InvalidInput) -> None:
        """Raise one error that lists all problems, if any.

        Args:
            heading: First line of the message; empty for the number of problems.
            error: Exception class to raise.
        """
        if not self.messages:
            return
        if len(self.messages) == 1 and not heading:
            raise error(self.messages[0])
        shown = self.messages[:_LISTED]
        more = [f"  … and {len(self.messages) - _LISTED} more"] if len(self.messages) > _LISTED else []
        title = heading or f"{len(self.messages)} problems:"
        raise error("\n".join([title, *(f"  - {line}" for line in shown), *more]))
