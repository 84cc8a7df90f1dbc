import io
import sys

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
