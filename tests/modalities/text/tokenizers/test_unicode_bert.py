import unicodedata

from tltk.modalities.text.tokenizers import unicode_bert


def held(ranges):
    return {point for each in ranges for point in each}


def test_classes_of_characters_do_not_depend_on_the_version_of_python():
    assert 0x0301 in held(unicode_bert.MARKS)
    assert 0x0898 not in held(unicode_bert.MARKS), "a mark of Unicode 14"
    assert held(unicode_bert.PUNCTUATION) >= set(map(ord, "!$+<^`|~、。"))
    assert 0x2E5D not in held(unicode_bert.PUNCTUATION), "a dash of Unicode 14"


def test_what_was_assigned_by_unicode_8_is_in_the_class_of_python_s_tables():
    for ranges, categories in (
        (unicode_bert.MARKS, ("Mn",)),
        (unicode_bert.PUNCTUATION, ("Pc", "Pd", "Po", "Ps", "Pe")),
    ):
        same = [unicodedata.category(chr(point)) in categories for point in held(ranges) if point > 127]
        assert sum(same) > 0.9 * len(same)
    assert {unicodedata.category(chr(point)) for point in held(unicode_bert.CONTROLS)} <= {"Cc", "Cf", "Co", "So", "Cn"}


def test_the_classes_do_not_overlap():
    assert not held(unicode_bert.MARKS) & held(unicode_bert.PUNCTUATION)
    assert not held(unicode_bert.CONTROLS) & (held(unicode_bert.MARKS) | held(unicode_bert.PUNCTUATION))
