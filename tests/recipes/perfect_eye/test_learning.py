"""The spec of refvlm/recipes/perfect_eye/learning.py: short runs."""

from unittest import mock

import numpy as np
import pytest

from refvlm import scenes
from refvlm.checkpoint import Weights
from refvlm.recipes.perfect_eye import counting, learning, wirings
from refvlm.recipes.perfect_eye.learning import ANSWERS, WORDS
from refvlm.recipes.perfect_eye.wirings import OBJECT, QUESTION, MemoryWiring
from refvlm.train import running

from ...spec import assert_close, example, law

STEPS = 25
SMALL = MemoryWiring(slots=16, width=24)


def forget():
    for known in (learning.pool, learning._batch, counting.fresh):
        known.cache_clear()


@pytest.fixture(scope="module", autouse=True)
def few_scenes():
    """They are drawn in less time."""
    with mock.patch.object(learning, "POOL", 400):
        forget()
        yield
    forget()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(recipe, its last state)."""
    recipe = learning.recipe(SMALL, STEPS)
    return recipe, running.run(recipe, tmp_path_factory.mktemp("run"))


@example
def test_a_few_steps_learn_to_answer(run):
    """At first all answers are as likely as one another; soon it knows which words
    answer which question."""
    recipe, state = run
    first, last = (
        state.history[at]["loss"] - recipe.wiring.finding * state.history[at]["finding"]
        for at in (0, -1)
    )
    assert first == pytest.approx(np.log(len(ANSWERS)), abs=0.5)
    assert last < first - 0.7


@law
def test_run_resumes_bit_for_bit(run, tmp_path):
    """Stopped and continued from the file, it ends the same."""
    running.run(learning.recipe(SMALL, STEPS), tmp_path, stop=10)
    resumed = running.run(learning.recipe(SMALL, STEPS), tmp_path)
    for name, array in run[1].tensors.items():
        np.testing.assert_array_equal(array, resumed.tensors[name])
    assert resumed.history == run[1].history


@law
def test_wirings_are_shown_the_same():
    """One seed: episodes, questions and what is taken away are those of every wiring
    that is trained on as many pictures; and where the weights begin, too."""
    memory, cache = (
        learning.recipe(SMALL._replace(keeps=keeps)) for keeps in ("memory", "cache")
    )
    for step in range(3):
        for one, other in zip(memory.batch(step)[0], cache.batch(step)[0]):
            np.testing.assert_array_equal(one, other)
    for name, array in cache.initial().items():
        np.testing.assert_array_equal(memory.initial()[name], array)
    assert learning.recipe(SMALL, seed=2).batch(0)[0].answers.tolist() != (
        memory.batch(0)[0].answers.tolist()
    )


@law
def test_numbers_say_what_the_words_say():
    """From the marks of an object and of a question both can be read again."""
    rng = np.random.default_rng(4)
    kinds = dict.fromkeys(("content", "order", "order alone", "which"), 1.0)
    pool = learning.pool("train", 31)
    asked = learning.episodes(pool, rng, 30, 5, kinds)
    batch = learning.as_numbers(asked)
    words = (*scenes.COLOURS, *scenes.SHAPES, *scenes.SIZES)
    assert batch.objects.shape == (30, 5, 2, OBJECT) and len(words) == OBJECT
    assert batch.words.shape == (30, 8, QUESTION) and len(WORDS) == QUESTION
    assert len(ANSWERS) == wirings.ANSWERS == len({*ANSWERS})
    for row, (episode, some) in enumerate(asked):
        for scene, marks in zip(episode.past, batch.objects[row]):
            for thing, those in zip(scene.objects, marks):
                said = {word for word, mark in zip(words, those) if mark}
                assert said == {thing.colour, thing.shape, thing.size}
        for question, marks, answer in zip(some, batch.words[row], batch.answers[row]):
            said = {word for word, mark in zip(WORDS, marks) if mark}
            kind = question.kind.split()[0]
            place = {scenes.ORDINALS[question.picture]} if kind == "order" else set()
            assert said == {kind, question.asked, *question.cue} | place
            assert ANSWERS[answer] == question.answer
    assert batch.pictures.tolist() == [[q.picture for q in some] for _, some in asked]


@law
def test_what_is_taken_away_leaves_the_question_alone(run):
    """Then the answer is the same whatever the pictures were; else it is not."""
    recipe, state = run
    (batch,), weights = recipe.batch(0), Weights(state.tensors)
    other = batch._replace(objects=batch.objects[::-1])
    one, another = (
        learning.answers(each, weights, recipe.wiring)[0] for each in (batch, other)
    )
    assert 0.03 < 1 - batch.there.mean() < 0.2
    assert_close(one[~batch.there], another[~batch.there])
    changed = np.abs(one - another).max(-1) > 1e-4
    assert changed[batch.there].mean() > 0.9


@law
def test_long_episodes_have_as_many_questions(run):
    """Where no cue occurs once, another episode is composed."""
    rng = np.random.default_rng(5)
    pool = learning.pool("train", 31)
    asked = learning.episodes(pool, rng, 20, 64, {"content": 1.0})
    assert all(len(some) == learning.QUESTIONS for _, some in asked)
