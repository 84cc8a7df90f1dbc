"""Frozen records that every layer above shares."""

from tltk.specs.records import (
    CUTS,
    INTERPOLATIONS,
    LABEL_KINDS,
    RESIZES,
    TEXT_CUTS,
    BadExample,
    InputSpec,
    Labels,
    Span,
    TextSpec,
)

__all__ = [
    "CUTS",
    "INTERPOLATIONS",
    "LABEL_KINDS",
    "RESIZES",
    "TEXT_CUTS",
    "BadExample",
    "InputSpec",
    "Labels",
    "Span",
    "TextSpec",
]
