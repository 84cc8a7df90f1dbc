from tltk.specs import Span


def test_comparing_spans_ignores_the_probability():
    assert Span(3, 8, "city", 0.5) == Span(3, 8, "city") != Span(3, 8, "name")
    assert len({Span(3, 8, "city", 0.5), Span(3, 8, "city")}) == 1
