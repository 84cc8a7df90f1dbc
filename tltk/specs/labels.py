"""The meaning of the targets of a source."""

from collections import Counter
from dataclasses import dataclass

from tltk.foundation import checks as check
from tltk.foundation import display


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
        InvalidInput: If there are no names, a name is repeated, or `type` is not a non-empty string.

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
            object.__setattr__(self, name, tuple(values))
        problems = check.Problems()
        if not isinstance(self.type, str) or not self.type:
            problems.add(f"`type` must be the name of a label type, such as 'categorical'. Received: {self.type!r}")
        repeated = sorted(name for name, count in Counter(self.names).items() if count > 1)
        if not self.names:
            problems.add("`names` must hold at least one name. Received: ()")
        if repeated:
            problems.add(f"`names` must be unique. Received twice: {check.listing(repeated)}")
        problems.raise_if_any()

    def __len__(self) -> int:
        return len(self.names)
