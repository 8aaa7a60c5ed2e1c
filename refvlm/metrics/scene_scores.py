r"""How often a model is right about scenes: captions and questions, counted.

A caption is right when it is true in every fact and names every object; an answer is
right or not. The judge is a parser (`scenes.judge`), so that nobody's taste comes in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .. import scenes
from ..text.chat import DESCRIBE
from .shares import Share

HEADINGS = (
    *("captions", *(f"captions of {n}" for n in range(1, len(scenes.NUMBERS)))),
    "captions without a false fact",
    *("questions", *scenes.KINDS),
    *(f"questions about {n}" for n in range(1, len(scenes.NUMBERS))),
)

Answer = Callable[[Sequence[np.ndarray], Sequence[str]], list[str]]


@dataclass
class Report:
    """Shares by heading ("captions", "captions with 3 objects", "colour", ...), and the
    first mistakes as (scene, question or None, what was said, what is wrong)."""

    shares: dict[str, Share] = field(default_factory=dict)
    mistakes: list[tuple] = field(default_factory=list)

    def count(self, heading: str, is_right: bool):
        """Note one answer under a heading."""
        right, asked = self.shares.get(heading, Share(0, 0))
        self.shares[heading] = Share(right + bool(is_right), asked + 1)


def score(
    answer: Answer,
    split: str = "train",
    count: int = 1000,
    seed: int = 1,
    questions: int = 8,
    draw: Callable = scenes.draw,
    progress: Callable[[int, int], None] | None = None,
    at_once: int = 100,
) -> Report:
    """Captions of `count` fresh scenes of a split, and questions about them.

    `answer(pictures, prompts)` is asked `at_once` scenes at a time; `draw(scene)` makes
    a picture. The scenes follow from the seed alone.
    """
    report = Report()
    for start in range(0, count, at_once):
        numbers = range(start, min(start + at_once, count))
        _score_some(answer, split, seed, numbers, questions, draw, report)
        if progress is not None:
            progress(numbers.stop, count)
    report.shares = {h: report.shares[h] for h in HEADINGS if h in report.shares}
    return report


def _score_some(answer, split, seed, numbers, questions, draw, report):
    drawn, pictures, asked = [], [], []
    for number in numbers:
        rng = np.random.default_rng([seed, 2, number])
        scene = scenes.sample(rng, split)
        drawn.append(scene)
        pictures.append(draw(scene))
        asked.append(scenes.questions(scene, rng, questions, split))
    said = answer(pictures, [DESCRIBE] * len(drawn))
    for scene, caption in zip(drawn, said):
        _count_caption(report, scene, caption)
    flat = [(i, question) for i, some in enumerate(asked) for question in some]
    replies = answer([pictures[i] for i, _ in flat], [q.text for _, q in flat])
    for (i, question), reply in zip(flat, replies):
        is_right = scenes.judge_answer(reply, question)
        report.count("questions", is_right)
        report.count(question.kind, is_right)
        report.count(f"questions about {len(drawn[i].objects)}", is_right)
        if not is_right:
            report.mistakes.append((drawn[i], question, reply, question.answer))


def _count_caption(report, scene, caption):
    judged = scenes.judge(caption, scene)
    is_right = judged.true and judged.complete
    report.count("captions", is_right)
    report.count(f"captions of {len(scene.objects)}", is_right)
    report.count("captions without a false fact", judged.true)
    if not is_right:
        report.mistakes.append((scene, None, caption, judged.mistakes))
