"""The collection of invalid examples: each once, in order, from any thread."""

from concurrent.futures import ThreadPoolExecutor

from tltk.data.invalid import Invalid, by_reason, listing
from tltk.specs import InvalidExample


def test_an_example_is_kept_once_with_its_first_reason():
    invalid = Invalid([InvalidExample("a.png", "0 bytes")])
    invalid.add("b.png", "truncated")
    invalid.extend([InvalidExample("a.png", "truncated"), InvalidExample("c.png", "not an image")])
    assert list(invalid) == [
        InvalidExample("a.png", "0 bytes"),
        InvalidExample("b.png", "truncated"),
        InvalidExample("c.png", "not an image"),
    ]
    assert len(invalid) == 3


def test_a_listing_ends_with_the_number_of_omitted_examples():
    invalid = Invalid(InvalidExample(f"{number}.png", "0 bytes") for number in range(5))
    assert invalid.listing(limit=2) == listing(invalid, limit=2)
    assert invalid.listing(limit=2).startswith("0.png (0 bytes), 1.png (0 bytes)") and "3" in invalid.listing(limit=2)
    assert Invalid().listing() == ""


def test_threads_can_add_while_others_iterate():
    invalid = Invalid()
    with ThreadPoolExecutor(8) as pool:
        lengths = list(pool.map(lambda n: (invalid.add(str(n % 50), "x"), len(list(invalid)))[1], range(2000)))
    assert len(invalid) == 50 and max(lengths) <= 50


def test_reasons_beyond_the_limit_are_counted():
    examples = [InvalidExample(str(number), f"reason {number % 12}") for number in range(24)]
    lines = by_reason(examples, limit=3)
    assert lines[0] == "2: reason 0 (0; 12)"
    assert lines[3:] == ["18: other reasons"]
