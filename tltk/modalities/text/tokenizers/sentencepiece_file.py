"""Reading the file of a SentencePiece model.

The file is a protocol buffer (google/sentencepiece, sentencepiece_model.proto): the pieces with their scores, settings
of the trainer, and how texts are normalized. The normalization rules are a double-array trie (Darts-clone, darts.h)
followed by the replacements (normalizer.cc, `DecodePrecompiledCharsMap`).
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput

_MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
_PIECE_TYPES = {1: "normal", 2: "unknown", 3: "control", 4: "user_defined", 5: "unused", 6: "byte"}
_IN_TEXTS = ("normal", "user_defined", "unused")
_LONGEST_KEY, _MOST_NODES = 1024, 4_000_000  # more is damage: a broken trie may contain cycles

# Message → fields: name, number, type, default. Those of sentencepiece_model.proto that tokenization depends on.
_PACKAGE = "tltk_sentencepiece"
_MESSAGES: dict[str, tuple[tuple[str, int, str, str], ...]] = {
    "SentencePiece": (("piece", 1, "bytes", ""), ("score", 2, "float", "0"), ("type", 3, "int32", "1")),
    "TrainerSpec": (
        ("model_type", 3, "int32", "1"),
        ("treat_whitespace_as_suffix", 24, "bool", "false"),
        ("byte_fallback", 35, "bool", "false"),
    ),
    "NormalizerSpec": (
        ("precompiled_charsmap", 2, "bytes", ""),
        ("add_dummy_prefix", 3, "bool", "true"),
        ("remove_extra_whitespaces", 4, "bool", "true"),
        ("escape_whitespaces", 5, "bool", "true"),
    ),
}
_SECTIONS = (
    ("pieces", 1, "SentencePiece"),
    ("trainer_spec", 2, "TrainerSpec"),
    ("normalizer_spec", 3, "NormalizerSpec"),
)


@dataclass(frozen=True)
class SentencePieceModel:
    """A SentencePiece unigram model.

    Args:
        pieces: Every piece, in the order of its id.
        scores: Logarithm of each piece's probability.
        types: Type of each piece: "normal", "unknown" (exactly one), "control", "user_defined", "unused" or "byte".
        charsmap: Compiled normalization rules; see `normalization_rules`. Empty: texts are not changed.
        add_dummy_prefix: Whether "▁" is put before every text.
        remove_extra_whitespaces: Whether spaces at both ends are removed, and repeated spaces reduced to one.
        escape_whitespaces: Whether spaces become "▁".
        treat_whitespace_as_suffix: Whether "▁" is put after a text instead, and ends words instead of starting them.
        byte_fallback: Whether an unknown character becomes the pieces of its UTF-8 bytes.

    Raises:
        InvalidInput: If the pieces are inconsistent; everything that is wrong is listed.
    """

    pieces: tuple[str, ...] = field(repr=False)
    scores: tuple[float, ...] = field(repr=False)
    types: tuple[str, ...] = field(repr=False)
    charsmap: bytes = field(default=b"", repr=False)
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    escape_whitespaces: bool = True
    treat_whitespace_as_suffix: bool = False
    byte_fallback: bool = False

    def __post_init__(self) -> None:
        problems = check.Problems()
        if not len(self.pieces) == len(self.scores) == len(self.types):
            counts = f"{len(self.pieces)}, {len(self.scores)} and {len(self.types)}"
            problems.add(f"`pieces`, `scores` and `types` must have the same length. Received: {counts}")
        if unknown := set(self.types) - set(_PIECE_TYPES.values()):
            choices = ", ".join(_PIECE_TYPES.values())
            problems.add(f"`types` must be among {choices}. Received: {check.listing(sorted(unknown))}")
        if self.types.count("unknown") != 1:
            problems.add(f"exactly one piece must have type unknown. Received: {self.types.count('unknown')}")
        if not all(map(math.isfinite, self.scores)):
            problems.add("`scores` must be finite")
        if not all(self.pieces):
            problems.add("`pieces` must not be empty strings")
        if len(self.text_pieces) != sum(type_ in _IN_TEXTS for type_ in self.types):
            problems.add("`pieces` must be distinct")
        if self.byte_fallback and len(self.byte_pieces) != 256:
            problems.add(f"`byte_fallback` needs 256 pieces <0x00> … <0xFF>. Received: {len(self.byte_pieces)}")
        problems.raise_if_any()

    @property
    def text_pieces(self) -> dict[str, int]:
        """Id of each piece that can occur in a text, unused ones included."""
        typed = zip(self.pieces, self.types, strict=False)
        return {piece: id_ for id_, (piece, type_) in enumerate(typed) if type_ in _IN_TEXTS}

    @property
    def byte_pieces(self) -> tuple[int, ...]:
        """Ids of the pieces that stand for the bytes 0 to 255."""
        typed = zip(self.pieces, self.types, strict=False)
        ids = {piece: id_ for id_, (piece, type_) in enumerate(typed) if type_ == "byte"}
        names = (f"<0x{byte:02X}>" for byte in range(256))
        return tuple(ids[name] for name in names if name in ids)

    @property
    def unknown(self) -> int:
        """Id of the unknown piece."""
        return self.types.index("unknown")


def parse(data: bytes) -> SentencePieceModel:
    """Read a serialized model.

    Args:
        data: Content of a `.model` or `.spm` file.

    Returns:
        The model.

    Raises:
        InvalidInput: If the bytes are not a SentencePiece model, or are damaged, or the model is not a unigram model.
    """
    check.instance_of("data", data, bytes)
    model = _message_class()()
    try:
        model.ParseFromString(data)
        if not (model.pieces and model.HasField("trainer_spec") and model.HasField("normalizer_spec")):
            raise InvalidInput("pieces or settings are missing")
        model_type = _MODEL_TYPES.get(model.trainer_spec.model_type, "unknown")
        if model_type == "unigram":
            return _model(model)
    except (ValueError, message.DecodeError) as error:
        raise InvalidInput(f"not a SentencePiece model, or damaged: {error}") from error
    raise InvalidInput(f"the SentencePiece model is of type '{model_type}'; only 'unigram' models are supported.")


def normalization_rules(charsmap: bytes) -> dict[str, str]:
    """Decode the compiled normalization rules.

    Args:
        charsmap: Size of the trie in bytes (4 bytes), the trie, and the replacements, each followed by a zero byte.

    Returns:
        Character sequence → its replacement. Where several match, the longest counts.

    Raises:
        InvalidInput: If the rules are damaged.
    """
    if not charsmap:
        return {}
    size = int.from_bytes(charsmap[:4], "little")
    if size % 4 or not 4 <= size < len(charsmap) - 4:
        raise InvalidInput(f"the normalization rules are damaged: a trie of {size:,} in {len(charsmap):,} bytes")
    try:
        units = np.frombuffer(charsmap, "<u4", size // 4, 4).astype(np.int64)
        return dict(_replacements(units, charsmap[4 + size :]))
    except (ValueError, IndexError) as error:
        raise InvalidInput(f"the normalization rules are damaged: {error}") from error


def _replacements(units: np.ndarray, texts: bytes) -> Iterator[tuple[str, str]]:
    """Walk through a trie of Darts-clone: a unit is a node, at the index of its parent's base XOR its label."""
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
    raise InvalidInput("the trie contains a cycle")


