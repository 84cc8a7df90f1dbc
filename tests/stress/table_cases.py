"""Damaged tables and annotation files: what is not damaged is read as if it stood alone."""

import copy
import csv
import io
import json
from typing import Any

from tests.stress.damage import (
    Generator,
    damage,
    filled,
    flipped,
    inserted,
    overwritten,
    repeated,
    shortened,
    truncated,
)
from tests.stress.fuzz import Failed, Place
from tltk.data.formats.conll import from_conll
from tltk.data.formats.squad import from_squad
from tltk.data.formats.tables import from_csv, from_jsonl
from tltk.data.source import Source
from tltk.modalities.modality import named_modality

_WORDS = ("fine", "poor", "film", "büro", "naïve", "東京", "a,b", "semi;colon", "it's", "100%", "🙂", "C:\\x", "-1")
_LABELS = ("good", "bad", "so so")
_LINE_DAMAGE = (flipped, overwritten, shortened, repeated, filled, inserted, truncated)
_HOSTILE = (
    b'"', b'""', b"\\", b"\0", b"\x1b[2J", b",", b"\t", b";", b"\xff", b"\xed\xa0\x80", b"{", b"}", b"[" * 100_000,
    b"9" * 5000, b"NaN", b"1e999", b"\\ud800", b"=cmd|'/c calc'!A1", b"../../etc/passwd", b"x" * 1_000_000,
    b"<script>", b"\xe2\x80\xae", b"\r", b"\x85", b"\xe2\x80\xa8", b"\x0c", b"null", b"-1", b"\xef\xbb\xbf",
)  # fmt: skip


def _text(generator: Generator) -> str:
    count = int(generator.integers(1, 9))
    return " ".join(_WORDS[int(generator.integers(len(_WORDS)))] for _ in range(count))


def _hurt(line: bytes, generator: Generator) -> bytes:
    """Damage the bytes of one line."""
    if generator.random() < 0.4:
        position = int(generator.integers(len(line) + 1))
        return line[:position] + _HOSTILE[int(generator.integers(len(_HOSTILE)))] + line[position:]
    return damage(line, generator, _LINE_DAMAGE)[0]


def _rows(source: Source) -> list[tuple[Any, Any]]:
    """Return (example, label) of each row, after the checks that every use of a source does."""
    valid, _ = named_modality(source.modality).validate(source)
    for row in range(len(valid)):
        _encodable(valid.examples[row])
    return [(_plain(valid.examples[row]), valid.label_of(row)) for row in range(len(valid))]


def _plain(example: Any) -> Any:
    return example if isinstance(example, str) else tuple(example)


def _encodable(example: Any) -> None:
    """Raise if a text has no bytes: a tokenizer would fail in the middle of an epoch."""
    for text in [example] if isinstance(example, str) else example:
        text.encode()


def _check_kept(expected: list[Any], rows: list[Any], source: Source, what: str, *, total: int | None = None) -> str:
    """Check that undamaged examples are all there, unchanged, and that nothing is lost without being listed."""
    missing = [row for row in expected if row not in rows]
    if missing:
        listed = [f"{example.example_id}: {example.reason}" for example in source.invalid]
        raise Failed(
            f"{what}: {len(missing)} undamaged examples are missing, first {missing[0]!r:.200}; {listed[:4]!r}"
        )
    if total is not None and len(source) + len(source.invalid) < total:
        raise Failed(f"{what}: of {total} examples, {len(source)} are used and {len(source.invalid)} listed")
    return "left out" if source.invalid else "used"


def csv_table(generator: Generator, place: Place) -> str:
    """Damage one line of a CSV file."""
    count, delimiter = int(generator.integers(4, 20)), ",;\t|"[int(generator.integers(4))]
    rows = [(_text(generator), _LABELS[int(generator.integers(3))]) for _ in range(count)]
    lines = [_csv_line(row, delimiter) for row in [("text", "label"), *rows]]
    hurt = int(generator.integers(1, count + 1))
    lines[hurt] = _hurt(lines[hurt], generator)
    path = place.folder / ("table.tsv" if delimiter == "\t" else "table.csv")
    end = b"\r\n" if generator.random() < 0.3 else b"\n"
    path.write_bytes(end.join(lines) + end)
    source = from_csv(path, input="text", label="label", modality="text")
    kept = [row for number, row in enumerate(rows, 1) if number != hurt]
    return _check_kept(kept, _rows(source), source, f"line {hurt + 1} is {lines[hurt]!r:.300}", total=len(kept))


def _csv_line(row: tuple[str, str], delimiter: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="").writerow(row)
    return text.getvalue().encode()


