"""What is said when a tokenizer or a text is not what it should be."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ..terminal import printable


class TokenizerError(ValueError):
    """A tokenizer, template or text that cannot be used, and what to do about it."""


@contextlib.contextmanager
def one_error(what: object) -> Iterator[None]:
    """Whatever the library makes of bad files becomes a TokenizerError."""
    try:
        yield
    except (TokenizerError, KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as problem:  # a panic of the library is no Exception
        reason = printable(_reason(problem))  # it may quote the file
        raise TokenizerError(f"{what} is not a valid tokenizer: {reason}") from None


def _reason(problem: BaseException) -> str:
    """What the library says, or in words what Python means by a few."""
    said = str(problem)[:500]
    if isinstance(problem, KeyError):
        return f"it has no {said}, where the format wants one: download it again"
    if isinstance(problem, (TypeError, ValueError, AttributeError, LookupError)):
        kind = type(problem).__name__
        return (
            "a part of it is of another kind than the format says, by which Python "
            f"means {kind}: {said}. Download it again"
        )
    return said


def valid_text(text: str) -> str:
    """The text, if it is one: a `str` without halves of surrogate pairs."""
    if not isinstance(text, str):
        raise TokenizerError(f"a text is a str, not {type(text).__name__}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as problem:
        raise TokenizerError(
            f"the text is not valid Unicode: character {problem.start} is half of "
            "a surrogate pair, as bytes that are not UTF-8 become on a command line"
        ) from None
    return text