@cache
def _message_class() -> Any:
    """Declare the messages of a model file.

    `sentencepiece.sentencepiece_model_pb2` is not imported: it was generated by one version of protobuf, which
    sentencepiece does not declare, and refuses every older one (sentencepiece 0.2.3: 7.36.1; TensorFlow takes 6.31.1).
    """
    file = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}.proto", package=_PACKAGE, syntax="proto2")
    types = descriptor_pb2.FieldDescriptorProto
    for name, fields in _MESSAGES.items():
        declared = file.message_type.add(name=name)
        for field_name, number, type_, default in fields:
            kind = getattr(types, f"TYPE_{type_.upper()}")
            declared.field.add(
                name=field_name, number=number, type=kind, label=types.LABEL_OPTIONAL, default_value=default
            )
    model = file.message_type.add(name="ModelProto")
    for field_name, number, name in _SECTIONS:
        label = types.LABEL_REPEATED if field_name == "pieces" else types.LABEL_OPTIONAL
        type_name = f".{_PACKAGE}.{name}"
        model.field.add(name=field_name, number=number, type=types.TYPE_MESSAGE, type_name=type_name, label=label)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.ModelProto"))


def _model(model: Any) -> SentencePieceModel:
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    return SentencePieceModel(
        pieces=tuple(piece.piece.decode() for piece in model.pieces),
        scores=tuple(piece.score for piece in model.pieces),
        types=tuple(_PIECE_TYPES.get(piece.type, str(piece.type)) for piece in model.pieces),
        charsmap=normalizer.precompiled_charsmap,
        add_dummy_prefix=normalizer.add_dummy_prefix,
        remove_extra_whitespaces=normalizer.remove_extra_whitespaces,
        escape_whitespaces=normalizer.escape_whitespaces,
        treat_whitespace_as_suffix=trainer.treat_whitespace_as_suffix,
        byte_fallback=trainer.byte_fallback,
    )
