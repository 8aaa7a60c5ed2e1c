"""A kind of tokenizer: the face that all of them share, whatever cuts their words."""

from __future__ import annotations

import copy
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import cached_property
from typing import Any, Self

from .description import Document
from .errors import TokenizerError, valid_text


class Subwords(ABC):
    """A vocabulary (token -> id) with the markers in it: text to tokens and back.

    A kind says what the words of a plain text are and how one is cut into tokens, what
    text tokens stand for, and how both are written in a `tokenizer.json` and read from
    one. `is_byte_level` says that its tokens spell bytes, so that one may end in the
    middle of a character; `unknown` is the token for what no other spells.
    """

    is_byte_level = False
    unknown: str | None = None
    normalizes_markers = False  # whether it finds markers in the normal form of a text

    def __init__(self, vocabulary: Mapping[str, int], markers: Sequence[str] = ()):
        self.vocabulary, self.markers = dict(vocabulary), tuple(markers)
        self.token_of = {number: token for token, number in self.vocabulary.items()}
        self._marker = any_of(self.markers)

    def __len__(self) -> int:
        return len(self.vocabulary)

    @abstractmethod
    def words(self, text: str) -> list[str]:
        """A plain text in its normal form, cut where no token may cross."""

    @abstractmethod
    def cut(self, word: str) -> list[str]:
        """The tokens of one word, as the vocabulary spells them."""

    @abstractmethod
    def forget(self, names: Set[str]) -> None:
        """Cut no word into these tokens any more, if there is another way."""

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

    def tokens(self, text: str) -> list[str]:
        """The tokens of plain text."""
        return [t for word in self.words(valid_text(text)) for t in self.cut(word)]

    def encode(self, text: str, markers: bool = True) -> list[int]:
        """Token ids. With `markers=False`, no text whatever becomes a marker, but for
        the token for what is unknown."""
        found = self.marked(text) if markers else self.unmarked(valid_text(text))
        return [self.vocabulary[token] for token in found]

    def marked(self, text: str) -> Iterator[str]:
        """The tokens of a text, with the markers that are in it."""
        for number, piece in enumerate(self.pieces(text)):
            yield from [piece] if number % 2 else self.tokens(piece)

    def unmarked(self, text: str) -> Iterator[str]:
        """The tokens of a text, where a marker's name is letters like any others.

        A vocabulary may have a marker among the pieces that words are cut into. A word
        that would have it is cut anew, by what has no markers.
        """
        for word in self.words(text):
            tokens = self.cut(word)
            if not self._reserved.isdisjoint(tokens):
                tokens = self._without_markers.cut(word)
            for token in tokens:
                if token in self._reserved:
                    raise only_marker(token)
                yield token

    @cached_property
    def _reserved(self):
        return frozenset(self.markers) - {self.unknown}

    @cached_property
    def _without_markers(self):
        """The same, of which no marker is a piece."""
        bare = copy.copy(self)
        bare.forget(self._reserved)
        return bare

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


def only_marker(name: str) -> TokenizerError:
    """A text from outside that cannot be written without a marker."""
    return TokenizerError(
        f"the marker {name!r:.60} is the only way to write a piece of the text: encode "
        "it with markers=True if you trust it, or give the marker another name"
    )


def check_names(markers: Sequence[str], letters: Sequence[str] = ()) -> tuple[str, ...]:
    """The markers, if they are different names, and other than these letters."""
    several = isinstance(markers, Sequence) and not isinstance(markers, str)
    if not several or not all(isinstance(name, str) and name for name in markers):
        raise ValueError(f"markers is {markers!r:.60}, but must be a list of names")
    if len({*markers, *letters}) < len(markers) + len(letters):
        either = ", or one is a byte's character" if letters else ""
        raise ValueError(f"two markers are the same{either}")
    return tuple(markers)
