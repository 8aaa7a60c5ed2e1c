"""What a template computes with: its own words, the asker's, and what is not there.

Who said a word decides what it may do: `<image>` in a template is a place for a
picture, in a question it is seven characters. So the asker's words stay apart from the
template's, however they are joined.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import TokenizerError

LONGEST = 1 << 20  # characters of a prompt; a template can double a text in each line


class TemplateError(TokenizerError):
    """A template that is not understood, or that asks for what is not there."""


class ListError(TemplateError):
    """A template that takes a message's content for a text, where it is a list."""


class Words(NamedTuple):
    """A stretch of a text, and whether the asker said it."""

    text: str
    asked: bool


class Said(tuple[Words, ...]):
    """A text in which each stretch knows who said it."""

    __slots__ = ()

    def __str__(self) -> str:
        return "".join(words.text for words in self)

    def stripped(self, left: bool = True, right: bool = True) -> Said:
        """Without white space at its ends, wherever one stretch ends."""
        words = list(self)
        while left and words and not words[0].text.strip():
            del words[0]
        while right and words and not words[-1].text.strip():
            del words[-1]
        if left and words:
            words[0] = words[0]._replace(text=words[0].text.lstrip())
        if right and words:
            words[-1] = words[-1]._replace(text=words[-1].text.rstrip())
        return Said(words)


class Missing(NamedTuple):
    """What a template asks for, where nothing is: false, and equal to no value."""

    name: str

    def __bool__(self) -> bool:
        return False


class Loop(NamedTuple):
    """Where a loop stands: what templates call `loop`."""

    index0: int
    length: int

    def attribute(self, name: str) -> Any:
        """`loop.first` and the like; None where it is not one that is known here."""
        known = {
            "index0": self.index0,
            "index": self.index0 + 1,
            "first": self.index0 == 0,
            "last": self.index0 == self.length - 1,
            "length": self.length,
        }
        return known.get(name)


def said(value: Any) -> Said:
    """A value as a text: what printing it, or joining it, makes of it."""
    if isinstance(value, Said):
        return value
    if isinstance(value, str):
        return Said([Words(value, False)] if value else [])
    if isinstance(value, int) and not isinstance(value, bool):
        return Said([Words(str(value), False)])
    if isinstance(value, Missing):
        raise TemplateError(f"asks for {value.name}, which is not there")
    if isinstance(value, (list, dict)):
        raise ListError("takes a list for a text")
    raise TemplateError(f"prints {value!r:.60}, which is no text")


def joined(first: Any, second: Any) -> str | Said:
    """One text behind the other; it is a plain one where the asker said none of it."""
    if isinstance(first, str) and isinstance(second, str):
        both: str | Said = first + second
        length = len(both)
    else:
        both = Said([*said(first), *said(second)])
        length = len(str(both))
    check_length(length)
    return both


def check_length(characters: int) -> None:
    """Refuse a text that grows beyond any prompt."""
    if characters > LONGEST:
        raise TemplateError(f"makes a text of more than {LONGEST:,} characters")
