"""The spec of weights/microvlm-tiny, which remembers pictures that are gone."""

import json
import warnings

import numpy as np
import pytest

import refvlm
from refvlm import checkpoint, scenes
from refvlm.models import clip, microvlm
from refvlm.pretrained import FadingWarning, shipped_model
from refvlm.recipes.remembering import scores, views, ways
from refvlm.recipes.remembering.speech import Speech

from .spec import example, law

NAME = "microvlm-tiny"
EPISODES = 40


@pytest.fixture(scope="module")
def model():
    return refvlm.load(shipped_model(NAME))


@pytest.fixture(scope="module")
def exam(model):
    """Forty fresh episodes of four pictures, and what the model makes of them."""
    drawn = scores.drawn(5, range(EPISODES), scores.LENGTH)
    return ways.examine(model, Speech(model.tokenizer), *drawn)


def told(file="scores.json"):
    return json.loads((shipped_model(NAME) / file).read_text())["found"]


def share(exam, right, *kinds):
    """How many answers to questions of these kinds are right, of one."""
    flat = [question.kind in kinds for some in exam.asked for question in some]
    return right.reshape(-1)[flat].mean()


@law
@pytest.mark.parametrize("way", ways.WAYS)
def test_it_remembers_as_its_card_says(model, exam, way):
    """Of forty fresh episodes about as much as of the thousand on the card, with its
    memory, with another's, and with none."""
    right = ways.answered(model, exam, ways.WAYS[way])
    for heading in ("past", "present"):
        measured = share(exam, right, *scores.HEADINGS[heading])
        of_all, asked = told()[way][heading]
        assert abs(measured - of_all / asked) < 0.12, heading


@law
def test_what_it_says_of_the_past_is_what_it_remembers(model, exam):
    """Each of forty memories belongs to its episode: with that of another one it knows
    no more than with none, and no more than who guesses."""
    past = scores.HEADINGS["past"]
    right = {
        way: share(exam, ways.answered(model, exam, how), *past)
        for way, how in ways.WAYS.items()
    }
    guessed = told()["guessing"]["past"]
    for way in ("without memory", "memory of another episode"):
        assert right[way] < guessed[0] / guessed[1] + 0.1, way
        assert right["with its memory"] > 2 * right[way], way


@law
def test_its_gate_knows_the_past_from_the_present(exam):
    """By the question alone, in at least nineteen of twenty."""
    past = [[q.picture is not None for q in some] for some in exam.asked]
    assert np.mean((exam.found.gate > 0) == past) >= 0.95


@law
def test_it_says_the_same_asked_one_by_one(model, exam):
    """What is counted in packed rows is what a user hears, who lets it see pictures one
    by one and asks about them."""
    right = ways.answered(model, exam, ways.gate_hard)
    for number in range(2):
        (episode,), (asked,) = scores.drawn(5, [number], scores.LENGTH)
        asking = refvlm.load(shipped_model(NAME))
        asking.remember(*map(scenes.draw, episode.past))
        present = scenes.draw(episode.present)
        for question, is_right in zip(asked, right[number]):
            said = asking.ask(question.text, present)
            assert (said == question.answer) == is_right, question.text


@example
def test_it_looks_at_the_picture_that_is_meant(model):
    """For questions by content, at a token of the picture with those words; and the
    marker behind the question sees the slot."""
    (episode,), (asked,) = scores.drawn(6, [0], scores.LENGTH)
    seen = views.view(model, episode, asked)
    for question, shares, gate in zip(asked, seen.shares, seen.gate):
        if question.kind in ("content", "which"):
            assert shares.sum(1).argmax() == question.picture
            assert gate > 0.5


@law
def test_what_it_forgets_it_does_not_know():
    """Of ten episodes one picture is forgotten: what was in it is answered as by one
    who guesses, and what was in the others as before."""
    forgotten, kept = [], []
    for number in range(10):
        (episode,), (asked,) = scores.drawn(7, [number], scores.LENGTH)
        asking = refvlm.load(shipped_model(NAME))
        asking.remember(*map(scenes.draw, episode.past))
        asking.forget(2)
        for question in asked:
            if question.picture is not None and question.asked != "size":
                right = asking.ask(question.text) == question.answer
                (forgotten if question.picture == 1 else kept).append(right)
    assert np.mean(kept) > 0.8 and np.mean(forgotten) < 0.5


@law
def test_it_says_when_pictures_fade():
    """Not of the six that it was trained on, and of twelve, where it fails."""
    (episode,), _ = scores.drawn(8, [0], 12)
    pictures = [*map(scenes.draw, episode.past)]
    asking = refvlm.load(shipped_model(NAME))
    with warnings.catch_warnings(action="error"):
        asking.remember(*pictures[:6])
    assert asking.memory.faded() == []
    with pytest.warns(FadingWarning, match="have faded: more of them is lost than is"):
        asking.remember(*pictures[6:])
    assert len(asking.memory.faded()) > 6


@law
def test_it_is_small():
    """At most 8 MB in all."""
    sizes = {path.name: path.stat().st_size for path in shipped_model(NAME).iterdir()}
    assert sum(sizes.values()) <= 8e6, sizes


@law
def test_its_tower_is_that_of_clip_tiny(model):
    """Number by number: it learnt nothing in any stage."""
    tower = checkpoint.load(shipped_model("clip-tiny")).scope(clip.VISION)
    ours = model.weights.scope(microvlm.TOWER)
    assert sorted(ours) == sorted(tower)
    for name in tower:
        np.testing.assert_array_equal(ours[name], tower[name])


@law
def test_its_card_tells_the_scores():
    """Every row of its tables is what `score` wrote beside it."""
    card = (shipped_model(NAME) / "README.md").read_text(encoding="utf-8")
    found = told()
    for test in (*ways.WAYS, "guessing", "unseen pairs"):
        cells = [f"{share_of(found[test][h]):.1f}" for h in scores.HEADINGS]
        assert f"| {' | '.join([test, *cells])} |" in card, test
    captions = found["captions"]
    for share, words in (
        (found["gate"]["right"], "of the questions"),
        (captions["captions"], "of the pictures"),
        (captions["captions that name both objects"], "of them"),
        (found["variance"]["new above known"], "of the pairs"),
    ):
        assert f"{share_of(share):.1f} % {words}" in card, words


@law
def test_its_card_tells_the_limits():
    """Every row is what `score --limits` wrote beside it, over five seeds."""
    card = (shipped_model(NAME) / "README.md").read_text(encoding="utf-8")
    for length, row in told("limits.json").items():
        cells = []
        for heading in scores.HEADINGS:
            rounds = row.get(heading, [])
            total = [sum(counts) for counts in zip(*rounds)]
            cells.append(f"{share_of(total):.1f}" if total and total[1] else "")
        assert f"| {' | '.join([length, *cells])} |" in card, length
        assert all(len(rounds) == 5 for rounds in row.values())


def share_of(counted):
    right, asked = counted
    return 100 * right / asked
