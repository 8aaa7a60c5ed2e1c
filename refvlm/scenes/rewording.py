"""Questions of the world in other words: what a person might ask instead.

A form that training never used says the same, and what it should be answered is the
same. How much of its skill a model keeps is counted on these.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .asking import Question

REQUESTS = (
    "Describe the image.",
    "describe the image.",
    "Describe the image",
    "Describe the picture.",
    "What is in this picture?",
)
"""Requests for a caption; the first is that of training."""

OTHER_WORDS = (
    (r"what colour is (.*)\?", r"which colour does \1 have?"),
    (r"what shape is (.*)\?", r"which shape does \1 have?"),
    (r"is (.*) large or small\?", r"is \1 small or large?"),
    (r"how many (.*) are there\?", r"how many \1 do you see?"),
    (r"where is (.*)\?", r"in which part of the picture is \1?"),
    (r"is there (.*)\?", r"do you see \1?"),
    (r"is (.*) to the left or to the right of (.*)\?", r"on which side of \2 is \1?"),
    (r"is (.*) to the (left|right) of (.*)\?", r"is \1 \2 of \3?"),
    (r"is (.*) above or below (.*)\?", r"is \1 over or under \2?"),
    (r"is (.*) above (.*)\?", r"is \1 higher than \2?"),
    (r"is (.*) below (.*)\?", r"is \1 lower than \2?"),
    (r"which is larger, (.*) or (.*)\?", r"which one is larger: \1 or \2?"),
    (r"are (.*) and (.*) the same size\?", r"are \1 and \2 equally large?"),
    (r"are there more (.*) than (.*)\?", r"do you see more \1 than \2?"),
)


def in_other_words(text: str) -> str:
    """The question as another person might put it.

    >>> in_other_words("is the red star above the pink ring?")
    'is the red star higher than the pink ring?'
    """
    for form, other in OTHER_WORDS:
        if re.fullmatch(form, text):
            return re.sub(form, other, text)
    raise ValueError(f"no other words for {text!r:.80}")


WORDINGS: dict[str, Callable[[str], str]] = {
    "as in training": lambda text: text,
    "a capital letter at the start": lambda text: text[0].upper() + text[1:],
    "no question mark": lambda text: text.rstrip("?"),
    '"color" for "colour"': lambda text: text.replace("colour", "color"),
    "in other words": in_other_words,
}
"""Name -> the question put that way; what a wording does not touch is not asked."""


def reworded(question: Question, wording: str) -> Question | None:
    """The question in a wording of `WORDINGS`; None where that changes nothing."""
    text = WORDINGS[wording](question.text)
    if text == question.text and wording != "as in training":
        return None
    return Question(question.kind, text, question.answer)
