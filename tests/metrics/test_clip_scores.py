"""The spec of refvlm/metrics/clip_scores.py."""

import numpy as np

from refvlm import scenes
from refvlm.metrics import clip_scores as module
from refvlm.metrics.clip_scores import CLASSES, THINGS, clip_scores

from ..spec import example, law


@example
def test_things_are_the_classes_in_two_sizes():
    """8 colours times 6 shapes, each written down as large and as small."""
    assert len(CLASSES) == 48 and "blue star" in CLASSES
    assert len({*THINGS}) == 96 and THINGS[50] == f"small {CLASSES[2]}"


class Knowing:
    """Towers that know everything: a direction for each set of words."""

    def __init__(self):
        self.directions = {}

    def direction(self, words):
        fresh = np.random.default_rng(len(self.directions)).normal(size=512)
        return self.directions.setdefault(words, fresh / np.linalg.norm(fresh))

    def text_features(self, texts):
        return np.array([self.direction(self.parts(text)) for text in texts])

    def parts(self, text):
        words = text.replace(",", " ").replace(".", " ").split()
        return tuple(sorted(w for w in words if w in scenes.COLOURS + scenes.SHAPES))


@law
def test_clip_scores_of_towers_that_know_are_one(monkeypatch):
    """Pictures that carry their words: every name is right, and every one is found.

    Where two captions hold the same colours and shapes, sizes alone tell them apart,
    which these towers do not know: so the second place is granted.
    """
    model = Knowing()
    monkeypatch.setattr(scenes, "draw", lambda scene: scene)
    model.image_features = lambda drawn: np.array(
        [
            model.direction(tuple(sorted(w for o in scene.objects for w in o.pair)))
            for scene in drawn
        ]
    )
    scores = clip_scores(model, pictures=20, rounds=2)
    for split in scenes.SPLITS:
        assert scores[split] == dict.fromkeys(
            ("zero-shot", "colour", "shape"), (20, 20)
        )
    right, asked = scores["retrieval"]["image to text, first 5"]
    assert asked == 200 and right > 180


class Stubborn:
    """Towers to which every picture is the same thing."""

    thing = THINGS[7]

    def text_features(self, texts):
        return np.array([self.direction(self.thing in text) for text in texts])

    def image_features(self, drawn):
        return np.array([self.direction(True)] * len(drawn))

    def direction(self, is_thing):
        return [1.0, 0.0] if is_thing else [0.6, 0.8]


@law
def test_clip_scores_count_the_whole_and_its_parts():
    """Who always says the same class is right about its colour, its shape, and both,
    as often as they occur."""
    steps = []
    scores = clip_scores(
        Stubborn(), 230, rounds=1, seed=3, progress=lambda *step: steps.append(step)
    )
    assert steps == [(100, 230), (200, 230), (230, 230)] * 2
    rng = np.random.default_rng(3)
    _, colour, shape = Stubborn.thing.split()
    for split in scenes.SPLITS:
        pairs = [scenes.sample(rng, split, count=1).objects[0].pair for _ in range(230)]
        assert scores[split] == {
            "zero-shot": (pairs.count((colour, shape)), 230),
            "colour": (sum(pair[0] == colour for pair in pairs), 230),
            "shape": (sum(pair[1] == shape for pair in pairs), 230),
        }
        assert scores[split]["colour"].right > 0


@law
def test_clip_scores_grant_nothing_to_who_cannot_tell():
    """Where all candidates are as near, none is found first."""
    found = clip_scores(Stubborn(), 1, rounds=2)["retrieval"]
    assert found["text to image, first 1"] == (0, 200)


@law
def test_clip_scores_count_the_first_and_the_first_five(monkeypatch):
    """Of texts that lie at the places 0 to 5, one is first, and five are among five."""
    places = np.arange(6)
    cosines = np.where(places < places[:, None], 0.9, 0.1)  # so many are nearer
    cosines[places, places] = 0.5
    monkeypatch.setattr(module, "similarities", lambda model, rng: cosines)
    found = clip_scores(Stubborn(), 1, rounds=2)["retrieval"]
    assert found["image to text, first 1"] == (2, 12)
    assert found["image to text, first 5"] == (10, 12)
