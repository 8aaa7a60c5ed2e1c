r"""How much a model remembers: questions about fresh episodes, counted.

    in each of the ways (ways.py) | by guessing | of pairs never seen | of more pictures

An answer is right if the model, decoding greedily, says that word and ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from ... import scenes
from ...blocks.episodic_memory.gates import is_open
from ...blocks.episodic_memory.reading import novelty
from ...metrics.limits import over_rounds
from ...metrics.shares import Share, Spread, share_above, share_of
from ...text.chat import DESCRIBE
from .ways import WAYS, Examined, answered, asked_of_another, examine

LENGTH = 4  # past pictures of an episode, where nothing else is said
LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16, 32)
QUESTIONS = 10  # of an episode, as many of each kind
EQUALLY = dict.fromkeys(scenes.RECALLED, 1.0)
AT_ONCE = 50  # episodes

Progress = Callable[[int, int], None]

# The past apart from the first kind, and "order" as both of its kinds.
HEADINGS = {
    "past": scenes.RECALLED[1:],
    "content": ("content",),
    "order": ("order",),
    "order alone": ("order alone",),
    "which": ("which",),
    "present": ("present",),
}


class Counts(dict[str, list]):
    """By heading, whether each answer is right."""

    def add(self, asked, right):
        """Note the answers (b, q) to some questions by their kind."""
        for some, truths in zip(asked, right):
            for question, truth in zip(some, truths):
                for heading, kinds in HEADINGS.items():
                    if question.kind in kinds:
                        self.setdefault(heading, []).append(truth)

    def add_places(self, asked, right):
        """Note those of the past by the place of the picture that they mean."""
        for some, truths in zip(asked, right):
            for question, truth in zip(some, truths):
                if question.picture is not None:
                    place = f"past, picture {question.picture + 1}"
                    self.setdefault(place, []).append(truth)

    def add_gates(self, asked, opened):
        """Note whether the gate is open for the past and closed for the present."""
        for some, theirs in zip(asked, opened):
            for question, gate in zip(some, theirs):
                is_past = question.picture is not None
                kind = "past" if is_past else "present"
                for heading in ("right", f"right for the {kind}"):
                    self.setdefault(heading, []).append(gate == is_past)

    def shares(self) -> dict[str, Share]:
        """The share of each heading, in their order."""
        places = {heading: place for place, heading in enumerate(HEADINGS)}
        order = sorted(self, key=lambda name: (places.get(name, len(places)), name))
        return {heading: share_of(self[heading]) for heading in order}


def doubts(model, exam: Examined) -> tuple[list, list]:
    """How new an object that is asked for is to the memory that has it, and to that of
    the episode before, where it has none like it: of questions by content."""
    memory, found = asked_of_another(model, exam)
    own = novelty(exam.stored.memory, exam.found.address)
    others = novelty(memory, found.address)
    known, new = [], []
    for row, some in enumerate(exam.asked):
        before = exam.episodes[row - 1].past
        shown = {thing.pair for scene in before for thing in scene.objects}
        for at, question in enumerate(some):
            if question.kind in ("content", "which"):
                known.append(own[row, at])
                if question.cue not in shown:
                    new.append(others[row, at])
    return known, new


def drawn(seed: int, numbers, length: int, split: str = "train"):
    """(episodes, questions of each) by numbers: a function of seed and number."""
    episodes, asked = [], []
    for number in numbers:
        rng = np.random.default_rng([seed, 2, number])
        episode = scenes.sample_episode(rng, length, split)
        episodes.append(episode)
        asked.append(scenes.recollections(episode, rng, QUESTIONS, split, EQUALLY))
    return episodes, asked


def guessed(asked, seed: int, known: int) -> dict[str, Share]:
    """What a guesser gets right who has seen `known` other episodes' questions and
    their answers, and no picture."""
    _, others = drawn(seed + 1, range(known), LENGTH)
    flat = [question for some in asked for question in some]
    past = [question for question in flat if question.picture is not None]
    told = [question for some in others for question in some]
    by_kind = {**scenes.chance(flat, told), "past": scenes.chance(past, told)["all"]}
    shares = {}
    for name, kinds in HEADINGS.items():
        size = sum(question.kind in kinds for question in flat)
        shares[name] = Share(round(by_kind.get(name, 0.0) * size), size)
    return shares


def score(
    model, speech, count: int, seed: int, progress: Progress
) -> Iterator[tuple[str, dict[str, Share]]]:
    """(test, heading -> share): `count` episodes of four past pictures in each way,
    with captions of the present ones, and as many with held-out pairs."""
    counts, gates = {way: Counts() for way in WAYS}, Counts()
    questions: list[Sequence[scenes.Recollection]] = []
    present: list[scenes.Scene] = []
    known: list[float] = []
    new: list[float] = []
    for exam in exams(model, speech, range(count), seed, progress=progress):
        questions += exam.asked
        present += [episode.present for episode in exam.episodes]
        gates.add_gates(exam.asked, is_open(exam.found.gate))
        for all_doubts, some in zip((known, new), doubts(model, exam)):
            all_doubts += some
        for way, counted in counts.items():
            right = answered(model, exam, WAYS[way])
            counted.add(exam.asked, right)
            if way == "with its memory":
                counted.add_places(exam.asked, right)
    yield from ((way, counted.shares()) for way, counted in counts.items())
    yield "gate", gates.shares()
    yield "variance", {"new above known": share_above(np.array(known), np.array(new))}
    yield "guessing", guessed(questions, seed, 2 * count)
    yield "captions", captions(model, present)
    unseen = exams(model, speech, range(count), seed, split="unseen", progress=progress)
    yield "unseen pairs", counted_of(model, unseen)


def limits(
    model, speech, count: int, seed: int, progress: Progress
) -> Iterator[tuple[str, dict[str, Spread]]]:
    """(test, heading -> spread): `count` episodes of each of other lengths."""

    def one_round(number, seed):
        return {
            f"{n} past": counted_of(model, exams(model, speech, range(number), seed, n))
            for n in LENGTHS
        }

    yield from over_rounds(one_round, count, seed, progress).items()


def counted_of(model, some: Iterable[Examined]) -> dict[str, Share]:
    """The shares of some episodes with their memory, as learnt."""
    counts = Counts()
    for exam in some:
        counts.add(exam.asked, answered(model, exam))
    return counts.shares()


def captions(model, present: Sequence[scenes.Scene]) -> dict[str, Share]:
    """How many pictures are described rightly, with nothing remembered."""
    said = model.answers([*map(scenes.draw, present)], [DESCRIBE] * len(present))
    judged = [scenes.judge(caption, scene) for caption, scene in zip(said, present)]
    return {
        "captions": share_of(one.true and one.complete for one in judged),
        "captions without a false fact": share_of(one.true for one in judged),
        "captions that name both objects": share_of(one.complete for one in judged),
    }


def exams(
    model,
    speech,
    numbers: range,
    seed: int,
    length: int = LENGTH,
    split: str = "train",
    progress: Progress | None = None,
) -> Iterator[Examined]:
    """Fresh episodes by their numbers, some at once."""
    for start in range(0, len(numbers), AT_ONCE):
        some = numbers[start : start + AT_ONCE]
        yield examine(model, speech, *drawn(seed, some, length, split))
        if progress is not None:
            progress(start + len(some), len(numbers))
