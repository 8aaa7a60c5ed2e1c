"""The spec of refvlm/metrics/scene_scores.py."""

import numpy as np

from refvlm import scenes
from refvlm.metrics.scene_scores import score
from refvlm.text.chat import DESCRIBE

from ..spec import example, law


class Oracle:
    """Answers from the scenes themselves, in the order in which they are asked."""

    def __init__(self, split="train", count=12, seed=1, questions=3, spoil=None):
        self.captions, self.replies = [], []
        for number in range(count):
            rng = np.random.default_rng([seed, 2, number])
            scene = scenes.sample(rng, split)
            self.captions.append(scenes.captions(scene)[-1])
            self.replies += scenes.questions(scene, rng, questions, split)
        self.spoil = spoil

    def __call__(self, pictures, prompts):
        assert len(pictures) == len(prompts)
        if prompts[0] == DESCRIBE:
            said = [self.captions.pop(0) for _ in prompts]
        else:
            said = [self.replies.pop(0).answer for _ in prompts]
        return said if self.spoil is None else [self.spoil(text) for text in said]


def scored(spoil=None, split="train", at_once=5):
    answer = Oracle(split, spoil=spoil)
    return score(answer, split, 12, questions=3, at_once=at_once)


@example
def test_score_of_the_truth_is_all_of_it():
    """Who knows the scenes has every caption and every question right."""
    report = scored()
    assert report.shares["captions"] == (12, 12)
    assert report.shares["questions"][0] == report.shares["questions"][1] > 24
    assert not report.mistakes


@law
def test_score_counts_what_is_wrong():
    """Words that are swapped for others are noticed, and told with the truth."""
    report = scored(lambda text: text.replace("red", "mauve").replace("yes", "maybe"))
    right, asked = report.shares["captions"]
    assert right < asked == 12
    assert len(report.mistakes) == (asked - right) + (
        report.shares["questions"].asked - report.shares["questions"].right
    )
    assert scored(lambda text: "nonsense").shares["captions"].right == 0


@law
def test_score_adds_up():
    """Counted by number of objects, or by kind, they are all captions and questions."""
    shares = scored(lambda text: text.replace("large", "small")).shares
    by_number = [shares[name] for name in shares if name.startswith("captions of ")]
    assert sum(share.asked for share in by_number) == shares["captions"].asked
    kinds = [shares[kind] for kind in scenes.KINDS if kind in shares]
    assert sum(share.right for share in kinds) == shares["questions"].right
    by_number = [shares[name] for name in shares if name.startswith("questions about")]
    assert sum(share.right for share in by_number) == shares["questions"].right


@law
def test_score_does_not_depend_on_the_batches():
    """Scenes follow from the seed and their number, however many are drawn at once."""
    spoil = lambda text: text.replace("circle", "star")  # noqa: E731
    assert scored(spoil, at_once=12).shares == scored(spoil, at_once=1).shares
