"""The terminal: what may go to it, a bar that grows on it, and a pipe that breaks.

What a model says, and the names in an error, come from outside. On a terminal their
control characters could move the cursor, change the title or hide a line; so they are
written out instead.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys

PROGRESS_WIDTH = 20

# Characters that move a terminal's cursor, or turn the direction of its text.
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def complain(message):
    """One line on standard error, whatever is in the message."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):  # there is nobody left to tell
            print(printable(message), file=sys.stderr)


def show_line(line):
    """A line on standard error that replaces the last one on a terminal, and follows it
    elsewhere."""
    if not is_terminal(sys.stderr):
        complain(line)
        return
    width = shutil.get_terminal_size().columns - 1
    _draw(f"\r{fitting(printable(line), width):<{width}}")


def _draw(text):
    with contextlib.suppress(OSError):  # nobody looks
        print(text, end="", file=sys.stderr, flush=True)


def fitting(line, width):
    """As many of the parts of a line, two spaces between them, as fit, none cut.

    >>> fitting("step 12  loss 3.456  9 s left", 20)
    'step 12  loss 3.456'
    """
    while len(line) > width and "  " in line:
        line = line[: line.rindex("  ")].rstrip()
    return line[:width]


def end_line():
    """Leave the line of `show_line` on the terminal."""
    if is_terminal(sys.stderr):
        _draw("\n")


def printable(text):
    r"""The text in one line, with what does not print as Python writes it.

    >>> print(printable("a\nb\x1b[1m"))
    a\nb\x1b[1m
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def escaped(text):
    """The text with its control characters as `\\u001b`, as JSON would have them."""
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def settle_output():
    """Leave nothing for Python to write at its end: the pipe may be broken."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        try:
            sys.stdout.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def for_terminal(text):
    """What a model says cannot steer a terminal; to a file it goes as it is."""
    if not is_terminal(sys.stdout):
        return text
    return "".join(c if c in "\n\t" else escaped(c) for c in text)


def is_terminal(stream):
    return stream is not None and stream.isatty()


class Progress:
    """A bar on standard error that grows while the picture is encoded.

    On a terminal it stays in one line and goes when it is full; elsewhere each step
    is a line.
    """

    def __init__(self):
        self.shown, self.line = -1, ""

    def __call__(self, done, blocks):
        filled = PROGRESS_WIDTH * done // blocks
        if filled == self.shown or sys.stderr is None:
            return
        self.shown = filled
        bar = "#" * filled + "." * (PROGRESS_WIDTH - filled)
        line = f"looking at the picture [{bar}]"
        if not is_terminal(sys.stderr):
            complain(line)
        elif done < blocks:
            self.line = line
            _draw("\r" + line)
        else:
            self.clear()

    def clear(self):
        """Take the bar from the terminal, finished or not."""
        if self.line:
            blank = " " * len(self.line)
            _draw(f"\r{blank}\r")
            self.line = ""
