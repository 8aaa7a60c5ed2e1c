r"""What BERT does to a text before it looks for pieces: it cleans, and cuts into words.

    "  Isn't Zürich\t数学?"  --cleaned-->  "  isn't zurich  数  学 ?"
                            --cut-->     isn ' t zurich 数 学 ?

What is lost here is lost for good: white space, capitals, accents, control characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from ..errors import valid_text
from ..normal_forms import normal_form

# Unicode's property White_Space, which is not quite Python's `isspace`.
_SPACES = re.compile(
    "[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
)
# The blocks whose characters are words of their own. Those of Unicode 8 and older.
_IDEOGRAPHS = re.compile(
    "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df"
    "\U0002a700-\U0002b81f\U0002b920-\U0002ceaf\U0002f800-\U0002fa1f]"
)


class _Table(dict):
    """code point -> what stands for the character, found out when asked."""

    def __init__(self, rule: Callable[[str], str]):
        super().__init__()
        self.rule = rule

    def __missing__(self, code: int) -> str:
        self[code] = found = self.rule(chr(code))
        return found


def bert_normalize(
    text: str,
    clean_text: bool = True,
    handle_chinese_chars: bool = True,
    strip_accents: bool | None = None,
    lowercase: bool = True,
) -> str:
    """A text in the form in which BERT reads it.

    `clean_text` drops control characters and makes every white space a space;
    `handle_chinese_chars` puts spaces around ideographs; `strip_accents` (None: where
    letters are made small, too) decomposes and drops the marks.

    Oracle: tokenizers.normalizers.BertNormalizer. Its tables are of an older Unicode,
    so that characters of later years may come out otherwise.

    >>> bert_normalize("Isn't Zürich 数?")
    "isn't zurich  数 ?"
    """
    text = valid_text(text)
    if clean_text:
        text = text.translate(_CLEAN)
    if handle_chinese_chars:
        text = _IDEOGRAPHS.sub(r" \g<0> ", text)
    if lowercase if strip_accents is None else strip_accents:
        text = normal_form("NFD", text).translate(_UNMARKED)
    # Letter by letter: at the end of a word, Python would make of Σ another letter.
    return text.translate(_SMALL) if lowercase else text


def bert_words(text: str) -> list[str]:
    """A text cut at white space, which is lost, and around each sign.

    Oracle: tokenizers.pre_tokenizers.BertPreTokenizer.

    >>> bert_words("isn't 3.5?")
    ['isn', "'", 't', '3', '.', '5', '?']
    """
    kinds = text.translate(_KINDS)
    return [text[cut.start() : cut.end()] for cut in _WORD.finditer(kinds)]


def _clean(character: str) -> str:
    if _SPACES.match(character) and character not in "\v\f\x85":
        return " "
    gone = unicodedata.category(character) in ("Cc", "Cf", "Co")
    return "" if gone or character == "\ufffd" else character


def _unmarked(character: str) -> str:
    return "" if unicodedata.category(character) == "Mn" else character


def _kind(character: str) -> str:
    if _SPACES.match(character):
        return " "
    is_sign = unicodedata.category(character)[0] == "P" or character in "$+<=>^`|~"
    return "!" if is_sign else "a"


_CLEAN, _UNMARKED, _SMALL, _KINDS = map(_Table, (_clean, _unmarked, str.lower, _kind))
_WORD = re.compile("!|a+")
