r"""Questions about an episode, each with one right answer of one word.

    present       what colour is the ring?
    content       in the picture with the green star, what colour was the other object?
    order         in the second picture, what colour was the circle?
    order alone   the same, where another picture had a circle of another colour
    which         in which picture was the green star?

The first is answered by looking, the others by remembering. The green star was there
once, so content is remembered by what was seen with it. A question of order is often
answered without any order, since there was one circle: those of the fourth kind are
not, nor are those of the last.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .asking import Question
from .episodes import Episode
from .referring import by_weight, check_asked, pick
from .world import HELD_OUT, Object

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
"""Pictures beyond these have no number: only their content is asked for."""

ASKED = {"colour": 0.42, "shape": 0.42, "size": 0.16}
"""How often an attribute is asked for. Half of all sizes are guessed."""

WEIGHTS = {"present": 1.0, "content": 2.0, "order": 1.0, "which": 0.5}
"""How often a kind is asked, compared to the others, if nothing is said."""

PHRASES = {
    "colour": "what colour {be} the {thing}?",
    "shape": "what shape {be} the {thing}?",
    "size": "{be} the {thing} large or small?",
}


@dataclass(frozen=True)
class Recollection(Question):
    """A question with what its text says, for those that do not read. `asked` is
    colour, shape, size or picture; `cue` are the words by which what is meant is known;
    `picture` is the number of the past picture meant, from 0, None for the present."""

    asked: str
    cue: tuple[str, ...]
    picture: int | None


def recollections(
    episode: Episode,
    rng: np.random.Generator,
    number: int,
    split: str = "train",
    weights: Mapping[str, float] | None = None,
) -> list[Recollection]:
    """Some questions about an episode: fewer only where no wanted kind can be asked.

    `weights` says how often a kind is asked compared to the others; a kind that it
    does not name is never asked. The scenes are of the split: no text of "train" holds
    a held-out pair; in "unseen" the cue of content and which, and the object asked for
    in the others, are held out where they can be. Questions differ as far as possible.
    """
    weights = dict(WEIGHTS if weights is None else weights)
    check_asked("recollections", split, weights, ASKERS)
    seen = Remembered(episode, split)
    weights = {kind: w for kind, w in weights.items() if w and seen.things[kind]}
    new: list[Recollection] = []
    again: list[Recollection] = []
    for _ in range(8 * number if weights else 0):
        if len(new) == number:
            break
        kind = by_weight(rng, weights)
        question = ASKERS[kind](kind, *pick(rng, seen.things[kind]), rng)
        (again if question in new else new).append(question)
    return [*new, *again][:number]


class Remembered:
    """An episode as a questioner sees it: `things` of a kind are what it can ask for,
    (picture, object, the other object, the ways to ask for an attribute of it)."""

    def __init__(self, episode: Episode, split: str):
        often = Counter(thing.pair for s in episode.scenes for thing in s.objects)
        past = [
            (number, *pair, _ways(pair[0]))
            for number, scene in enumerate(episode.past)
            for pair in (scene.objects, scene.objects[::-1])
        ]
        named = [item for item in past if item[0] < len(ORDINALS)]
        once = [item for item in past if often[item[1].pair] == 1]
        one, other = episode.present.objects
        self.things = {
            "present": [
                (None, one, other, _ways(one)),
                (None, other, one, _ways(other)),
            ],
            "content": once,
            "order": named,
            "order alone": _disputed(named, past),
            "which": [item for item in once if item[0] < len(ORDINALS)],
        }
        if split == "unseen":
            for kind, items in self.things.items():
                held_out = [item for item in items if item[1].pair in HELD_OUT]
                self.things[kind] = held_out or items


def _ways(thing: Object):
    """(what is asked of it, the word that says which it is): all there are."""
    return [
        ("colour", thing.shape),
        ("shape", thing.colour),
        ("size", thing.shape),
        ("size", thing.colour),
    ]


def _disputed(named, past):
    """What can be asked in the ways that another picture would answer otherwise."""
    answers = defaultdict(set)
    for _, thing, _, ways in past:
        for asked, cue in ways:
            answers[asked, cue].add(getattr(thing, asked))
    disputed = [
        (number, thing, other, [way for way in ways if len(answers[way]) > 1])
        for number, thing, other, ways in named
    ]
    return [item for item in disputed if item[-1]]


def _ask_attribute(kind, number, thing, other, ways, rng):
    """One attribute of an object that one word tells from the other."""
    possible = dict(ways)
    asked = by_weight(rng, {what: w for what, w in ASKED.items() if what in possible})
    cue = pick(rng, [word for what, word in ways if what == asked])
    name = f"{cue} object" if cue == thing.colour else cue
    when, be = "", "is"
    if number is not None:
        when, be = f"in the {ORDINALS[number]} picture, ", "was"
    text = when + PHRASES[asked].format(be=be, thing=name)
    return Recollection(kind, text, getattr(thing, asked), asked, (cue,), number)


def _ask_content(kind, number, thing, other, ways, rng):
    """An attribute of what was beside an object that was there once."""
    asked = by_weight(rng, ASKED)
    when = f"in the picture with the {' '.join(thing.pair)}, "
    text = when + PHRASES[asked].format(be="was", thing="other object")
    return Recollection(kind, text, getattr(other, asked), asked, thing.pair, number)


def _ask_which(kind, number, thing, other, ways, rng):
    """The number of the picture of an object that was there once."""
    text = f"in which picture was the {' '.join(thing.pair)}?"
    return Recollection(kind, text, ORDINALS[number], "picture", thing.pair, number)


ASKERS: dict[str, Callable[..., Recollection]] = {
    "present": _ask_attribute,
    "content": _ask_content,
    "order": _ask_attribute,
    "order alone": _ask_attribute,
    "which": _ask_which,
}
RECALLED = tuple(ASKERS)


def chance(
    questions: Sequence[Recollection], known: Iterable[Recollection]
) -> dict[str, float]:
    """kind -> the share of right answers, and "all", of who has seen no picture.

    Such a guesser gives the most frequent answer to the same words in `known`,
    questions of other episodes: some thousands, for those that are the mode of a few
    by luck to matter little. The number of a picture tells it nothing, but that the
    other object is not of the colour named it knows.

    >>> ring = ("ring",)
    >>> red, blue = (
    ...     Recollection("order", "...", colour, "colour", ring, picture=0)
    ...     for colour in ("red", "blue")
    ... )
    >>> chance([red, red, blue, blue], known=[red, red, blue])
    {'order': 0.5, 'all': 0.5}
    """
    answers: defaultdict[tuple, Counter] = defaultdict(Counter)
    for question in known:
        answers[_words(question)][question.answer] += 1
    guesses = {words: found.most_common(1)[0][0] for words, found in answers.items()}
    right = defaultdict(list)
    for question in questions:
        is_right = guesses.get(_words(question)) == question.answer
        for heading in (question.kind, "all"):
            right[heading].append(is_right)
    return {kind: sum(found) / len(found) for kind, found in right.items()}


def _words(question: Recollection) -> tuple:
    return question.kind, question.asked, question.cue
