"""Where a model of scenes ends: counted on what training never showed or asked.

    captions    of scenes with one thing unlike training (`scenes.beyond`)
    questions   of the world, in other words (`scenes.rewording`)
    unsure      how often the least likely token shows that something is wrong

Each share is of five rounds with seeds of their own, so that its spread is known.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from .. import scenes
from ..scenes.beyond import ALONE, SEVERAL, UNSAYABLE
from ..scenes.rewording import REQUESTS, WORDINGS, reworded
from ..text.chat import DESCRIBE
from .shares import Share, Spread, share_of

ROUNDS = 5
UNSURE = 0.45
"""A caption of fastvlm-tiny with a token less likely than this is seldom right. (A half
would not do: where two orders of a list are as good, each has nearly that.)"""

Reply = Callable[[Sequence[np.ndarray], Sequence[str]], list]  # of (text, confidence)
Told = Callable[[int, int], None]
Counts = dict[str, dict[str, Share]]  # test -> heading -> share


def spoken_limits(
    reply: Reply, count: int, seed: int, progress: Told | None = None
) -> Iterator[tuple[str, dict[str, Spread]]]:
    """(test, heading -> spread) of a model that speaks, `count` scenes of each family
    or `count` scenes to ask about in every wording."""

    def one_round(number, seed):
        right, unsure = _captions(reply, number, seed)
        answers, doubted = _questions(reply, number, seed)
        tests = {"captions": right, **answers}
        tests["requests in other words"] = _requests(reply, number, seed)
        return {**tests, "unsure": unsure | doubted}

    yield from over_rounds(one_round, count, seed, progress).items()


def over_rounds(
    one_round: Callable[[int, int], Counts],
    count: int,
    seed: int,
    progress: Told | None = None,
) -> dict[str, dict[str, Spread]]:
    """The counts of rounds with the seeds that follow `seed`, side by side."""
    size = max(count // ROUNDS, 1)
    found: list[Counts] = []
    for number in range(ROUNDS):
        found.append(one_round(size, seed + number))
        if progress is not None:
            progress(size * (number + 1), size * ROUNDS)
    return {
        test: {
            heading: Spread(counts[test].get(heading, NONE) for counts in found)
            for heading in dict.fromkeys(h for counts in found for h in counts[test])
        }
        for test in found[0]
    }


NONE = Share(0, 0)


def drawn(family, name: str, count: int, seed: int):
    """(scenes, pictures) of a family; its own whatever else is counted."""
    rng = np.random.default_rng([seed, 3, *name.encode()])
    some = [family(rng) for _ in range(count)]
    return some, [scenes.draw(scene) for scene in some]


def _captions(reply, count, seed):
    """(right, unsure), heading -> share each, for every family."""
    right, unsure, sure_of_right = {}, {}, []
    for name, family in (ALONE | SEVERAL | UNSAYABLE).items():
        some, pictures = drawn(family, name, count, seed)
        said = reply(pictures, [DESCRIBE] * count)
        doubts = [confidence < UNSURE for _, confidence in said]
        unsure[name] = share_of(doubts)
        if name in UNSAYABLE:
            continue
        judged = [scenes.judge(text, scene) for (text, _), scene in zip(said, some)]
        correct = [found.true and found.complete for found in judged]
        right[name] = share_of(correct)
        if family is scenes.sample:
            sure_of_right = [doubt for doubt, good in zip(doubts, correct) if good]
    return right, {"right captions": share_of(sure_of_right), **unsure}


def _requests(reply, count, seed):
    some, pictures = drawn(scenes.sample, "requests", count, seed)
    shares = {}
    for request in REQUESTS:
        said = reply(pictures, [request] * count)
        judged = [scenes.judge(text, scene) for (text, _), scene in zip(said, some)]
        shares[request] = share_of(found.true and found.complete for found in judged)
    return shares


def _questions(reply, count, seed):
    """(test -> heading -> share, unsure) for every wording and kind."""
    some, pictures = drawn(scenes.sample, "questions", count, seed)
    rng = np.random.default_rng([seed, 4])
    asked = [(i, q) for i in range(count) for q in scenes.questions(some[i], rng, 8)]
    tests, doubted = {}, {}
    for wording in WORDINGS:
        put = [(i, new) for i, q in asked if (new := reworded(q, wording))]
        said = reply([pictures[i] for i, _ in put], [q.text for _, q in put])
        kinds = defaultdict(list)
        doubts = []
        for (_, question), (text, confidence) in zip(put, said):
            is_right = scenes.judge_answer(text, question)
            kinds["all"].append(is_right)
            kinds[question.kind].append(is_right)
            if is_right:
                doubts.append(confidence < UNSURE)
        order = ["all", *scenes.KINDS]
        tests[f"questions, {wording}"] = {
            kind: share_of(kinds[kind]) for kind in order if kind in kinds
        }
        if wording == "as in training":
            doubted["right answers"] = share_of(doubts)
    absent = [_absent(scene) for scene in some]
    said = reply(pictures, absent)
    doubted["the colour of what is not there"] = share_of(
        confidence < UNSURE for _, confidence in said
    )
    return tests, doubted


def _absent(scene):
    """A question about a shape that the scene does not have."""
    there = {thing.shape for thing in scene.objects}
    shape = next(shape for shape in scenes.SHAPES if shape not in there)
    return f"what colour is the {shape}?"
