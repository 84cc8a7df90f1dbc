import io
import sys
import types

import pytest

from tltk.foundation import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_no_bar_is_shown_if_standard_error_is_not_a_terminal(capsys):
    with progress.bar("reading", 3) as advance:
        advance()
    assert capsys.readouterr().err == ""


def test_a_bar_is_shown_on_a_terminal_after_two_seconds(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress.bar("reading", 3) as advance:
        advance()
    assert terminal.getvalue() == ""
    monkeypatch.setattr(progress, "_SHOW_AFTER", -1.0)
    with progress.bar("reading", 3) as advance:
        advance(note="nearly")
    assert "reading" in terminal.getvalue()
    assert "1/3" in terminal.getvalue()


def test_nothing_is_shown_with_verbose_0(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "_SHOW_AFTER", -1.0)
    with progress.verbosity(0), progress.bar("reading", 3) as advance:
        advance()
        progress.line("epoch 1")
    assert terminal.getvalue() == ""


@pytest.mark.parametrize(("verbose", "is_terminal", "shows_line", "shows_bar"), [
    ("auto", True, False, True), (1, True, False, True), ("auto", False, True, False), (2, True, True, False),
])  # fmt: skip
def test_lines_are_shown_where_no_bar_is(monkeypatch, verbose, is_terminal, shows_line, shows_bar):
    stream = Terminal() if is_terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "_SHOW_AFTER", -1.0)
    with progress.verbosity(verbose), progress.bar("reading", 3) as advance:
        advance()
        progress.line("epoch 1")
    assert ("epoch 1\n" in stream.getvalue()) == shows_line
    assert ("reading" in stream.getvalue()) == shows_bar


def test_a_line_is_logged_if_the_logger_shows_it(capsys, caplog):
    with caplog.at_level("INFO", logger="tltk"):
        progress.line("epoch 1")
    assert "epoch 1" in caplog.text
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("has_widgets", [True, False])
def test_a_notebook_shows_bars_with_ipywidgets_since_rich_warns_without(monkeypatch, has_widgets):
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(progress, "find_spec", lambda name: has_widgets or None)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress.bar("reading", 3):
        progress.line("epoch 1")
    assert sys.stderr.getvalue() == ("" if has_widgets else "epoch 1\n")


def test_an_unknown_verbosity_is_refused():
    with (
        pytest.raises(ValueError, match=r"`verbose` must be 'auto', 0, 1 or 2. Received: 'loud'"),
        progress.verbosity("loud"),
    ):
        pass


@pytest.mark.parametrize(("verbose", "level"), [(0, 0), (1, 1), ("auto", 1), (2, 2)])
def test_the_level_is_the_one_of_keras(verbose, level):
    with progress.verbosity(verbose):
        assert progress.level() == level
