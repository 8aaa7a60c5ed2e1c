"""The spec of refvlm/recipes/perfect_eye/counting.py: what a trained memory knows."""

import itertools
from unittest import mock

import numpy as np
import pytest

from refvlm.recipes.perfect_eye import counting, learning
from refvlm.recipes.perfect_eye.wirings import MemoryWiring
from refvlm.train.loop import begin, train

from ...spec import contract, example, law


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
def trained():
    """(recipe, tensors) of a small memory after some steps, of episodes of one or two
    pictures."""
    recipe = learning.recipe(
        MemoryWiring(slots=24, width=48, longest=2), 120, peak=1e-2
    )
    *_, state = train(recipe, begin(recipe))
    return recipe, state.tensors


@example
def test_a_memory_is_better_than_another_and_than_none(trained):
    """Of two pictures; who has another's memory is misled, and who has none guesses."""
    own, shuffled, none = (
        counting.count(*trained, length=2, seed=31, memory=memory)["content"]
        for memory in counting.MEMORIES
    )
    assert own.right / own.asked > 0.45
    for share in (shuffled, none):
        assert share.right / share.asked < 0.3


@law
def test_counts_add_up_by_kind(trained):
    """Eight questions of each episode, of no kind that is not asked; the same again."""
    found = counting.count(*trained, length=3, seed=31, number=40)
    kinds = [share for kind, share in found.items() if kind != "all"]
    assert found.keys() == {"content", "order", "which", "all"}
    assert found["all"] == tuple(map(sum, zip(*kinds)))
    assert found["all"].asked == 40 * 8
    assert found == counting.count(*trained, length=3, seed=31, number=40)
    only = counting.count(*trained, 3, 31, 40, kinds={"order alone": 1.0})
    assert only.keys() == {"order alone", "all"}


@law
def test_a_disturbance_that_is_loud_leaves_guesses(trained):
    """What is written is noise then; a little of it does little."""
    quiet, little, loud = (
        counting.count(*trained, length=2, seed=31, disturbance=much)["all"].right
        for much in (0.0, 0.05, 20.0)
    )
    assert abs(little - quiet) < 0.05 * 1200 and loud < quiet - 100


@law
def test_never_written_counts_pairs(trained, monkeypatch):
    """One by one: the doubt about each question that was never answered against that
    about each that was; half of a pair where they are the same."""
    given = np.random.default_rng(1).integers(0, 4, (2, 6, 8)).astype(float)
    doubts = iter(given)
    monkeypatch.setattr(counting, "_novelty", lambda *_: next(doubts))
    found = counting.never_written(*trained, length=2, seed=31, number=6)
    kinds = ("content", 2.0), ("which", 1.0)
    asked, _ = counting.fresh(31, 2, 6, kinds)
    new = [
        doubt
        for row, (_, some) in enumerate(asked)
        for doubt, question in zip(given[1][row], some)
        if not any(
            question.cue == thing.pair
            for scene in asked[row - 1][0].past
            for thing in scene.objects
        )
    ]
    pairs = [
        (one > other) + (one == other) / 2
        for one, other in itertools.product(new, given[0].ravel())
    ]
    assert found.asked == len(pairs) and found.right == int(sum(pairs))


@law
def test_the_variance_knows_what_was_never_written(trained):
    """Better than by chance, even after a few steps."""
    found = counting.never_written(*trained, length=2, seed=31)
    assert found.right / found.asked > 0.6


@law
def test_shown_is_one_episode_in_words_and_numbers(trained):
    """A row for each question, a column for each object; a cache's rows are shares."""
    found = counting.shown(*trained, length=3, seed=31)
    assert np.shape(found["likeness"]) == (8, 6) and np.shape(found["pictures"]) == (
        3,
        2,
    )
    for name in ("questions", "meant", "answers", "said"):
        assert len(found[name]) == 8
    for question, picture, answer in zip(
        found["questions"], found["meant"], found["answers"]
    ):
        if "other object" in question:
            assert any(answer in text for text in found["pictures"][picture])
    cache = learning.recipe(MemoryWiring(keeps="cache", width=16), steps=1)
    shares = counting.shown(cache, cache.initial(), length=3, seed=31)["likeness"]
    np.testing.assert_allclose(np.sum(shares, axis=1), 1, atol=1e-3)


@contract
def test_count_refuses_a_memory_that_is_none_of_three(trained):
    """By name."""
    with pytest.raises(ValueError, match="'mine', but must be own, shuffled, none"):
        counting.count(*trained, length=2, seed=31, memory="mine")
