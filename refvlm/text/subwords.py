"""A kind of tokenizer: the face that all of them share, whatever cuts their words."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from .description import Document
from .errors import TokenizerError, valid_text


class Subwords(ABC):
    """A vocabulary (token -> id) with the markers in it: text to tokens and back.

    A kind says what the tokens of a plain text are, what text tokens stand for, and how
    both are written in a `tokenizer.json` and read from one. `is_byte_level` says that
    its tokens spell bytes, so that one may end in the middle of a character.
    """

    is_byte_level = False
    normalizes_markers = False  # whether it finds markers in the normal form of a text

    def __init__(self, vocabulary: Mapping[str, int], markers: Sequence[str] = ()):
        self.vocabulary, self.markers = dict(vocabulary), tuple(markers)
        self.token_of = {number: token for token, number in self.vocabulary.items()}
        self._marker = any_of(self.markers)

    def __len__(self) -> int:
        return len(self.vocabulary)

    @abstractmethod
    def tokens(self, text: str) -> list[str]:
        """The tokens of plain text, as the vocabulary spells them."""

    @abstractmethod
    def text_of(self, tokens: Sequence[str]) -> str:
        """The text that tokens stand for, markers among them."""

    @abstractmethod
    def describe(self) -> Document:
        """The object in its `tokenizer.json`."""

    @classmethod
    @abstractmethod
    def claims(cls, document: Mapping[str, Any]) -> bool:
        """Whether a `tokenizer.json` is of this kind, by a glance at it."""

    @classmethod
    @abstractmethod
    def from_document(
        cls, document: Mapping[str, Any], markers: Mapping[str, int], origin: str
    ) -> Self:
        """What a `tokenizer.json` of this kind describes; what is not done is refused.

        `markers` are those of the file, with their ids, and `origin` names the file.
        """

    def encode(self, text: str, markers: bool = True) -> list[int]:
        """Token ids. With `markers=False`, no text whatever becomes a marker."""
        ids = []
        for number, piece in enumerate(self.pieces(text) if markers else [text]):
            tokens = [piece] if number % 2 else self.tokens(piece)
            ids += [self.vocabulary[token] for token in tokens]
        return ids

    def pieces(self, text: str) -> list[str]:
        """Text, marker, text, marker, ..., text."""
        return self._marker.split(valid_text(text))

    def decode(self, ids: Iterable[int]) -> str:
        """Text. Bytes that are not UTF-8 become U+FFFD."""
        try:
            tokens = [self.token_of[number] for number in ids]
        except KeyError as absent:
            raise TokenizerError(f"the vocabulary has no id {absent}") from None
        return self.text_of(tokens)


def any_of(names: Iterable[str]) -> re.Pattern[str]:
    """What finds the first of several names, and the longest where two begin.

    >>> any_of(["<a>", "<a><b>"]).split("x<a><b>y"), any_of([]).split("xy")
    (['x', '<a><b>', 'y'], ['xy'])
    """
    longest_first = sorted(map(re.escape, names), key=len, reverse=True)
    return re.compile(f"({'|'.join(longest_first) or '(?!)'})")


def without_markers(text: str, marker: re.Pattern[str]) -> list[str]:
    """A text in parts, so that no marker is whole: each is cut behind its first letter.

    Where a vocabulary has its markers among the pieces that words are cut into, a
    marker's name would become the marker.

    >>> without_markers("a<s>b", any_of(["<s>"]))
    ['a<', 's>b']
    """
    parts, start = [], 0
    found = marker.search(text)
    while found:
        parts.append(text[start : found.start() + 1])
        start = found.start() + 1
        found = marker.search(text, start)
    return [*parts, text[start:]]


def check_names(markers: Sequence[str], letters: Sequence[str] = ()) -> tuple[str, ...]:
    """The markers, if they are different names, and other than these letters."""
    several = isinstance(markers, Sequence) and not isinstance(markers, str)
    if not several or not all(isinstance(name, str) and name for name in markers):
        raise ValueError(f"markers is {markers!r:.60}, but must be a list of names")
    if len({*markers, *letters}) < len(markers) + len(letters):
        either = ", or one is a byte's character" if letters else ""
        raise ValueError(f"two markers are the same{either}")
    return tuple(markers)
