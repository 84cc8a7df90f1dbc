import unicodedata

import pytest
from tokenizers import pre_tokenizers

from tltk.modalities.text.tokenizers import unicode_classes

CLASSES = {"L": unicode_classes.LETTERS, "N": unicode_classes.NUMBERS, "S": unicode_classes.SPACES}
CLASS = {point: kind for kind, ranges in CLASSES.items() for each in ranges for point in each}


def cut_apart(point):
    """The class of a character by what Hugging Face's pattern leaves it in one word with."""
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alike = [kind for kind, before in (("L", "a"), ("N", "1"), (None, "!"))
             if len(cut.pre_tokenize_str(before + chr(point))) == 1]  # fmt: skip
    return alike[0] if alike else "S"


def test_classes_are_hugging_face_s_on_both_sides_of_every_edge():
    edges = {point for ranges in CLASSES.values() for each in ranges for point in (each.start, each.stop)}
    near = {point + step for point in edges for step in (-1, 0)}
    assert [point for point in sorted(near) if cut_apart(point) != CLASS.get(point)] == []


@pytest.mark.slow
def test_classes_are_hugging_face_s_for_every_character():
    other = [
        point for point in range(0x110000) if not 0xD800 <= point <= 0xDFFF and cut_apart(point) != CLASS.get(point)
    ]
    assert other == []


def test_python_s_tables_say_the_same_of_what_they_know():
    kinds = {point: unicodedata.category(chr(point))[0] for point in range(0x110000)}
    assigned = [point for point, kind in kinds.items() if kind != "C"]
    assert [point for point in assigned if (kinds[point] in "LN") != (CLASS.get(point) in ("L", "N"))] == []
    assert all(chr(point).isspace() for each in unicode_classes.SPACES for point in each)


def test_the_classes_do_not_overlap():
    assert len(CLASS) == sum(len(each) for ranges in CLASSES.values() for each in ranges)
