from tltk.specs import InvalidExample


def test_an_invalid_example_says_which_and_why():
    assert InvalidExample("a.jpg", "0 bytes") == InvalidExample(example_id="a.jpg", reason="0 bytes")
