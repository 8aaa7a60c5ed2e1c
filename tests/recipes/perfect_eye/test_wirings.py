"""The spec of refvlm/recipes/perfect_eye/wirings.py: what each can know."""

import numpy as np
import pytest

from benchmarks.remembering_cases import WIRINGS
from refvlm.autodiff import value_and_grad
from refvlm.checkpoint import Weights
from refvlm.recipes.perfect_eye import wirings
from refvlm.recipes.perfect_eye.wirings import MemoryWiring

from ...spec import assert_close, law, random_arrays
from ...weights import random_weights

BATCH, PICTURES, ASKED = 3, 4, 5


def small(wiring):
    """The same with fewer slots and numbers, as many of each if they were as many."""
    slots = 4
    return wiring._replace(slots=slots, width=6 if wiring.slots < wiring.width else 4)


def drawn(wiring, seed=0):
    """(weights, objects, words) of a small wiring."""
    draw = random_arrays(seed + 1)
    weights = Weights(random_weights(wirings.expected_shapes(wiring), seed))
    objects = draw(BATCH, PICTURES, 2, wirings.OBJECT)
    return weights, objects, draw(BATCH, ASKED, wirings.QUESTION)


def recalled(wiring, weights, objects, words, rng=None):
    codes = wirings.codes_of(objects, weights, wiring)
    asking, _ = wirings.question_of(words, weights.scope("question"), wiring)
    return asking, wirings.recall(codes, asking, weights, wiring, rng)


def scores(wiring, weights, objects, words, rng=None):
    asking, hidden = wirings.question_of(words, weights.scope("question"), wiring)
    codes = wirings.codes_of(objects, weights, wiring)
    found = wirings.recall(codes, asking, weights, wiring, rng)
    return wirings.answer_of(found.recalled, hidden, weights.scope("answer"))


@law
@pytest.mark.parametrize("name", WIRINGS)
def test_every_tensor_of_a_wiring_is_learnt(name):
    """What has no gradient would stand in the table of parameters for nothing."""
    wiring = small(WIRINGS[name])
    weights, objects, words = drawn(wiring)

    def loss(weights):
        return (scores(wiring, weights, objects, words, _rng()) ** 2).sum()

    value, gradients = value_and_grad(loss, trainable=[*weights])(weights)
    assert np.isfinite(value)
    unused = {n for n, gradient in gradients.items() if not gradient.any()}
    assert not unused or name == "K = C"  # which returns the question, as below


def _rng():
    return np.random.default_rng(3)


@law
@pytest.mark.parametrize("name", WIRINGS)
def test_episodes_do_not_know_of_one_another(name):
    """Alone an episode is remembered as in a batch."""
    wiring = small(WIRINGS[name])
    weights, objects, words = drawn(wiring)
    together = scores(wiring, weights, objects, words)
    for row in range(BATCH):
        one = slice(row, row + 1)
        alone = scores(wiring, weights, objects[one], words[one])
        assert_close(alone, together[one], 1e-9)


@law
def test_as_many_slots_as_numbers_recall_the_question_itself():
    """The first K columns of the mean never change, and there is no other: what is read
    is what was asked, whatever was written."""
    wiring = MemoryWiring(slots=4, width=4, address="prior")
    asking, found = recalled(wiring, *drawn(wiring))
    assert_close(found.recalled, asking, 1e-9)
    wiring = MemoryWiring(slots=4, width=6, address="prior")
    asking, found = recalled(wiring, *drawn(wiring))
    assert_close(found.recalled[..., :4], asking[..., :4], 1e-9)
    assert np.abs(found.recalled[..., 4:] - asking[..., 4:]).min() > 1e-3


@law
@pytest.mark.parametrize(
    "order, waits", [("one way", False), ("none", False), ("both ways", True)]
)
def test_a_code_waits_for_later_pictures_only_with_both_ways(order, waits):
    """Otherwise pictures are written as they come; with both, every new one changes
    what was written before."""
    wiring = small(MemoryWiring(order=order))
    weights, objects, _ = drawn(wiring)
    whole = wirings.codes_of(objects, weights, wiring)
    part = wirings.codes_of(objects[:, :2], weights, wiring)
    assert (np.abs(whole[:, :4] - part).max() > 1e-3) == waits


