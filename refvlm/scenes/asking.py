"""Questions about a scene, each with one right answer.

A question never leaves open which object it means, and says as little as possible
about its answer: yes is as frequent as no.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .comparing import ask_compare
from .language import RELATIONS, WAYS, in_order, place_of
from .referring import (
    Seen,
    by_weight,
    check_asked,
    name_of,
    pick,
    plural,
    yes_or_no,
)
from .world import (
    COLOURS,
    HELD_OUT,
    NUMBERS,
    SHAPES,
    SIZES,
    Scene,
)


@dataclass(frozen=True)
class Question:
    """`kind` is one of `KINDS`; an answer is one to four words without a period."""

    kind: str
    text: str
    answer: str


def questions(
    scene: Scene,
    rng: np.random.Generator,
    number: int,
    split: str = "train",
    weights: Mapping[str, float] | None = None,
) -> list[Question]:
    """Some questions about a scene: fewer only where no wanted kind can be asked.

    `weights` says how often a kind is asked compared to the others; a kind that it
    does not name is never asked. In the split "train" no text holds a held-out
    pair; in "unseen" the questions are about the held-out objects where they can be.
    They differ as far as that is possible without making yes rarer than no.
    """
    weights = dict.fromkeys(KINDS, 1.0) if weights is None else dict(weights)
    check_asked("questions", split, weights, ASKERS)
    asked: list[Question] = []
    again: list[Question] = []
    for _ in range(8 * number):
        if len(asked) == number or not any(weights.values()):
            break
        kind = by_weight(rng, weights)
        found = ASKERS[kind](Seen(scene, split), rng)
        if found is None:
            del weights[kind]
            continue
        question = Question(kind, *found)
        # One object is named in two ways, but there are many that are not there:
        # asking for another question instead would favour no.
        is_new = question.answer in ("yes", "no") or question not in asked
        (asked if is_new else again).append(question)
    return [*asked, *again][:number]


def _ask_colour(seen, rng):
    named = seen.names("shape")
    if not named:
        return None
    thing, name = seen.choose(rng, named)
    return f"what colour is the {name_of(thing, name)}?", thing.colour


def _ask_shape(seen, rng):
    named = seen.names("colour")
    if not named:
        return None
    thing, name = seen.choose(rng, named)
    return f"what shape is the {name_of(thing, name)}?", thing.shape


def _ask_size(seen, rng):
    objects = seen.preferred(seen.meant("colour", "shape"))
    if not objects:
        return None
    thing = pick(rng, objects)
    return f"is the {thing.colour} {thing.shape} large or small?", thing.size


def _ask_where(seen, rng):
    named = [item for item in seen.names("colour", "shape") if place_of(item[0])]
    if not named:
        return None
    thing, name = seen.choose(rng, named)
    return f"where is the {name_of(thing, name)}?", place_of(thing)


def _ask_count(seen, rng):
    """The answer is chosen first, so that none and two are not rare."""
    what = rng.integers(3)
    if what == 0:
        return "how many objects are there?", NUMBERS[len(seen.objects)]
    there, words = (seen.colours, COLOURS) if what == 1 else (seen.shapes, SHAPES)
    many = pick(rng, sorted({there[word] for word in words}))
    word = pick(rng, [word for word in words if there[word] == many])
    things = f"{word} objects" if what == 1 else plural(word)
    return f"how many {things} are there?", NUMBERS[many]


def _ask_exists(seen, rng):
    """Whether the answer is yes, and whether a size is named, is chosen first."""
    truth, sized = rng.random(2) < 0.5
    thing = pick(rng, seen.preferred(list(seen.objects)))
    colour, shape, size = thing.colour, thing.shape, thing.size
    if not truth:
        swapped = _other(size, SIZES, rng)
        taken = {(other.size, *other.pair) for other in seen.objects}
        if sized and rng.random() < 0.6 and (swapped, colour, shape) not in taken:
            size = swapped
        else:
            colour, shape = _absent(seen, rng, thing)
            size = pick(rng, SIZES) if sized else size
    words = f"{size} {colour} {shape}" if sized else f"{colour} {shape}"
    article = "an" if words[0] in "aeiou" else "a"
    return f"is there {article} {words}?", yes_or_no(truth)


def _absent(seen, rng, thing):
    """A pair that is not there and shares its colour, or its shape, with one that is;
    sometimes a pair that has nothing to do with the scene."""
    chance = rng.random()
    colours = COLOURS if chance < 0.45 or chance >= 0.9 else (thing.colour,)
    shapes = SHAPES if chance >= 0.45 else (thing.shape,)
    avoided = HELD_OUT if seen.split == "train" else ()
    pairs = [
        (colour, shape)
        for colour in colours
        for shape in shapes
        if (colour, shape) not in seen.pairs and (colour, shape) not in avoided
    ]
    return pick(rng, pairs)


def _other(word, words, rng):
    return pick(rng, [another for another in words if another != word])


def _ask_relation(seen, rng):
    """How two objects lie to one another: which way, or whether it is this way."""
    named = seen.names("colour", "shape")
    if len(named) < 2:
        return None
    pair = seen.two(rng, named)
    (one, _), (other, _) = pair
    first, second = (f"the {name_of(thing, name)}" for thing, name in pair)
    axis = pick(rng, ("x", "y"))
    order = in_order(seen.scene, axis)
    is_before = order.index(one) < order.index(other)
    if rng.random() < 0.5:
        way = "to the left or to the right of" if axis == "x" else "above or below"
        answer = WAYS[axis][0 if is_before else 1]
        return f"is {first} {way} {second}?", answer
    truth = rng.random() < 0.5
    relation = RELATIONS[axis][0 if is_before == truth else 1]
    return f"is {first} {relation} {second}?", yes_or_no(truth)


ASKERS = {
    "colour": _ask_colour,
    "shape": _ask_shape,
    "size": _ask_size,
    "count": _ask_count,
    "where": _ask_where,
    "exists": _ask_exists,
    "relation": _ask_relation,
    "compare": ask_compare,
}
KINDS = tuple(ASKERS)
