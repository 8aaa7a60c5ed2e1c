"""Is it true? A judge who holds captions and answers against the scene."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from .parsing import Described, parse
from .world import CLEAR, NUMBERS, Scene

# The direction of a relation: along which axis, and which way, the first object
# lies from the second.
SIDES = {
    "left of": ("x", -1),
    "right of": ("x", 1),
    "above": ("y", -1),
    "below": ("y", 1),
}


@dataclass(frozen=True)
class Judgement:
    """`true`: no fact is wrong. `complete`: every object is named, and none invented.
    `facts` are all that was stated, `mistakes` what is wrong about them."""

    true: bool
    complete: bool
    facts: tuple[str, ...] = ()
    mistakes: tuple[str, ...] = ()


def judge(caption: str, scene: Scene) -> Judgement:
    """Hold a caption against a scene: which objects it can mean, and what is wrong.

    >>> from refvlm.scenes.world import Object
    >>> scene = Scene((Object("ring", "red", "large", 0.2, 0.5, 0.2),))
    >>> judge("a large red star at the left.", scene).mistakes
    ('the large red star is a large red ring',)
    """
    try:
        statement = parse(caption)
    except ValueError as fault:
        return Judgement(False, False, (), (str(fault),))
    facts = tuple(f"there is a {thing}" for thing in statement.objects)
    facts += tuple(_say(statement, *fact) for fact in statement.relations)
    facts += tuple(f"{statement.objects[i]}: at the {p}" for i, p in statement.places)
    mistakes = min(
        (_mistakes(statement, meant) for meant in _matchings(statement, scene)),
        key=lambda found: (sum(weight for weight, _ in found), len(found)),
    )
    complete = len(statement.objects) == len(scene.objects) and not any(
        weight >= 1 for weight, _ in mistakes
    )
    return Judgement(not mistakes, complete, facts, tuple(text for _, text in mistakes))


def _say(statement, first, relation, second):
    one, other = statement.objects[first], statement.objects[second]
    return f"the {one} is {relation} the {other}"


def _matchings(statement, scene):
    """For each way to take the described objects for real ones: the real objects, in
    the order in which they are described, None for an object that was invented."""
    count = len(statement.objects)
    if count <= len(scene.objects):
        yield from itertools.permutations(scene.objects, count)
        return
    for order in itertools.permutations(range(count), len(scene.objects)):
        meant = dict(zip(order, scene.objects))
        yield [meant.get(index) for index in range(count)]


def _mistakes(statement, meant):
    """(weight, sentence) for all that is wrong if these are the objects meant. That
    an object is not what it is said to be weighs more than where it is."""
    found = []
    for described, thing in zip(statement.objects, meant):
        if thing is None:
            found.append((10.0, f"there is no {described}"))
            continue
        real = Described(thing.size, thing.colour, thing.shape)
        if wrong := sum(
            getattr(real, part) != getattr(described, part)
            for part in ("size", "colour", "shape")
        ):
            found.append((float(wrong), f"the {described} is a {real}"))
    for first, relation, second in statement.relations:
        axis, side = SIDES[relation]
        one, other = meant[first], meant[second]
        if one is None or other is None:
            continue
        if side * (getattr(one, axis) - getattr(other, axis)) <= 0:
            found.append((0.1, f"not so: {_say(statement, first, relation, second)}"))
    for index, place in statement.places:
        if meant[index] is not None and not _is_at(meant[index], place):
            said = f"the {statement.objects[index]} is not at the {place}"
            found.append((0.1, said))
    return found


def _is_at(thing, place):
    """Whether a place is right; near a border between two, either of them is."""
    across = {"left": 0, "right": 2}
    down = {"top": 0, "bottom": 2}
    words = place.split()
    column = next((across[word] for word in words if word in across), 1)
    row = next((down[word] for word in words if word in down), 1)
    return all(
        third / 3 - CLEAR < position < (third + 1) / 3 + CLEAR
        for position, third in ((thing.x, column), (thing.y, row))
    )


def judge_answer(answer: str, question) -> bool:
    """Whether an answer says the same as the question's own, but for capitals,
    articles, a final period, and digits for numbers.

    >>> from refvlm.scenes.asking import Question
    >>> judge_answer("The top left.", Question("where", "...", "top left"))
    True
    """
    return _plain(answer) == _plain(question.answer)


def _plain(answer):
    digits = {str(number): word for number, word in enumerate(NUMBERS)}
    words = re.findall(r"[^\s.,]+", answer.lower())
    kept = [word for word in words if word not in ("a", "an", "the", "at", "in", "on")]
    spelled = {**digits, "center": "centre"}
    return [spelled.get(word, word) for word in kept]
