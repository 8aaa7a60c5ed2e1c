"""The spec of refvlm/metrics/limits.py."""

import numpy as np
import pytest

from refvlm import scenes
from refvlm.metrics import limits
from refvlm.metrics.shares import Share, Spread
from refvlm.scenes.beyond import ALONE, SEVERAL, UNSAYABLE

from ..spec import example, law


@example
def test_spread_is_the_whole_and_its_ends():
    """Seven of eight; the worse round had three of four. An empty round counts not."""
    assert (
        str(Spread([Share(3, 4), Share(4, 4), Share(0, 0)]))
        == " 87.5 % of 8 (75 to 100)"
    )


@law
def test_over_rounds_gives_each_round_a_seed_of_its_own():
    """A heading that only some rounds have is there, with nothing asked in the rest."""
    seeds, told = [], []

    def one_round(count, seed):
        seeds.append(seed)
        return {"test": {"all": Share(count, count), f"of {seed}": Share(1, 2)}}

    found = limits.over_rounds(one_round, 50, 7, lambda *done: told.append(done))
    assert seeds == [7, 8, 9, 10, 11] and told[-1] == (50, 50)
    assert found["test"]["all"] == Spread([Share(10, 10)] * 5)
    assert found["test"]["of 8"] == (Share(0, 0), Share(1, 2), *[Share(0, 0)] * 3)


@pytest.fixture
def knowing(monkeypatch):
    """A model that knows each scene by its picture, and is unsure of crowds."""
    known, replies, draw = {}, {}, scenes.draw

    def drawn(scene, *size):
        picture = draw(scene, *size)
        known[picture.tobytes()] = scene
        return picture

    ask = scenes.questions

    def asked(scene, rng, number):
        found = ask(scene, rng, number)
        replies.update({(id(scene), q.text): q.answer for q in found})
        return found

    monkeypatch.setattr(scenes, "draw", drawn)
    monkeypatch.setattr(scenes, "questions", asked)

    def reply(pictures, prompts):
        said = []
        for picture, prompt in zip(pictures, prompts):
            scene = known[np.asarray(picture).tobytes()]
            if prompt == "Describe the image.":
                crowd = not 0 < len(scene.objects) <= 4
                choices = ["?"] if crowd else scenes.captions(scene)
                right = [c for c in choices if scenes.judge(c, scene).true]
                said.append(([*right, "?"][0], 0.1 if crowd else 0.9))
            else:
                said.append((replies.get((id(scene), prompt), "?"), 0.9))
        return said

    return reply


@law
def test_spoken_limits_count_a_model_that_knows(knowing):
    """One that sees everything and knows the questions as they were asked is right
    about all of these, wrong about other words, and unsure where it cannot say it."""
    found = dict(limits.spoken_limits(knowing, 10, 1))
    assert set(found["captions"]) == {*ALONE, *SEVERAL}
    assert all(
        s.right == s.asked for rounds in found["captions"].values() for s in rounds
    )
    assert all(s.right == s.asked for s in found["questions, as in training"]["all"])
    assert not any(s.right for s in found["questions, in other words"]["all"])
    requests = found["requests in other words"]
    assert [sum(s.right for s in shares) > 0 for shares in requests.values()] == [
        *(True, False, False, False, False)
    ]
    for name, rounds in found["unsure"].items():
        share = sum(s.right for s in rounds) / sum(s.asked for s in rounds)
        assert share == (name in UNSAYABLE), name