@law
def test_without_order_a_picture_is_remembered_as_itself():
    """The codes of pictures in another order are the same codes in that order."""
    wiring = small(MemoryWiring(order="none"))
    weights, objects, _ = drawn(wiring)
    codes = wirings.codes_of(objects, weights, wiring)
    turned = wirings.codes_of(objects[:, ::-1], weights, wiring)
    pairs = codes.reshape(BATCH, PICTURES, 2, -1)[:, ::-1]
    assert_close(turned, pairs.reshape(codes.shape), 1e-12)


@law
@pytest.mark.parametrize("keeps", ["memory", "cache"])
def test_what_was_written_first_does_not_matter(keeps):
    """Bayes' rule and a softmax know no order: it has to be in the codes."""
    wiring = small(MemoryWiring(keeps=keeps))
    weights, objects, words = drawn(wiring)
    codes = wirings.codes_of(objects, weights, wiring)
    asking, _ = wirings.question_of(words, weights.scope("question"), wiring)
    one = wirings.recall(codes, asking, weights, wiring)
    other = wirings.recall(codes[:, ::-1], asking, weights, wiring)
    assert_close(other.recalled, one.recalled, 1e-9)


@law
def test_a_cache_recalls_a_mean_of_its_codes():
    """The more of each the more it is like the question: attention, by hand."""
    wiring = small(MemoryWiring(keeps="cache"))
    weights, objects, words = drawn(wiring)
    codes = wirings.codes_of(objects, weights, wiring)
    asking, found = recalled(wiring, weights, objects, words)
    like = np.exp(np.einsum("bqc,bnc->bqn", asking, codes) / 6**0.5)
    by_hand = np.einsum("bqn,bnc->bqc", like, codes) / like.sum(-1)[..., None]
    assert_close(found.recalled, by_hand, 1e-12)


@law
def test_the_first_numbers_of_a_code_are_its_address():
    """Divided by the root of K, so that it is about as long as 1: numbers of a layer
    norm have the square 1 in the mean."""
    wiring = small(MemoryWiring())
    weights, objects, words = drawn(wiring)
    codes = wirings.codes_of(objects, weights, wiring)
    _, found = recalled(wiring, weights, objects, words)
    assert_close(found.written, codes[..., :4] / 2, 1e-9)


@law
def test_a_question_asks_the_mean_that_was_written():
    """By a ridge of a hundredth: the address is the smallest of those whose answer is
    near its code, and a hundredth of its own square counts against it."""
    wiring = small(MemoryWiring())
    asking, found = recalled(wiring, *drawn(wiring))
    for mean, codes, asked in zip(found.memory.mean, asking, found.asked):
        square = mean @ mean.T + 0.01 * np.eye(len(mean))
        assert_close(asked, np.linalg.solve(square, mean @ codes.T).T, 1e-9)


@law
def test_addresses_are_drawn_in_training_alone():
    """With a generator they scatter and diverge; without one they are the means."""
    wiring = small(MemoryWiring(doubt=(1.0, 1.0)))
    drawn_of = drawn(wiring)
    _, found = recalled(wiring, *drawn_of)
    _, noisy = recalled(wiring, *drawn_of, rng=_rng())
    _, plain = recalled(wiring._replace(doubt=None), *drawn_of)
    assert found.divergences is None
    assert_close(found.recalled, plain.recalled, 1e-12)
    assert np.abs(noisy.written - found.written).max() > 0.1
    of_memory, of_addresses = noisy.divergences
    assert of_memory.shape == (BATCH,) and of_addresses.shape == (BATCH, PICTURES * 2)
    assert (of_memory > 0).all() and (of_addresses > 0).all()


@law
def test_the_last_code_is_all_that_the_least_wiring_keeps():
    """What was seen before is in it as far as the LSTM has kept it."""
    wiring = small(MemoryWiring(keeps="last", codes=1))
    weights, objects, words = drawn(wiring)
    _, found = recalled(wiring, weights, objects, words)
    codes = wirings.codes_of(objects, weights, wiring)
    assert_close(found.recalled, codes[:, -1:], 1e-12)
