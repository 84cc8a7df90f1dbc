"""The docstring data set is balanced, free of code, and grouped by file."""

import numpy as np

from tltk.demo.docstrings import TOPICS, _prose, docstrings


def test_topics_are_balanced_texts_are_prose_and_groups_are_files():
    source, groups = docstrings(max_per_topic=20)
    assert source.labels.names == tuple(TOPICS)
    assert set(source.counts().values()) == {20}
    assert len(groups) == len(source)
    assert len(set(source.examples)) == len(source)
    assert all(
        len(text.split()) >= 4 and ">>>" not in text and "Parameters ---" not in text for text in source.examples
    )
    assert len(np.unique(groups)) > 100
    again, _ = docstrings(max_per_topic=20)
    assert again.examples.tolist() == source.examples.tolist()


def test_prose_is_the_first_two_paragraphs_before_a_section():
    text = """Do it.

    More of it,
    over two lines.

    And more.

    Parameters
    ----------
    x : int
    """
    assert _prose(text) == "Do it. More of it, over two lines."
    assert _prose("Do it.\n\nArgs:\n    x: a number") == "Do it."
    assert _prose("Do it.\n\n>>> do()\n1") == "Do it."
