r"""Where Qwen2, GPT-2 and CLIP cut a text into words, which no merge may cross.

    A red cube isn't 12 cm.   ->   A| red| cube| isn|'t| |1|2| cm|.

The rule is a regular expression over Unicode's categories: letters are L, numbers N,
and all that is neither, nor white space, is a sign. Python's `re` cannot ask for a
category. So each character is first replaced by one that stands for its kind, and the
expression is matched against those; the kinds are as long as the text, so a cut of one
is a cut of the other.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

# In order: an English contraction, a word with the one sign or space before it, a
# single digit, a run of signs, line ends, and spaces, of which the last is left to the
# word that follows. `QWEN2_WORDS` says the same with categories.
_WORD = re.compile(
    r"'(?:s|t|re|ve|m|ll|d)"
    r"|[^\na-z0]?[a-z]+"
    r"|0"
    r"| ?[!']+\n*"
    r"|[ \t\n]*\n+"
    r"|[ \t\n]+(?![a-z0!'])"
    r"|[ \t\n]+"
)


# GPT-2: a contraction in small letters, then words, numbers and signs, each with the
# space before it. The kinds are in small letters where the letters are.
_GPT2_WORD = re.compile(
    r"'(?:s|t|re|ve|m|ll|d)"
    r"| ?[a-zA]+"
    r"| ?0+"
    r"| ?[!'<|>]+"
    r"|[ \t\n]+(?![a-zA0!'<|>])"
    r"|[ \t\n]+"
)
# CLIP: the same without spaces, and each digit alone.
_CLIP_WORD = re.compile(r"'(?:s|t|re|ve|m|ll|d)|[a-zA]+|0|[!'<|>]+")


class Kinds(dict):
    """code point -> the character that stands for its kind, found out when asked."""

    def __init__(self, kind: Callable[[str], str]):
        super().__init__()
        self.kind = kind

    def __missing__(self, code: int) -> str:
        self[code] = kind = self.kind(chr(code))
        return kind


def _kind(character: str) -> str:
    if character in " '":
        return character
    if character in "\r\n":
        return "\n"
    if character in "\t\v\f\x85":
        return "\t"
    if character.isascii() and character.isalpha():
        return character.lower()
    if character == "ſ":  # the long s, which is an s when case does not count
        return "s"
    category = unicodedata.category(character)
    return {"L": "a", "N": "0", "Z": "\t"}.get(category[0], "!")


def _exact_kind(character: str) -> str:
    if character in "<|>" or (character.isascii() and character.islower()):
        return character
    if character.isascii() and character.isalpha():
        return "A"
    kind = _kind(character)
    return "A" if kind in "as" else kind


_KINDS, _EXACT_KINDS = Kinds(_kind), Kinds(_exact_kind)


def split_words(text: str) -> list[str]:
    """The words of a text, white space and signs included: joined, they are the text.

    A character that is newer than this Python's Unicode counts as a sign.

    Source: [Cortes] 7.1. Oracle: tokenizers.pre_tokenizers.Split, transformers' Qwen2.

    >>> split_words("It isn't 12 cm.")
    ['It', ' isn', "'t", ' ', '1', '2', ' cm', '.']
    """
    return _cuts(text, _KINDS, _WORD)


def split_gpt2_words(text: str) -> list[str]:
    """The words of a text as GPT-2 cuts it: joined, they are the text.

    Oracle: tokenizers.pre_tokenizers.ByteLevel, transformers.GPT2Tokenizer.

    >>> split_gpt2_words("It isn't 12 cm.")
    ['It', ' isn', "'t", ' 12', ' cm', '.']
    """
    return _cuts(text, _EXACT_KINDS, _GPT2_WORD)


def split_clip_words(text: str, names: Sequence[str] = ()) -> list[str]:
    """The words of a text as CLIP cuts it, without the white space between.

    Where a word begins with one of `names`, such as `<|endoftext|>`, it ends behind it;
    the name itself is signs, letters and signs.

    Oracle: transformers.CLIPTokenizer.

    >>> split_clip_words("it isn't 12 cm.")
    ['it', 'isn', "'t", '1', '2', 'cm', '.']
    >>> split_clip_words("<|a|>!"), split_clip_words("<|a|>!", ["<|a|>"])
    (['<|', 'a', '|>!'], ['<|', 'a', '|>', '!'])
    """
    if not names:
        return _cuts(text, _EXACT_KINDS, _CLIP_WORD)
    named = re.compile("|".join([*map(re.escape, names), _CLIP_WORD.pattern]))
    pieces = _cuts(text, _EXACT_KINDS, named)
    return [word for piece in pieces for word in split_gpt2_words(piece)]


def _cuts(text: str, kinds: Kinds, word: re.Pattern[str]) -> list[str]:
    found = word.finditer(text.translate(kinds))
    return [text[cut.start() : cut.end()] for cut in found]
