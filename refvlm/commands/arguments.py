"""What a command takes, checked before anything is done."""

from __future__ import annotations

import argparse
import math
import re


def whole(text: str) -> int:
    """A whole number, 0 or more."""
    return _at_least(0, text)


def positive(text: str) -> int:
    """A whole number, 1 or more."""
    return _at_least(1, text)


def _at_least(least, text):
    if not re.fullmatch("[0-9]{1,18}", text) or int(text) < least:
        raise argparse.ArgumentTypeError(
            f"a whole number from {least} up, of at most 18 digits, not {text!r:.40}"
        )
    return int(text)


def beams(text: str) -> int:
    """A whole number of beams; each has a cache of its own."""
    from ..generate.settings import MOST

    if positive(text) > MOST:
        raise argparse.ArgumentTypeError(f"at most {MOST}, not {text!r:.40}")
    return int(text)


def temperature(text: str) -> float:
    """A number above 0."""
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(
            f"a number above 0, not {text!r:.40}"
            + ("; for the likeliest words, --num-beams 1" if number == 0 else "")
        )
    return number


def bits(text: str) -> float:
    """A number of bits, from 1 to 32."""
    number = _number(text)
    if not 1 <= number <= 32:
        raise argparse.ArgumentTypeError(f"a number from 1 to 32, not {text!r:.40}")
    return number


def fraction(text: str) -> float:
    """A number above 0, at most 1."""
    number = _number(text)
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(
            f"a number above 0, at most 1, not {text!r:.40}"
        )
    return number


def _number(text):
    try:
        return float(text)
    except ValueError:
        return math.nan


def no_more(text: str) -> str:
    """Where a shell makes several names of one, the second is refused."""
    raise argparse.ArgumentTypeError(f"one picture at a time, not {text!r:.200} too")


def words(text: str) -> str:
    """A text that says something."""
    if not text.strip():
        raise argparse.ArgumentTypeError("a text with words in it, not an empty one")
    return text
