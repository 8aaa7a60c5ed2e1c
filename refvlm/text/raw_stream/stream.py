r"""SentencePiece's raw stream: a text is its characters, and a space is one of them.

    "Hello  world." --NFKC, single spaces--> "Hello world." --▁--> "▁Hello▁world."

Other tokenizers cut a text into words by rules, of a language or of Unicode, and what
stood between the words is guessed when tokens become text again. Here nothing is lost:
a space is written `▁` (U+2581), so a token says itself whether a space stands before
it, and decoding is to join the tokens and to write spaces again. That the text gets a
space in front makes a word the same at the front and further on.

SentencePiece's own normal form is `nmt_nfkc`: some controls go, white space of every
kind becomes a space, then NFKC. A file of SentencePiece holds it as a compiled table;
here it is said by the steps that the tokenizers library calls Nmt and NFKC.

Kudo and Richardson, SentencePiece.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..normal_forms import Form, normal_form
from .spelled_bytes import join_bytes

SPACE = "\u2581"
Prefix = Literal["always", "first", "never", "twice"]

# Controls that Nmt takes away, and what it calls a space.
_GONE = [*range(0x01, 0x09), 0x0B, *range(0x0E, 0x20), 0x7F, 0x8F, 0x9F]
_SPACES = [0x09, 0x0A, 0x0C, 0x0D, 0x1680, *range(0x200B, 0x2010), 0x2028, 0x2029]
NMT = dict.fromkeys(_GONE) | dict.fromkeys([*_SPACES, 0x2581, 0xFEFF, 0xFFFD], " ")
_WORD = re.compile(f"{SPACE}[^{SPACE}]*|[^{SPACE}]+")


def sp_normalize(text: str, form: Form | None = "NFKC", collapse: bool = True) -> str:
    """A text as SentencePiece sees it: in normal form, runs of spaces made one, a space
    in front, and every space a `▁`.

    Source: [Cortes] 4.2. Oracle: tokenizers.normalizers.NFKC and
    tokenizers.pre_tokenizers.Metaspace.

    >>> sp_normalize("Ｈello  world.")
    '▁Hello▁world.'
    """
    stream = RawStream(form=form, collapse=collapse, cut=False)
    return "".join(stream.words(stream.normal(text)))


@dataclass(frozen=True)
class RawStream:
    """What is done to a text before it is cut into tokens, and after they are joined.

    nmt       controls go and all white space is spaces
    form      a normal form of Unicode's
    collapse  runs of spaces become one
    prefix    a `▁` before each text between markers ("always"), before the first alone
              ("first") or not at all ("never"), unless one is there; "twice": even then
    cut       a token never reaches over the space before a word
    decoding  the steps that make tokens text again, each by its name in the library

    >>> LLAMA.words(LLAMA.normal("a  b")), LLAMA.text_of(["▁a", "▁", "▁b"])
    (['▁a▁▁b'], 'a  b')
    """

    nmt: bool = False
    form: Form | None = None
    collapse: bool = False
    prefix: Prefix = "always"
    cut: bool = True
    decoding: tuple[str, ...] = ("Metaspace",)

    def __post_init__(self):
        if self.nmt and self.prefix == "first":
            raise ValueError(
                "nmt may take the front of a text away, and then the library does not "
                "know which is first: give another prefix"
            )

    def normal(self, text: str) -> str:
        """The text without what these steps do away with."""
        text = text.translate(NMT) if self.nmt else text
        text = normal_form(self.form, text) if self.form else text
        text = re.sub(" {2,}", " ", text) if self.collapse else text
        return (
            SPACE + text.replace(" ", SPACE)
            if text and self.prefix == "twice"
            else text
        )

    def words(self, normal: str, first: bool = True) -> list[str]:
        """What a token may not reach over, with every space visible.

        >>> RawStream().words("to be  or")
        ['▁to', '▁be', '▁', '▁or']
        """
        text = normal.replace(" ", SPACE)
        wanted = self.prefix == "always" or (self.prefix == "first" and first)
        if text and wanted and not text.startswith(SPACE):
            text = SPACE + text
        if not self.cut:
            return [text] if text else []
        return _WORD.findall(text)

    def with_bytes(self) -> RawStream:
        """The same stream, with byte tokens made text again."""
        spelled = SPELLED[:-1] if self.prefix == "never" else SPELLED
        return (
            self if "ByteFallback" in self.decoding else replace(self, decoding=spelled)
        )

    def text_of(self, tokens: Sequence[str]) -> str:
        """The text that tokens stand for."""
        parts = list(tokens)
        for step in self.decoding:
            if step == "Metaspace":
                parts = self._without_prefix(parts)
            elif step == "Replace":
                parts = [part.replace(SPACE, " ") for part in parts]
            elif step == "ByteFallback":
                parts = join_bytes(parts)
            elif step == "Fuse":
                parts = ["".join(parts)]
            elif step == "Strip":
                parts = [part.removeprefix(" ") for part in parts]
        return "".join(parts)

    def _without_prefix(self, tokens):
        """A first token loses all that are in it, as the library has it."""
        front = "" if self.prefix != "never" else " "
        return [t.replace(SPACE, " " if i else front) for i, t in enumerate(tokens)]


SPELLED = ("Replace", "ByteFallback", "Fuse", "Strip")
LLAMA = RawStream(prefix="twice", cut=False, decoding=SPELLED)
SENTENCE_PIECE = RawStream(form="NFKC", collapse=True)
