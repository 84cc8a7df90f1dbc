"""Frozen records shared by all other packages: input formats, labels, spans, boxes, invalid examples."""

from tltk.specs.audio import AudioSpec
from tltk.specs.boxes import Boxes
from tltk.specs.image import INTERPOLATIONS, RESIZES, ImageSpec
from tltk.specs.invalid import InvalidExample
from tltk.specs.labels import LabelSpec
from tltk.specs.spans import Span
from tltk.specs.text import TOKENIZER_TYPES, TRUNCATIONS, TextSpec, TokenizerSpec

__all__ = [
    "INTERPOLATIONS",
    "RESIZES",
    "TOKENIZER_TYPES",
    "TRUNCATIONS",
    "AudioSpec",
    "Boxes",
    "ImageSpec",
    "InvalidExample",
    "LabelSpec",
    "Span",
    "TextSpec",
    "TokenizerSpec",
]
