"""Reading the file of a SentencePiece model without the `sentencepiece` package.

The file is a protocol buffer (google/sentencepiece, sentencepiece_model.proto): the pieces with their scores, what the
trainer was told, and how texts are normalized. The rules of normalization are a double-array trie (Darts-clone,
darts.h) with the replacements behind it (normalizer.cc, `DecodePrecompiledCharsMap`).
"""

import math
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from tltk.foundation import checks as check

_MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
_KINDS = {1: "normal", 2: "unknown", 3: "control", 4: "user_defined", 5: "unused", 6: "byte"}
_IN_TEXTS = ("normal", "user_defined", "unused")
_LENGTHS = {1: 8, 5: 4}  # of the wire types of fixed width
_LONGEST_VARINT, _LONGEST_KEY, _MOST_NODES = 10, 1024, 4_000_000  # more is damage: a broken trie may go in circles
_Value = TypeVar("_Value", int, bytes)


@dataclass(frozen=True)
class SentencePieceModel:
    """What a SentencePiece unigram model knows.

    Args:
        pieces: every piece, in the order of its number.
        scores: logarithm of each piece's probability.
        kinds: what each piece is: "normal", "unknown" (one), "control", "user_defined", "unused" or "byte".
        charsmap: compiled rules of normalization; see `rules`. Empty: texts are left as they are.
        add_dummy_prefix: whether "▁" is put before every text.
        remove_extra_whitespaces: whether spaces at both ends go, and of several in a row all but one.
        escape_whitespaces: whether spaces become "▁".
        treat_whitespace_as_suffix: whether "▁" is put behind a text instead, and ends words instead of beginning them.
        byte_fallback: whether an unknown character becomes the pieces of its UTF-8 bytes.

    Raises:
        ValueError: if the pieces do not make a model; everything that is wrong is listed.
    """

    pieces: tuple[str, ...] = field(repr=False)
    scores: tuple[float, ...] = field(repr=False)
    kinds: tuple[str, ...] = field(repr=False)
    charsmap: bytes = field(default=b"", repr=False)
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    escape_whitespaces: bool = True
    treat_whitespace_as_suffix: bool = False
    byte_fallback: bool = False

    def __post_init__(self) -> None:
        problems = check.Problems()
        if not len(self.pieces) == len(self.scores) == len(self.kinds):
            counts = f"{len(self.pieces)}, {len(self.scores)} and {len(self.kinds)}"
            problems.add(f"`pieces`, `scores` and `kinds` must be of one length. Received: {counts}")
        if strange := set(self.kinds) - set(_KINDS.values()):
            problems.add(f"`kinds` must be of {', '.join(_KINDS.values())}. Received: {check.listing(sorted(strange))}")
        if self.kinds.count("unknown") != 1:
            problems.add(f"one piece must be the unknown one. Received: {self.kinds.count('unknown')}")
        if not all(map(math.isfinite, self.scores)):
            problems.add("`scores` must be finite.")
        if not all(self.pieces):
            problems.add("`pieces` must not be empty strings.")
        if len(self.known) != sum(kind in _IN_TEXTS for kind in self.kinds):
            problems.add("`pieces` must differ from each other.")
        if self.byte_fallback and len(self.byte_pieces) != 256:
            problems.add(f"`byte_fallback` needs 256 pieces <0x00> … <0xFF>. Received: {len(self.byte_pieces)}")
        problems.raise_if_any()

    @property
    def known(self) -> dict[str, int]:
        """Number of each piece that a text may hold, unused ones included."""
        kinds = zip(self.pieces, self.kinds, strict=False)
        return {piece: number for number, (piece, kind) in enumerate(kinds) if kind in _IN_TEXTS}

    @property
    def byte_pieces(self) -> tuple[int, ...]:
        """Numbers of the pieces that stand for bytes, from 0 on."""
        kinds = zip(self.pieces, self.kinds, strict=False)
        numbers = {piece: number for number, (piece, kind) in enumerate(kinds) if kind == "byte"}
        names = (f"<0x{byte:02X}>" for byte in range(256))
        return tuple(numbers[name] for name in names if name in numbers)

    @property
    def unknown(self) -> int:
        """Number of the unknown piece."""
        return self.kinds.index("unknown")


def parse(data: bytes) -> SentencePieceModel:
    """Read a serialized model, the content of a `.model` or `.spm` file.

    Args:
        data: of the file.

    Returns:
        The model.

    Raises:
        ValueError: if the bytes are none or damaged, or the model is no unigram model.
    """
    check.kind_of("data", data, bytes)
    try:
        pieces, trainer, normalizer = _sections(data)
        model_type = _MODEL_TYPES.get(_value(trainer, 3, 1), "unknown")
        if model_type == "unigram":
            return _model(pieces, trainer, normalizer)
    except ValueError as error:
        raise ValueError(f"this is no SentencePiece model, or it is damaged: {error}") from error
    raise ValueError(f"the SentencePiece model is of type '{model_type}'; only 'unigram' models can be read.")


