"""Unicode's normal forms, without the wait that a heap of accents would cost.

`é` is one character or two, and marks on one letter may be typed in any order: a normal
form writes what looks the same with the same characters. Python puts the marks in order
one past the other, which takes a minute for a letter under a hundred thousand of them.
Where there are many, they are put in order before.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby
from typing import Literal

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]

# A run that may be of marks: no letters, no digits, no white space. No mark is older in
# Unicode than U+0300.
_MANY_MARKS = re.compile(r"[^\w\s\x00-\u02ff]{32,}")


def normal_form(form: Form, text: str) -> str:
    """The text in one of Unicode's four normal forms.

    Oracle: unicodedata.normalize, tokenizers.normalizers.NFC and its sisters.

    >>> normal_form("NFC", "e\\u0301") == "\\u00e9"
    True
    """
    if text.isascii():
        return text
    return unicodedata.normalize(form, _MANY_MARKS.sub(_in_order, text))


def _in_order(run: re.Match[str]) -> str:
    """The same marks, decomposed, in the order of their classes."""
    apart = "".join(unicodedata.normalize("NFD", character) for character in run[0])
    return "".join(
        "".join(sorted(marks, key=unicodedata.combining) if combine else marks)
        for combine, marks in groupby(apart, lambda c: unicodedata.combining(c) > 0)
    )
