import unicodedata

from tokenizers import pre_tokenizers

from tltk.modalities.text.tokenizers import unicode_classes

CLASSES = {"L": unicode_classes.LETTERS, "N": unicode_classes.NUMBERS, "S": unicode_classes.SPACES}
CLASS = {point: kind for kind, ranges in CLASSES.items() for each in ranges for point in each}


CHUNK = 20_000


def reference_classes(points):
    """Tell the classes of characters by what the pattern of Hugging Face leaves them in one word with.

    Each character stands behind "a", "1" or "!" in one long text: it is of the same class if no word ends between them.
    """
    classes = dict.fromkeys(points, "S")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for kind, before in (("L", "a"), ("N", "1"), (None, "!")):
        for start in range(0, len(points), CHUNK):
            chunk = points[start : start + CHUNK]
            words = byte_level.pre_tokenize_str("".join(before + chr(point) for point in chunk))
            word_starts = {offsets[0] for _, offsets in words}
            classes |= {point: kind for row, point in enumerate(chunk) if 2 * row + 1 not in word_starts}
    return classes


def test_classes_are_hugging_face_s_for_every_character():
    points = [point for point in range(0x110000) if not 0xD800 <= point <= 0xDFFF]
    reference = reference_classes(points)
    assert [point for point in points if reference[point] != CLASS.get(point)] == []
    assert len({*reference.values()}) == 4


def test_python_s_tables_say_the_same_of_what_they_know():
    kinds = {point: unicodedata.category(chr(point))[0] for point in range(0x110000)}
    assigned = [point for point, kind in kinds.items() if kind != "C"]
    assert [point for point in assigned if (kinds[point] in "LN") != (CLASS.get(point) in ("L", "N"))] == []
    assert all(chr(point).isspace() for each in unicode_classes.SPACES for point in each)


def test_the_classes_do_not_overlap():
    assert len(CLASS) == sum(len(each) for ranges in CLASSES.values() for each in ranges)
