"""What does a caption say? A parser for captions.

It is a small grammar of its own, written apart from the code that writes captions,
so that a mistake of the one is seen by the other:

    caption    = ["there is"] object ["at the" PLACE] "."
               | object RELATION object "."
               | "from" END "to" END ":" object {"," object} ["and" object] "."
    object     = ["a"] SIZE COLOUR SHAPE
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .world import COLOURS, PLACES, SHAPES, SIZES

MOST = 8
"""A caption that names more objects than this is not worth understanding."""

ORDERS = {
    ("left", "right"): "left of",
    ("right", "left"): "right of",
    ("top", "bottom"): "above",
    ("bottom", "top"): "below",
}


@dataclass(frozen=True)
class Described:
    """An object as a caption describes it."""

    size: str
    colour: str
    shape: str

    def __str__(self):
        return f"{self.size} {self.colour} {self.shape}"


@dataclass(frozen=True)
class Statement:
    """What a caption states: objects; (first, relation, second), by their numbers;
    and the places of some, by their numbers."""

    objects: tuple[Described, ...]
    relations: tuple[tuple[int, str, int], ...] = ()
    places: tuple[tuple[int, str], ...] = ()


def parse(caption: str) -> Statement:
    """What a caption states; `ValueError` says which word was not understood.

    >>> parse("a small red ring below a large blue star.").relations
    ((0, 'below', 1),)
    """
    words = re.findall(r"[^\s.,:;!?]+|[.,:;!?]", caption.strip().lower())
    if words and words[-1] == ".":
        words.pop()
    if not words:
        raise ValueError("the caption is empty")
    words = [("centre" if word == "center" else word) for word in words]
    reader = _Reader(words)
    statement = _list(reader) if reader.takes("from") else _sentence(reader)
    if reader.words:
        raise ValueError(f"not understood: {' '.join(reader.words)!r}")
    return statement


class _Reader:
    """Words, taken one after the other."""

    def __init__(self, words):
        self.words = list(words)

    def takes(self, *expected):
        """Whether these words come next; if so, they are taken."""
        if tuple(self.words[: len(expected)]) != expected:
            return False
        del self.words[: len(expected)]
        return True

    def one_of(self, choices, what):
        if not self.words or self.words[0] not in choices:
            found = repr(self.words[0]) if self.words else "the end"
            raise ValueError(f"expected {what}, found {found}")
        return self.words.pop(0)


def _object(reader):
    reader.takes("a")
    return Described(
        reader.one_of(SIZES, "a size"),
        reader.one_of(COLOURS, "a colour"),
        reader.one_of(SHAPES, "a shape"),
    )


def _sentence(reader):
    reader.takes("there", "is")
    first = _object(reader)
    for start in (("at", "the"), ("in", "the"), ("on", "the")):
        if reader.takes(*start):
            return Statement((first,), places=((0, _place(reader)),))
    if not reader.words:
        return Statement((first,))
    relation = _relation(reader)
    return Statement((first, _object(reader)), relations=((0, relation, 1),))


def _place(reader):
    for place in sorted(PLACES, key=len, reverse=True):
        if reader.takes(*place.split()):
            return place
    raise ValueError(f"not a place: {' '.join(reader.words)!r}")


def _relation(reader):
    for side in ("left", "right"):
        if reader.takes("to", "the", side, "of"):
            return f"{side} of"
    return reader.one_of(("above", "below"), "a relation")


def _list(reader):
    ends = ("left", "right", "top", "bottom")
    start = reader.one_of(ends, "where the list begins")
    reader.one_of(("to",), "'to'")
    order = (start, reader.one_of(ends, "where the list ends"))
    if order not in ORDERS:
        raise ValueError(f"there is no order from {order[0]} to {order[1]}")
    reader.one_of((":",), "':'")
    objects = [_object(reader)]
    while len(objects) < MOST and (reader.takes(",") or reader.words[:1] == ["and"]):
        reader.takes("and")
        objects.append(_object(reader))
    relation = ORDERS[order]
    relations = tuple((i, relation, i + 1) for i in range(len(objects) - 1))
    return Statement(tuple(objects), relations)
