"""Questions that compare: which is larger, are they as large, which are more."""

from __future__ import annotations

from .referring import pick, plural, yes_or_no
from .world import COLOURS, SHAPES


def ask_compare(seen, rng):
    """Which is larger, whether two are equally large, or which are more.

    What cannot be asked becomes a question after numbers, not one after equal size:
    that would be asked most where all sizes are the same.
    """
    ask = pick(rng, (_ask_larger, _ask_same_size, _ask_more))
    return ask(seen, rng) or _ask_more(seen, rng)


def _ask_larger(seen, rng):
    named = [(thing, None) for thing in seen.meant("colour", "shape")]
    if len({thing.size for thing, _ in named}) < 2:
        return None
    one, _ = seen.choose(rng, named)
    other = pick(rng, [thing for thing, _ in named if thing.size != one.size])
    first, second = (one, other) if rng.random() < 0.5 else (other, one)
    larger = first if first.size == "large" else second
    names = [f"the {thing.colour} {thing.shape}" for thing in (first, second, larger)]
    return f"which is larger, {names[0]} or {names[1]}?", names[2]


def _ask_same_size(seen, rng):
    named = [(thing, None) for thing in seen.meant("colour", "shape")]
    if len(named) < 2:
        return None
    (one, _), (other, _) = seen.two(rng, named)
    text = (
        f"are the {one.colour} {one.shape} and the {other.colour} {other.shape} "
        "the same size?"
    )
    return text, yes_or_no(one.size == other.size)


def _ask_more(seen, rng):
    """More of one shape, or more of one colour, than of another."""
    truth = rng.random() < 0.5
    if rng.random() < 0.5:
        there, words, ending = seen.shapes, SHAPES, ""
    else:
        there, words, ending = seen.colours, COLOURS, " objects"
    present = list(there)
    first = pick(rng, present)
    second = pick(rng, [word for word in words if there[word] < there[first]])
    if not truth:
        # As many of both, or turned around.
        equal = [w for w in present if there[w] == there[first] and w != first]
        if equal and rng.random() < 0.5:
            second = pick(rng, equal)
        else:
            first, second = second, first
    one, other = (
        (f"{word}{ending}" if ending else plural(word)) for word in (first, second)
    )
    return f"are there more {one} than {other}?", yes_or_no(truth)
