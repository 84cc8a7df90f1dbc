import random
import struct

import pytest
import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from tests.sentencepieces import SETTINGS, model, reference, serialized, train
from tltk.modalities.text.tokenizers.sentencepiece_file import SentencePieceModel, normalization_rules, parse

NAMES = {1: "normal", 2: "unknown", 3: "control", 4: "user_defined", 5: "unused", 6: "byte"}
DAMAGED = "not a SentencePiece model, or damaged: "


def message(name):
    return sentencepiece_model_pb2.ModelProto.FromString(serialized(name))


def packed(base: list[int], labels: list[int], leaves: dict[int, int], texts: bytes) -> bytes:
    """Write a trie of Darts-clone: for each unit its offset and label, and for leaves a value."""
    units = [leaves.get(at, offset << 10 | label) for at, (offset, label) in enumerate(zip(base, labels, strict=True))]
    return struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + texts


@pytest.mark.parametrize("name", SETTINGS)
def test_it_reads_what_the_protocol_buffer_holds(name):
    held, found = message(name), model(name)
    assert found.pieces == tuple(piece.piece for piece in held.pieces)
    assert found.scores == tuple(piece.score for piece in held.pieces)
    assert found.types == tuple(NAMES[piece.type] for piece in held.pieces)
    assert found.charsmap == held.normalizer_spec.precompiled_charsmap
    for flag in ("add_dummy_prefix", "remove_extra_whitespaces", "escape_whitespaces"):
        assert getattr(found, flag) == getattr(held.normalizer_spec, flag)
    for flag in ("treat_whitespace_as_suffix", "byte_fallback"):
        assert getattr(found, flag) == getattr(held.trainer_spec, flag)
    assert found.unknown == reference(name).unk_id()


def test_byte_pieces_are_in_the_order_of_bytes():
    found = model("bytes")
    assert [found.pieces[number] for number in found.byte_pieces] == [f"<0x{byte:02X}>" for byte in range(256)]


def test_what_is_left_out_has_its_default():
    held = message("xlm_roberta")
    held.trainer_spec.ClearField("model_type")
    for name in ("add_dummy_prefix", "remove_extra_whitespaces", "escape_whitespaces"):
        held.normalizer_spec.ClearField(name)
    held.pieces[5].ClearField("score")
    found = parse(held.SerializeToString())
    assert found.add_dummy_prefix and found.remove_extra_whitespaces and found.escape_whitespaces
    assert found.scores[5] == 0


@pytest.mark.parametrize("rule", ["nmt_nfkc", "nmt_nfkc_cf", "nfkc", "nfkc_cf"])
def test_rules_are_those_that_the_reference_decompiles(rule):
    held = sentencepiece.SentencePieceNormalizer(rule_name=rule)
    spec = sentencepiece_model_pb2.NormalizerSpec.FromString(held.serialized_normalizer_spec())
    found = normalization_rules(spec.precompiled_charsmap)
    assert len(found) > 200_000
    assert found == dict(held.decompile())


def test_no_rules_are_no_rules():
    assert normalization_rules(b"") == {} == normalization_rules(model("untouched").charsmap)


@pytest.mark.parametrize("kind", ["bpe", "word", "char"])
def test_a_model_of_another_type_is_refused_by_its_name(kind):
    data = train(model_type=kind, hard_vocab_limit=False)
    with pytest.raises(ValueError, match=f"the SentencePiece model is of type '{kind}'; only 'unigram' models"):
        parse(data)


FOREIGN = (
    b"",
    b"\n",
    b'{"vocab": {}}',
    b"[PAD]\n[UNK]\n[CLS]\n",
    b"\x89PNG\r\n\x1a\n" + bytes(99),
    b"PK\x03\x04" + bytes(99),
    b"\x08" * 40,
    b"\xff" * 40,
    bytes(40),
    b"\x0a\x02\x08\x01\x12\x00\x1a\x00",
    "ModelProto".encode("utf-16"),
)


@pytest.mark.parametrize("data", FOREIGN)
def test_foreign_bytes_are_told_in_plain_words(data):
    with pytest.raises(ValueError, match=DAMAGED):
        parse(data)


def test_random_bytes_are_told_in_plain_words():
    generator = random.Random(0)
    for length in range(200):
        with pytest.raises(ValueError, match=DAMAGED):
            parse(generator.randbytes(length))


def test_a_model_that_is_cut_short_is_told_wherever_it_was_cut():
    data = serialized("untouched")
    for length in (*range(400), *range(400, len(data), 97), len(data) - 1):
        with pytest.raises(ValueError, match=DAMAGED):
            parse(data[:length])


def test_a_model_with_wrong_bytes_is_read_or_told_and_never_breaks_the_reader():
    data, generator = bytearray(serialized("untouched")), random.Random(0)
    for _ in range(500):
        at, byte = generator.randrange(len(data)), generator.randrange(256)
        before, data[at] = data[at], byte
        try:
            parse(bytes(data))
        except ValueError as error:
            assert "SentencePiece model" in str(error)
        data[at] = before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda held: held.pieces[7].ClearField("piece"), "`pieces` must not be empty"),
        (lambda held: setattr(held.pieces[7], "piece", held.pieces[8].piece), "`pieces` must be distinct"),
        (lambda held: setattr(held.pieces[7], "score", float("nan")), "`scores` must be finite"),
        (lambda held: setattr(held.pieces[7], "type", 2), "exactly one piece must have type unknown. Received: 2"),
        (lambda held: setattr(held.pieces[0], "type", 1), "exactly one piece must have type unknown. Received: 0"),
        (
            lambda held: setattr(held.trainer_spec, "byte_fallback", True),
            "`byte_fallback` needs 256 pieces .* Received: 0",
        ),
    ],
)
def test_pieces_that_make_no_model_are_told(change, told):
    held = message("xlm_roberta")
    change(held)
    with pytest.raises(ValueError, match=DAMAGED + told):
        parse(held.SerializeToString())


def test_everything_that_is_wrong_is_told_at_once():
    with pytest.raises(ValueError, match=r"(?s)the same length. Received: 2, 1 and 2.*Received: odd.*type unknown"):
        SentencePieceModel(("a", "b"), (0.0,), ("normal", "odd"))


def test_bytes_are_wanted_and_not_a_path():
    with pytest.raises(TypeError, match=r"`data` must be bytes\. Received: str"):
        parse("spiece.model")


@pytest.mark.parametrize(
    ("charsmap", "told"),
    [
        (b"\x01", "a trie of 1 in 1 bytes"),
        (struct.pack("<I", 4096) + bytes(100), "a trie of 4,096 in 104 bytes"),
        (struct.pack("<I", 6) + bytes(100), "a trie of 6 in 104 bytes"),
        # From the root an "a" leads to unit 96, and from there another "a" to the same unit again.
        (packed([1] + [0] * 95 + [97, *[0] * 3], [0] * 96 + [97, *[0] * 3], {}, b"x\0"), "contains a cycle"),
        # A value that points behind the last replacement.
        (packed([1] + [0] * 95 + [33, *[0] * 3], [0] * 96 + [97 + 256, *[0] * 3], {65: 1 << 31 | 9}, b"x\0"), "found"),
    ],
)
def test_damaged_rules_are_told(charsmap, told):
    with pytest.raises(ValueError, match=f"the normalization rules are damaged: .*{told}"):
        normalization_rules(charsmap)
