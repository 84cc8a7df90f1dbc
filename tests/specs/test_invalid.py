from tltk.specs import InvalidExample


def test_an_invalid_example_has_an_id_and_a_reason():
    assert InvalidExample("a.jpg", "0 bytes") == InvalidExample(example_id="a.jpg", reason="0 bytes")
