"""The wording of the questions: every form that `questions` asks in, and only these.

    what colour is the [SIZE] SHAPE?

A word in capitals stands for each of its words, and what is in brackets may be left
out. A model that has learnt from `questions` knows these forms and no others.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

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

THING = "the [SIZE] COLOUR SHAPE"
WORDS = {
    "SIZE": SIZES,
    "COLOUR": COLOURS,
    "SHAPES": tuple(map(plural, SHAPES)),
    "SHAPE": SHAPES,
}


def form_of(question: str) -> str | None:
    """The form that a question is asked in, letter by letter; None if it is in none.

    >>> form_of("what colour is the small star?")
    'what colour is the [SIZE] SHAPE?'
    >>> form_of("What color is the small star?")
    """
    for form, pattern in _patterns():
        if pattern.fullmatch(question):
            return form
    return None


def spelled_as_known(question: str) -> str | None:
    """The question in the spelling of a form, where only its spelling is another:
    capitals, a question mark that is missing or of another script, "color".

    >>> spelled_as_known("What color is the star")
    'what colour is the star?'
    """
    plain = unicodedata.normalize("NFKC", question).lower()
    plain = " ".join(plain.replace("color", "colour").split()).rstrip("?!. ") + "?"
    return plain if form_of(plain) else None


def as_list() -> list[str]:
    """All forms as lines of text, and what their capitals stand for."""
    lines = [f"{kind:<9}  {form}" for kind, forms in FORMS.items() for form in forms]
    meant = {
        "THING": THING,
        **{name: ", ".join(words) for name, words in WORDS.items()},
    }
    return [*lines, "", *(f"{name:<9}  {words}" for name, words in meant.items())]


@cache
def _patterns():
    return [(form, _pattern(form)) for forms in FORMS.values() for form in forms]


def _pattern(form):
    pattern = re.escape(form.replace("THING", THING))
    pattern = pattern.replace(r"\[SIZE\]\ ", "(?:SIZE )?")
    for name, words in WORDS.items():
        pattern = re.sub(rf"\b{name}\b", f"(?:{'|'.join(words)})", pattern)
    return re.compile(r"(?!.*\ba orange)" + pattern)  # its article is "an"
