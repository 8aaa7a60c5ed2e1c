"""The wording of the questions: every form that `questions` asks in, and only these;
and those of `recollections`.

    what colour is the [SIZE] SHAPE?

A word in capitals stands for each of its words, and what is in brackets may be left
out. A model that has learnt from `questions` knows these forms and no others.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache

from .recalling import ORDINALS
from .referring import plural
from .world import COLOURS, SHAPES, SIZES

FORMS: dict[str, tuple[str, ...]] = {
    "colour": ("what colour is the [SIZE] SHAPE?",),
    "shape": ("what shape is the [SIZE] COLOUR object?",),
    "size": ("is the COLOUR SHAPE large or small?",),
    "count": (
        "how many objects are there?",
        "how many COLOUR objects are there?",
        "how many SHAPES are there?",
    ),
    "where": ("where is THING?",),
    "exists": ("is there a [SIZE] COLOUR SHAPE?", "is there an orange SHAPE?"),
    "relation": (
        "is THING to the left or to the right of THING?",
        "is THING above or below THING?",
        "is THING to the left of THING?",
        "is THING to the right of THING?",
        "is THING above THING?",
        "is THING below THING?",
    ),
    "compare": (
        "which is larger, the COLOUR SHAPE or the COLOUR SHAPE?",
        "are the COLOUR SHAPE and the COLOUR SHAPE the same size?",
        "are there more SHAPES than SHAPES?",
        "are there more COLOUR objects than COLOUR objects?",
    ),
}
"""Kind -> its forms, for each of `KINDS`."""

OF_EPISODES: dict[str, tuple[str, ...]] = {
    "present": (
        "what colour is the SHAPE?",
        "what shape is the COLOUR object?",
        "is the SHAPE large or small?",
        "is the COLOUR object large or small?",
    ),
    "content": (
        "in the picture with the COLOUR SHAPE, what colour was the other object?",
        "in the picture with the COLOUR SHAPE, what shape was the other object?",
        "in the picture with the COLOUR SHAPE, was the other object large or small?",
    ),
    "order": (
        "in the ORDINAL picture, what colour was the SHAPE?",
        "in the ORDINAL picture, what shape was the COLOUR object?",
        "in the ORDINAL picture, was the SHAPE large or small?",
        "in the ORDINAL picture, was the COLOUR object large or small?",
    ),
    "which": ("in which picture was the COLOUR SHAPE?",),
}
"""The same of `RECALLED`, where both kinds of order are asked in one wording."""

THING = "the [SIZE] COLOUR SHAPE"
WORDS = {
    "SIZE": SIZES,
    "COLOUR": COLOURS,
    "SHAPES": tuple(map(plural, SHAPES)),
    "SHAPE": SHAPES,
}
ALL_WORDS = {**WORDS, "ORDINAL": ORDINALS}


def form_of(question: str, forms: Mapping[str, tuple[str, ...]] = FORMS) -> str | None:
    """The form that a question is asked in, letter by letter; None if it is in none.

    >>> form_of("what colour is the small star?")
    'what colour is the [SIZE] SHAPE?'
    >>> form_of("What color is the small star?")
    """
    for form in (form for kind in forms for form in forms[kind]):
        if _pattern(form).fullmatch(question):
            return form
    return None


def spelled_as_known(question: str, forms=FORMS) -> str | None:
    """The question in the spelling of a form, where only its spelling is another:
    capitals, a question mark that is missing or of another script, "color".

    >>> spelled_as_known("What color is the star")
    'what colour is the star?'
    """
    plain = unicodedata.normalize("NFKC", question).lower()
    plain = " ".join(plain.replace("color", "colour").split()).rstrip("?!. ") + "?"
    return plain if form_of(plain, forms) else None


def as_list(forms=FORMS) -> list[str]:
    """All forms as lines of text, and what their capitals stand for."""
    lines = [f"{kind:<9}  {form}" for kind in forms for form in forms[kind]]
    meant = {
        "THING": THING,
        **{name: ", ".join(words) for name, words in ALL_WORDS.items()},
    }
    said = " ".join(lines).replace("THING", f"THING {THING}")
    words = [
        f"{name:<9}  {words}"
        for name, words in meant.items()
        if re.search(rf"\b{name}\b", said)
    ]
    return [*lines, "", *words]


@cache
def _pattern(form):
    pattern = re.escape(form.replace("THING", THING))
    pattern = pattern.replace(r"\[SIZE\]\ ", "(?:SIZE )?")
    for name, words in ALL_WORDS.items():
        pattern = re.sub(rf"\b{name}\b", f"(?:{'|'.join(words)})", pattern)
    return re.compile(r"(?!.*\ba orange)" + pattern)  # its article is "an"
