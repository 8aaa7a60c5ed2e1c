r"""Where Qwen2 cuts a text into words, which no merge may cross.

    A red cube isn't 12 cm.   ->   A| red| cube| isn|'t| |1|2| cm|.

Its rule is a regular expression over Unicode's categories: letters are L, numbers N,
and all that is neither, nor white space, is a sign. Python's `re` cannot ask for a
category. So each character is first replaced by one that stands for its kind, and the
expression is matched against those; the kinds are as long as the text, so a cut of one
is a cut of the other.
"""

from __future__ import annotations

import re
import unicodedata

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


class _Kinds(dict):
    """code point -> the character that stands for its kind, found out when asked."""

    def __missing__(self, code: int) -> str:
        self[code] = kind = _kind(chr(code))
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


_KINDS = _Kinds()


def split_words(text: str) -> list[str]:
    """The words of a text, white space and signs included: joined, they are the text.

    A character that is newer than this Python's Unicode counts as a sign.

    Source: [Cortes] 7.1. Oracle: tokenizers.pre_tokenizers.Split, transformers' Qwen2.

    >>> split_words("It isn't 12 cm.")
    ['It', ' isn', "'t", ' ', '1', '2', ' cm', '.']
    """
    kinds = text.translate(_KINDS)
    return [text[cut.start() : cut.end()] for cut in _WORD.finditer(kinds)]
