"""The spec of refvlm/terminal.py: what may go to a terminal."""

import hypothesis
import pytest
from hypothesis import strategies as st

from refvlm import terminal

from .spec import contract, example, law


class Screen:
    """A stream that says that it is a terminal, and keeps what it is shown."""

    def __init__(self):
        self.shown = ""

    def isatty(self):
        return True

    def write(self, text):
        self.shown += text

    def flush(self):
        pass


@example
def test_printable_writes_out_what_does_not_print():
    """A line end, an escape and half a surrogate pair, as Python has them."""
    assert terminal.printable("é\n\x1b[2J\udce9") == "é\\n\\x1b[2J\\udce9"


@example
def test_escaped_leaves_words_alone():
    """What steers a terminal is written as JSON does; an emoji's joiner is not."""
    assert terminal.escaped("a\x9b\u202eb") == "a\\u009b\\u202eb"
    assert terminal.escaped("né 👩‍🔬") == "né 👩‍🔬"


@law
@hypothesis.given(st.text())
def test_printable_is_one_line_that_prints(text):
    """Whatever comes in, one line comes out, and plain text stays what it is."""
    assert terminal.printable(text).isprintable()
    if text.isprintable():
        assert terminal.printable(text) == text


@law
def test_progress_leaves_no_trace_on_a_terminal(monkeypatch):
    """The bar stays in one line and is wiped out, at its end or when it is cleared."""
    for steps in (3, 2):
        screen = Screen()
        monkeypatch.setattr("sys.stderr", screen)
        progress = terminal.Progress()
        for done in range(1, steps + 1):
            progress(done, 3)
        progress.clear()
        lines = screen.shown.split("\r")
        assert "\n" not in screen.shown and lines[-1] == ""
        assert lines[-2] == " " * len(lines[-3]) and "[######" in lines[-3]


@law
def test_for_terminal_guards_terminals_only(monkeypatch, capsys):
    """A model that says an escape sequence cannot use it; a file gets every byte."""
    assert terminal.for_terminal("\x1b[1mhi\n") == "\x1b[1mhi\n"
    monkeypatch.setattr("sys.stdout", Screen())
    assert terminal.for_terminal("\x1b[1mhi\n\té") == "\\u001b[1mhi\n\té"


class Full(Screen):
    """A stream that takes no more: its disk is full, or its reader gone."""

    def write(self, text):
        raise OSError("no space left")


class FullFile(Full):
    """The same, and no terminal."""

    def isatty(self):
        return False


@contract
@pytest.mark.parametrize("stream", [None, Full(), FullFile()])
def test_nobody_need_listen(monkeypatch, stream):
    """Where nobody can be told, nothing breaks: the answer is worth more."""
    monkeypatch.setattr("sys.stderr", stream)
    assert terminal.complain("nobody hears this") is None
    assert terminal.show_line("nor this") is None
    assert terminal.end_line() is None
    progress = terminal.Progress()
    for done in (1, 2, 3):
        progress(done, 3)
    progress.clear()


@law
def test_show_line_leaves_out_whole_parts(monkeypatch):
    """On 80 columns nothing is cut in the middle: half a number would be another."""
    monkeypatch.setenv("COLUMNS", "80")
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    parts = [f"number {i} 0.123456" for i in range(6)]
    terminal.show_line("  ".join(parts))
    assert screen.shown[0] == "\r" and len(screen.shown) == 80
    assert screen.shown[1:].rstrip() == "  ".join(parts[:4])


@example
def test_fitting_cuts_what_has_no_parts():
    """One part that is too long is cut."""
    assert terminal.fitting("abcdef", 4) == "abcd"
    assert terminal.fitting("ab  cdef", 8) == "ab  cdef"
