"""What is said when a tokenizer or a text is not what it should be."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ..terminal import printable


class TokenizerError(ValueError):
    """A tokenizer, template or text that cannot be used, and what to do about it."""


class NoRoomError(ValueError):
    """Fewer tokens are asked for than there have to be.

    >>> print(NoRoomError("learn", 9, "256 bytes and 2 markers", 258))
    learn: vocabulary_size is 9, but 256 bytes and 2 markers are 258 tokens already
    """

    def __init__(self, function: str, asked: int, parts: str, least: int):
        super().__init__(function, asked, parts, least)
        self.parts, self.least = parts, least

    def __str__(self) -> str:
        function, asked, parts, least = self.args
        return (
            f"{function}: vocabulary_size is {asked}, but {parts} are {least} tokens "
            "already"
        )


@contextlib.contextmanager
def one_error(what: object) -> Iterator[None]:
    """Whatever the library makes of bad files becomes a TokenizerError.

    It raises a bare `Exception`, or a panic. What Python raises by itself is a mistake
    of ours, and no fault of the file.
    """
    try:
        yield
    except (TokenizerError, KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except (AttributeError, TypeError, NameError, LookupError):
        raise
    except BaseException as problem:  # a panic of the library is no Exception
        reason = printable(str(problem))  # it may quote the file
        raise TokenizerError(f"{what} is not a valid tokenizer: {reason}") from None


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
