"""Frozen records that every layer above shares."""

from tltk.specs.records import (
    CUTS,
    INTERPOLATIONS,
    LABEL_TYPES,
    RESIZES,
    TEXT_CUTS,
    ImageSpec,
    InvalidExample,
    LabelSpec,
    Span,
    TextSpec,
)

__all__ = [
    "CUTS",
    "INTERPOLATIONS",
    "LABEL_TYPES",
    "RESIZES",
    "TEXT_CUTS",
    "ImageSpec",
    "InvalidExample",
    "LabelSpec",
    "Span",
    "TextSpec",
]
