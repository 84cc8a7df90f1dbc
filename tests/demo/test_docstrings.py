import numpy as np

from tltk.demo import docstrings as module
from tltk.demo.docstrings import TOPICS, docstrings


def test_topics_are_even_texts_are_prose_and_files_are_groups():
    source, groups = docstrings(most=20)
    assert source.labels.names == tuple(TOPICS)
    assert set(source.counts().values()) == {20}
    assert len(groups) == len(source)
    assert len(set(source.examples)) == len(source)
    assert all(
        len(text.split()) >= 4 and ">>>" not in text and "Parameters ---" not in text for text in source.examples
    )
    assert len(np.unique(groups)) > 100
    again, _ = docstrings(most=20)
    assert again.examples.tolist() == source.examples.tolist()


def test_of_a_docstring_the_first_two_paragraphs_are_left():
    text = """Do it.

    More of it,
    over two lines.

    And more.

    Parameters
    ----------
    x : int
    """
    assert module._prose(text) == "Do it. More of it, over two lines."
    assert module._prose("Do it.\n\nArgs:\n    x: a number") == "Do it."
    assert module._prose("Do it.\n\n>>> do()\n1") == "Do it."