def jsonl_table(generator: Generator, place: Place) -> str:
    """Damage one line of a file of JSON objects: its bytes, or its values."""
    count = int(generator.integers(4, 20))
    rows = [(_text(generator), _LABELS[int(generator.integers(3))]) for _ in range(count)]
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=False).encode() for text, label in rows]
    hurt = int(generator.integers(count))
    if generator.random() < 0.3:
        value = _strange(generator)
        key = "text" if generator.random() < 0.5 else "label"
        lines[hurt] = json.dumps({"text": "a", "label": "good", key: value}).encode()
    else:
        lines[hurt] = _hurt(lines[hurt], generator)
    path = place.folder / "table.jsonl"
    path.write_bytes(b"\n".join(lines))
    source = from_jsonl(path, input="text", label="label", modality="text")
    kept = [row for number, row in enumerate(rows) if number != hurt]
    return _check_kept(kept, _rows(source), source, f"line {hurt + 1} is {lines[hurt]!r:.300}", total=len(kept))


def _strange(generator: Generator) -> Any:
    """Return a JSON value that is not expected."""
    values: tuple[Any, ...] = (
        None, True, -1, 1e308, 10**400, "", " ", "\ud800", "\x00", "\x1b]0;x\x07", [], {}, [[]], [None], {"a": {}},
        [[0, 4, "x"]], "9" * 5000, "x" * 100_000, float("nan"), float("inf"), "<b>", "~nobody/x", {"text": 1},
    )  # fmt: skip
    return values[int(generator.integers(len(values)))]


def conll(generator: Generator, place: Place) -> str:
    """Damage one sentence of a CoNLL file."""
    count = int(generator.integers(3, 12))
    sentences = [_tagged(generator) for _ in range(count)]
    blocks = ["\n".join(f"{word}\t{tag}" for word, tag in sentence).encode() for sentence in sentences]
    hurt = int(generator.integers(count))
    blocks[hurt] = _hurt(blocks[hurt], generator)
    path = place.folder / "sentences.conll"
    path.write_bytes(b"\n\n".join(blocks) + b"\n")
    source = from_conll(path)
    rows = [(_plain(source.examples[row]), tuple(source.targets[row])) for row in range(len(source))]
    for words, _ in rows:
        _encodable(words)
    kept = [sentence for number, sentence in enumerate(sentences) if number != hurt]
    alone = place.folder / "kept.conll"
    alone.write_text("\n\n".join("\n".join(f"{word}\t{tag}" for word, tag in sentence) for sentence in kept))
    reference = from_conll(alone)
    expected = [(_plain(reference.examples[row]), tuple(reference.targets[row])) for row in range(len(reference))]
    return _check_kept(expected, rows, source, f"sentence {hurt} is {blocks[hurt]!r:.300}")


def _tagged(generator: Generator) -> list[tuple[str, str]]:
    words = [(word, "O") for word in _text(generator).split()]
    return [("New", "B-city"), ("York", "I-city"), *words] if generator.random() < 0.7 else [("in", "O"), *words]


def squad(generator: Generator, place: Place) -> str:
    """Damage the bytes of a SQuAD file, or one question or paragraph in it."""
    paragraphs = [_paragraph(number, generator) for number in range(int(generator.integers(2, 6)))]
    content: Any = {"version": "1.1", "data": [{"title": "t", "paragraphs": copy.deepcopy(paragraphs)}]}
    path = place.folder / "questions.json"
    if generator.random() < 0.3:
        path.write_bytes(_hurt(json.dumps(content).encode(), generator))
        source = from_squad(path)
        rows = _questions(source)
        return "used" if rows else "left out"
    hurt = int(generator.integers(len(paragraphs)))
    _change(content["data"][0]["paragraphs"][hurt], generator)
    path.write_text(json.dumps(content))
    source = from_squad(path)
    kept = [paragraph for number, paragraph in enumerate(paragraphs) if number != hurt]
    alone = place.folder / "kept.json"
    alone.write_text(json.dumps({"data": [{"paragraphs": kept}]}))
    changed = json.dumps(content["data"][0]["paragraphs"][hurt])
    return _check_kept(_questions(from_squad(alone)), _questions(source), source, f"paragraph {hurt}: {changed:.300}")


def _questions(source: Source) -> list[Any]:
    source, _ = named_modality(source.modality).validate(source)
    rows = []
    for row in range(len(source)):
        pair = _plain(source.examples[row])
        _encodable(pair)
        spans = tuple(source.targets[row])
        for span in spans:
            if not 0 <= span.start < span.end <= len(pair[1]):
                raise Failed(f"{span} is outside of its context of {len(pair[1])} characters")
        rows.append((pair, spans))
    return rows


def _paragraph(number: int, generator: Generator) -> dict[str, Any]:
    context = f"{_text(generator)} the answer{number} is {_text(generator)}"
    answer = {"text": f"answer{number}", "answer_start": context.index("answer")}
    questions = [{"question": f"What {part}?", "id": f"q{number}.{part}", "answers": [answer]} for part in range(2)]
    return {"context": context, "qas": questions}


def _change(value: Any, generator: Generator) -> None:
    """Replace, remove or add one value somewhere inside of dicts and lists."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = keys[int(generator.integers(len(keys)))]
        inner = value[key]
        if isinstance(inner, dict | list) and inner and generator.random() < 0.8:
            value = inner
            continue
        if generator.random() < 0.25:
            del value[key]
        else:
            value[key] = _strange(generator)
        return
