"""The meaning of the targets of a source."""

import string
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from tltk.foundation import checks as check
from tltk.foundation import display
from tltk.foundation.errors import InvalidInput, InvalidType

_INVISIBLE = f"{string.whitespace}\u00a0\u3000\ufeff\u200b\u200e\u200f\u2060"  # left out around names


def as_names(labels: Any) -> tuple[str, ...]:
    """Convert class names in any form to a tuple of strings.

    Args:
        labels: List, tuple or array of strings, bytes or whole numbers; or a dict of class index → name.

    Returns:
        The names, see `clean_name`.

    Raises:
        InvalidType: If a name is something else, or `labels` is a set, which has no order.
        InvalidInput: If the keys of a dict are not 0 to k - 1.

    Examples:
        >>> as_names({0: "cat", 1: b"dog"}), as_names([3, 5])
        (('cat', 'dog'), ('3', '5'))
    """
    if isinstance(labels, set | frozenset):
        raise InvalidType("`labels` must be in the order of the model's outputs, and a set has none: sorted(labels)")
    if isinstance(labels, Mapping):
        if sorted(labels, key=str) != sorted(range(len(labels)), key=str):
            raise InvalidInput(f"the keys of `labels` must be the class indices from 0. Received: {list(labels)[:5]}")
        labels = [labels[index] for index in range(len(labels))]
    return tuple(_as_name(name) for name in labels)


def _as_name(name: Any) -> str:
    if isinstance(name, bytes):
        name = name.decode("utf-8", "backslashreplace")
    if isinstance(name, Integral) and not isinstance(name, bool):
        name = str(int(name))
    if not isinstance(name, str):
        hint = 'Pass `source.labels`, or a list of names such as ["cat", "dog"].'
        raise InvalidType(f"`labels` must be names. Received: {name!r}. {hint}")
    reason = check.unencodable(name)
    if reason:
        raise InvalidInput(f"`labels` must be names. {name!r} is {reason}")
    return clean_name(str(name))


def clean_name(name: str) -> str:
    """Return a name in the form that is compared: "é" can be written as one character or as two, and spaces and
    invisible characters of zero width, such as a byte order mark, can surround it.

    Examples:
        >>> clean_name("cafe\u0301 \u200b") == "caf\u00e9"
        True
    """
    return unicodedata.normalize("NFC", name).strip(_INVISIBLE)


@dataclass(frozen=True)
class LabelSpec:
    """Type and names of the targets of a source.

    Args:
        names: Class names in the order of the model's outputs; for regression, the names of the columns. A list is
            stored as a tuple.
        type: "categorical" (one class per example, int32 index), "multilabel" (any number of classes, 0/1 vector),
            "regression" (float32 vector), "entities" (any number of `Span` per text; the names are entity types) or
            "answers" (any number of equivalent `Span` per question; none if the question has no answer), or a type
            registered with `tltk.data.targets.register_targets`.
        mean: For regression, the mean of each column over the source, so that a head can predict standardized values.
        std: For regression, the standard deviation of each column; never 0.

    Raises:
        InvalidType: If `names` is not a tuple or list.
        InvalidInput: If there are no names, a name is empty or repeated, or `type` is not a non-empty string.

    Examples:
        >>> len(LabelSpec(("cat", "dog")))
        2
    """

    names: tuple[str, ...]
    type: str = "categorical"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    __repr__ = display.short_repr

    def __post_init__(self) -> None:
        for name in ("names", "mean", "std"):
            values = getattr(self, name)
            check.instance_of(name, values, (tuple, list), hint='Pass names such as ("cat", "dog").')
            object.__setattr__(self, name, as_names(values) if name == "names" else tuple(values))
        problems = check.Problems()
        if not isinstance(self.type, str) or not self.type:
            problems.add(f"`type` must be the name of a label type, such as 'categorical'. Received: {self.type!r}")
        repeated = sorted(name for name, count in Counter(self.names).items() if count > 1)
        if not self.names:
            problems.add("`names` must hold at least one name. Received: ()")
        if "" in self.names:
            problems.add(f"`names` must not hold an empty name. Received: names[{self.names.index('')}] = ''")
        if repeated:
            problems.add(f"`names` must be unique. Received twice: {check.listing(repeated)}")
        problems.raise_if_any()

    def __len__(self) -> int:
        return len(self.names)
