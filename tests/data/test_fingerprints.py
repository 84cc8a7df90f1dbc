"""Fingerprints of examples do not depend on their names."""

import numpy as np

import tltk
from tests.images import solid_png
from tltk.data.fingerprints import fingerprints


def test_a_copy_of_a_file_has_the_same_fingerprint(tmp_path):
    for name, colour in (("a/1.png", (9, 9, 9)), ("b/copy.png", (9, 9, 9)), ("b/2.png", (8, 9, 9))):
        solid_png(tmp_path / name, colour)
    source = tltk.from_folder(tmp_path)
    prints = dict(zip(source.ids, fingerprints(source), strict=True))
    assert prints["a/1.png"] == prints["b/copy.png"] != prints["b/2.png"]
    (tmp_path / "a" / "1.png").unlink()
    assert fingerprints(source)[0] == ""


def test_files_that_begin_alike_differ_by_their_size(tmp_path):
    head = bytes(70_000)
    for name, content in (("a/1.png", head), ("b/2.png", head + b"x")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(content)
    first, second = fingerprints(tltk.from_folder(tmp_path))
    assert first != second


def test_texts_pairs_words_and_arrays_have_fingerprints():
    pairs = fingerprints(tltk.from_arrays([("a", "b"), ("a b", ""), ("a", "b")]))
    assert pairs[0] == pairs[2] != pairs[1]
    pixels = np.stack([np.zeros((4, 4, 3), "uint8"), np.ones((4, 4, 3), "uint8"), np.zeros((4, 4, 3), "uint8")])
    first, other, copy = fingerprints(tltk.from_arrays(pixels))
    assert first == copy != other
