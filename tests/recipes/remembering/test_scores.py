"""The spec of refvlm/recipes/remembering/scores.py and views.py, on a model of chance
weights: what is counted, not how much."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from refvlm import scenes
from refvlm.blocks.episodic_memory.prior import Memory
from refvlm.checkpoint import Weights
from refvlm.models import microvlm, microvlm_memory
from refvlm.recipes.remembering import passes, scores, views
from refvlm.recipes.remembering.speech import Speech, episode_tokenizer

from ...spec import assert_close, example, law
from ...weights import random_weights
from .small_memory import CONFIG


@pytest.fixture(scope="module")
def model():
    tokenizer = episode_tokenizer()
    config = replace(CONFIG, text=replace(CONFIG.text, vocab_size=len(tokenizer)))
    weights = random_weights(microvlm.expected_shapes(config, tied=True))
    shrink = SimpleNamespace(
        batch=lambda pictures: np.stack(
            [p[::16, ::16].transpose(2, 0, 1) / 255 for p in pictures]
        )
    )
    return SimpleNamespace(
        weights=Weights(weights),
        config=config,
        tokenizer=tokenizer,
        preprocessor=shrink,
        answers=lambda pictures, prompts: ["a ring."] * len(pictures),
    )


@pytest.fixture(scope="module")
def exam(model):
    speech = Speech(model.tokenizer)
    return scores.examine(model, speech, *scores.drawn(3, range(3), 4))


def spoken(model, exam, way):
    """The scores of all tokens of all answers."""
    recalled, bias = way(model, exam)
    given = exam.rows, model.weights, model.config
    slots = passes.own_slots(recalled, bias, *given)
    return passes.answer_rows(exam.rows, exam.read, *given[1:], slots)


@law
def test_score_counts_every_question_once(model):
    """Under its kind; all but the present ones under the past, and by their place."""
    tests = dict(scores.score(model, Speech(model.tokenizer), 2, 7, lambda *done: None))
    asked = 2 * scores.QUESTIONS
    for shares in (tests[way] for way in scores.WAYS):
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
    assert {*tests} == {*scores.WAYS} | rest


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


@law
def test_ways_differ_in_the_slot_alone(model, exam):
    """Open and as learnt they read the same; closed, whatever is in the slot is not
    seen; another's memory and a cache say something else."""
    said = {n: spoken(model, exam, way) for n, way in scores.WAYS.items()}
    alone = passes.answer_rows(exam.rows, exam.read, model.weights, model.config)
    assert_close(said["without memory"], alone)
    for one in ("memory of another episode", "codes in a plain cache"):
        assert np.abs(said[one] - said["with its memory"]).max() > 1e-3, one
    hard = scores.gate_hard(model, exam)[1]
    assert ((hard == 0) == (exam.found.gate > 0)).all()


@law
def test_another_memory_is_that_of_the_episode_before(model, exam):
    """Of an episode by itself it is its own."""
    one = scores.drawn(3, [0], 4)
    alone = scores.examine(model, Speech(model.tokenizer), *one)
    assert_close(
        scores.of_another(model, alone)[0],
        scores.as_learnt(model, alone)[0],
    )
    read = scores.of_another(model, exam)[0]
    assert np.abs(read - exam.found.read).max() > 1e-3


@example
def test_guessed_gets_right_what_is_guessed():
    """A guesser of the most frequent answer is right as often as `scenes.chance` says,
    about one time in four or five."""
    _, asked = scores.drawn(3, range(40), 4)
    shares = scores.guessed(asked, seed=3, known=80)
    assert shares["past"].asked == 400 - shares["present"].asked
    assert 0.1 < shares["past"].right / shares["past"].asked < 0.4


@law
def test_view_shows_where_a_question_looks(model):
    """Shares of all tokens of all pictures add up to one, what is seen of a slot is a
    share of what is seen, and the words are those that are answered."""
    (episode,), (asked,) = scores.drawn(5, [0], 3)
    seen = views.view(model, episode, asked)
    assert seen.likeness.shape == seen.shares.shape == (len(asked), 3, 2)
    assert_close(seen.shares.sum((1, 2)), np.ones(len(asked)))
    layers, heads = (
        model.config.text.num_hidden_layers,
        model.config.text.num_attention_heads,
    )
    assert seen.attention.shape == (len(asked), layers, heads)
    assert ((seen.attention > 0) & (seen.attention < 1)).all()
    assert ((seen.gate > 0) & (seen.gate < 1)).all()
    assert len(seen.said) == len(asked)
