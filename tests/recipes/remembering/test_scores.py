"""The spec of refvlm/recipes/remembering/scores.py, on a model of chance
weights: what is counted, not how much."""

from types import SimpleNamespace

import numpy as np
import pytest

from refvlm import scenes
from refvlm.blocks.episodic_memory.prior import Memory
from refvlm.models import microvlm_memory
from refvlm.recipes.remembering import scores, ways
from refvlm.recipes.remembering.speech import Speech

from ...spec import assert_close, example, law
from .small_memory import speaking_model


@pytest.fixture(scope="module")
def model():
    return speaking_model()


@pytest.fixture(scope="module")
def exam(model):
    drawn = scores.drawn(3, range(3), 4)
    return ways.examine(model, Speech(model.tokenizer), *drawn)


@law
def test_score_counts_every_question_once(model):
    """Under its kind; all but the present ones under the past, and by their place."""
    tests = dict(scores.score(model, Speech(model.tokenizer), 2, 7, lambda *done: None))
    asked = 2 * scores.QUESTIONS
    for shares in (tests[way] for way in ways.WAYS):
        of = {name: share.asked for name, share in shares.items()}
        kinds = sum(of.get(kind, 0) for kind in scenes.RECALLED)
        assert kinds == asked
        assert of["past"] == asked - of["present"]
    of = tests["with its memory"]
    places = sum(s.asked for name, s in of.items() if name.startswith("past, picture"))
    assert places == of["past"].asked
    assert tests["gate"]["right"].asked == asked
    assert tests["captions"]["captions"] == (0, 2)
    new_above_known = tests["variance"]["new above known"]
    known = of["content"].asked + of["which"].asked
    assert 0 < new_above_known.asked <= known**2 and not new_above_known.asked % known
    rest = {"gate", "variance", "guessing", "captions", "unseen pairs"}
    assert {*tests} == {*ways.WAYS} | rest


@law
def test_a_gate_is_right_where_the_past_is_likelier(model, exam, monkeypatch):
    """However little: a logit of a tenth is a gate above a half, and open."""
    past = np.array([[q.picture is not None for q in some] for some in exam.asked])
    for much in (0.1, -0.1):
        gate = np.where(past, much, -much).astype(np.float32)
        one = exam._replace(found=exam.found._replace(gate=gate))
        monkeypatch.setattr(scores, "exams", lambda *_, one=one, **__: iter([one]))
        speech = Speech(model.tokenizer)
        tests = dict(scores.score(model, speech, 3, 7, lambda *done: None))
        assert tests["gate"]["right"] == (past.size if much > 0 else 0, past.size)


@law
def test_doubts_are_of_what_was_written_and_what_was_not(model, exam):
    """One by one: each question by content asks the memory that has its object, and
    that of the episode before, unless this has one like it."""
    known, new = scores.doubts(model, exam)
    ours, others = [], []
    for row, some in enumerate(exam.asked):
        for at, question in enumerate(some):
            if question.kind not in ("content", "which"):
                continue
            pairs = [{t.pair for s in e.past for t in s.objects} for e in exam.episodes]
            assert question.cue in pairs[row]
            asked = [(row, ours)]
            if question.cue not in pairs[row - 1]:
                asked.append(((row or 3) - 1, others))
            for of, found in asked:
                hidden = exam.read.questions[row : row + 1, at : at + 1]
                memory = Memory(*(part[of : of + 1] for part in exam.stored.memory))
                where = microvlm_memory.recall(
                    memory, hidden, model.weights, model.config
                ).address[0, 0]
                variance = where @ memory.covariance[0] @ where / (where @ where)
                found.append(variance)
    assert_close(np.array(known), np.array(ours), 1e-9)
    assert_close(np.array(new), np.array(others), 1e-9)


@example
def test_captions_may_name_both_objects_and_be_wrong(model):
    """Where they lie is another fact than what they are."""
    episode = scenes.sample_episode(np.random.default_rng(0), 1)
    one, other = sorted(episode.present.objects, key=lambda thing: thing.x)
    said = [
        " to the left of ".join(f"a {t.size} {t.colour} {t.shape}" for t in order) + "."
        for order in ((one, other), (other, one))
    ]
    told = SimpleNamespace(answers=lambda pictures, prompts: said)
    counted = scores.captions(told, [episode.present] * 2)
    assert counted["captions"] == counted["captions without a false fact"] == (1, 2)
    assert counted["captions that name both objects"] == (2, 2)


@law
def test_limits_are_of_every_length(model, monkeypatch):
    """Five rounds of each; of one picture nobody asks for one word of two."""
    monkeypatch.setattr(scores, "LENGTHS", (1, 2))
    speech = Speech(model.tokenizer)
    tests = dict(scores.limits(model, speech, 5, 7, lambda *done: None))
    assert [*tests] == ["1 past", "2 past"]
    for spreads in tests.values():
        assert sum(share.asked for share in spreads["past"]) > 20
        assert len(spreads["past"]) == 5


@example
def test_guessed_gets_right_what_is_guessed():
    """A guesser of the most frequent answer is right as often as `scenes.chance` says,
    about one time in four or five."""
    _, asked = scores.drawn(3, range(40), 4)
    shares = scores.guessed(asked, seed=3, known=80)
    assert shares["past"].asked == 400 - shares["present"].asked
    assert 0.1 < shares["past"].right / shares["past"].asked < 0.4
