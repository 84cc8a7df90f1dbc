"""Which layers are trained, and how fast: plans, and their application to a model.

Ready-made plans are loaded when first used, so that importing this package does not import Keras (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_PLANS = (
    "Plan",
    "Rule",
    "bias_only",
    "first_block",
    "freeze",
    "layer_decay",
    "norm_only",
    "train_all",
    "train_top",
    "unfreeze_from",
)
# No name here is a submodule's, since importing one would overwrite the name: the plan `lora` is `tltk.lora`.
_PUBLIC = dict.fromkeys(_PLANS, "tltk.trainability.plan") | {"apply_plan": "tltk.trainability.apply"}

__all__ = sorted(_PUBLIC)

if TYPE_CHECKING:
    from tltk.trainability.apply import apply_plan
    from tltk.trainability.plan import (
        Plan,
        Rule,
        bias_only,
        first_block,
        freeze,
        layer_decay,
        norm_only,
        train_all,
        train_top,
        unfreeze_from,
    )


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    from tltk.foundation.checks import did_you_mean

    raise AttributeError(f"tltk.trainability has no {name!r}.{did_you_mean(name, _PUBLIC)}")


def __dir__() -> list[str]:
    return sorted(__all__)