def rules(charsmap: bytes) -> dict[str, str]:
    """Decode the compiled rules of normalization.

    Args:
        charsmap: size of the trie in bytes (4 bytes), the trie, and the replacements, each with a zero behind it.

    Returns:
        Sequence of characters → what replaces it. Of several that fit at a place, the longest counts.

    Raises:
        ValueError: if it is damaged.
    """
    if not charsmap:
        return {}
    size = int.from_bytes(charsmap[:4], "little")
    if size % 4 or not 4 <= size < len(charsmap) - 4:
        raise ValueError(f"the rules of normalization are damaged: a trie of {size:,} in {len(charsmap):,} bytes")
    try:
        units = np.frombuffer(charsmap, "<u4", size // 4, 4).astype(np.int64)
        return dict(_replacements(units, charsmap[4 + size :]))
    except (ValueError, IndexError) as error:
        raise ValueError(f"the rules of normalization are damaged: {error}") from error


def _replacements(units: np.ndarray, texts: bytes) -> Iterator[tuple[str, str]]:
    """Walk through a trie of Darts-clone: a unit is a node, which lies at its parent's base XOR the node's letter."""
    places = np.arange(units.size)
    labels = units & 0xFF
    bases = places ^ (units >> 10 << ((units & 0x200) >> 6))
    children: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for place in np.flatnonzero((units < 1 << 31) & (labels > 0)).tolist():
        children[place ^ int(labels[place])].append((place, int(labels[place])))
    base, has_value = bases.tolist(), (units >> 8 & 1).tolist()
    nodes = [(0, b"")]
    for _ in range(_MOST_NODES):
        if not nodes:
            return
        place, key = nodes.pop()
        if has_value[place] and key:
            start = int(units[base[place]]) & 0x7FFFFFFF
            yield key.decode(), texts[start : texts.index(0, start)].decode()
        nodes += [(child, key + bytes([label])) for child, label in children.get(base[place], ())]
        if len(key) > _LONGEST_KEY:
            break
    raise ValueError("the trie goes in circles")


def _sections(data: bytes) -> tuple[list[dict], dict, dict]:
    """Take a model apart: fields of each piece, of the trainer's and of the normalizer's settings."""
    pieces: list[dict] = []
    settings: dict[int, dict] = {}
    for number, value in _fields(data):
        if number == 1:
            pieces.append(dict(_fields(value)))
        elif number in (2, 3):
            settings.setdefault(number, {}).update(_fields(value))
    if not pieces:
        raise ValueError("it holds no pieces")
    if len(settings) < 2:
        raise ValueError("it is cut short: behind the pieces, settings are missing")
    return pieces, settings[2], settings[3]


def _model(pieces: list[dict], trainer: dict, normalizer: dict) -> SentencePieceModel:
    return SentencePieceModel(
        pieces=tuple(_value(each, 1, b"").decode() for each in pieces),
        scores=tuple(map(_score, pieces)),
        kinds=tuple(_KINDS.get(_value(each, 3, 1), "strange") for each in pieces),
        charsmap=_value(normalizer, 2, b""),
        add_dummy_prefix=bool(_value(normalizer, 3, 1)),
        remove_extra_whitespaces=bool(_value(normalizer, 4, 1)),
        escape_whitespaces=bool(_value(normalizer, 5, 1)),
        treat_whitespace_as_suffix=bool(_value(trainer, 24, 0)),
        byte_fallback=bool(_value(trainer, 35, 0)),
    )


def _score(piece: dict) -> float:
    packed = _value(piece, 2, bytes(4))
    if len(packed) != 4:
        raise ValueError(f"a score has {len(packed)} bytes where it must have 4")
    return struct.unpack("<f", packed)[0]


def _value(fields: dict, number: int, default: _Value) -> _Value:
    """Return what a field holds, or what it means where it is left out."""
    value = fields.get(number, default)
    if not isinstance(value, type(default)):
        raise ValueError(f"field {number} holds {type(value).__name__} where it must hold {type(default).__name__}")
    return value


def _fields(message: Any) -> Iterator[tuple[int, Any]]:
    """Yield number and value of each field of a message: an int, or bytes of what is no varint."""
    if not isinstance(message, bytes):
        raise ValueError("a number stands where a message must stand")
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire not in (1, 2, 5) or not number:
            raise ValueError(f"no field begins at byte {at - 1}")
        length, at = _varint(message, at) if wire == 2 else (_LENGTHS[wire], at)
        if at + length > len(message):
            raise ValueError(f"it is cut short: a field of {length:,} bytes begins at byte {at:,} of {len(message):,}")
        yield number, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Read a number of 7 bits a byte; return it and where the next field begins."""
    value = 0
    for index, byte in enumerate(message[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, at + index + 1
    raise ValueError(f"no number begins at byte {at:,}")
