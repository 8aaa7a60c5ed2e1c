"""A picture that a command is given: a path, or - for standard input."""

from __future__ import annotations

import sys

from ..terminal import is_terminal


def picture_of(name: str):
    """The path, or the stream that is meant."""
    if name != "-":
        return name
    if sys.stdin is None or is_terminal(sys.stdin):
        raise ValueError("standard input is no picture: try `< photo.jpg`")
    return sys.stdin.buffer
