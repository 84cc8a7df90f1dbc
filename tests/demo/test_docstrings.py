"""The docstring data set is balanced, free of code, and grouped by file."""

import ast

import numpy as np

from tltk.demo.docstrings import TOPICS, _prose, _with_docstrings, docstrings


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


def test_a_second_call_returns_the_same_texts(monkeypatch):
    monkeypatch.setattr("tltk.demo.docstrings.TOPICS", {"templates": ("jinja2",), "terminal": ("rich", "typer")})
    source, groups = docstrings(max_per_topic=20)
    again, again_groups = docstrings(max_per_topic=20)
    assert again.examples.tolist() == source.examples.tolist()
    assert again_groups.tolist() == groups.tolist()


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


def test_docstrings_are_found_wherever_a_definition_can_stand():
    module = ast.parse(
        """
'''module'''
class A:
    '''A'''
    def method(self):
        '''A.method'''
        def inner():
            '''A.method.inner'''
try:
    pass
except OSError:
    def in_handler():
        '''in_handler'''
else:
    async def in_else():
        '''in_else'''
match 1:
    case 1:
        with open("x"):
            class InCase:
                '''InCase'''
"""
    )
    definitions = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    expected = [ast.get_docstring(node) for node in ast.walk(module) if isinstance(node, definitions)]
    assert [ast.get_docstring(node) for node in _with_docstrings(module)] == expected
    assert len(expected) == 7
