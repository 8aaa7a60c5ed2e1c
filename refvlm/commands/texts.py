"""A text that a command reads: a file in UTF-8, or standard input."""

from __future__ import annotations

import sys

from ..terminal import is_terminal

LONGEST_TEXT = 64 << 20  # bytes


def text_of(name: str) -> str:
    """The text of a file, or of standard input where the name is `-`."""
    if name == "-":
        if sys.stdin is None or is_terminal(sys.stdin):
            raise ValueError("standard input is no text: try `< text.txt`")
        data, name = sys.stdin.buffer.read(LONGEST_TEXT + 1), "standard input"
    else:
        with open(name, "rb") as file:
            data = file.read(LONGEST_TEXT + 1)
    if len(data) > LONGEST_TEXT:
        raise ValueError(
            f"{name} has more than {LONGEST_TEXT >> 20} MiB of text: give a part of it"
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise ValueError(
            f"{name} is not a text in UTF-8: byte {problem.start} is not of one"
        ) from None
