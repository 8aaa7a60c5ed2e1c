"""The spec of refvlm/recipes/remembering/finding.py."""

import math

import numpy as np

from refvlm.recipes.remembering.finding import likeness, picture_scores, shares

from ...spec import assert_close, example, law, random_arrays


@example
def test_the_right_address_is_worth_e_to_the_ten_of_another():
    """Of orthonormal addresses, as the formula says: s is 10."""
    addresses = np.eye(3)[None]
    assert_close(likeness(addresses, addresses), 10 * addresses)
    right, other = math.e**10, 1.0
    total = right + 2 * other
    assert_close(shares(addresses, addresses)[0, 0], [right / total, *[1 / total] * 2])


@law
def test_shares_are_of_all_that_was_written():
    """They add up to one for each question, of each episode by itself."""
    draw = random_arrays(3)
    asked, written = draw(2, 5, 4), draw(2, 6, 4)
    together = shares(asked, written)
    assert_close(together.sum(-1), np.ones((2, 5)))
    assert_close(shares(asked[1:], written[1:]), together[1:])


@law
def test_a_picture_scores_by_all_its_codes():
    """Their exponentials are added up, before the logarithm; a softmax of the scores
    adds up their shares."""
    draw = random_arrays(4)
    asked, written = draw(2, 5, 4), draw(2, 6, 4)
    scores = picture_scores(asked, written, pictures=3)
    products = np.exp(10 * np.einsum("eqc,ekc->eqk", asked, written))
    assert_close(np.exp(scores), products.reshape(2, 5, 3, 2).sum(-1), 1e-9)
    of_pictures = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    each = shares(asked, written).reshape(2, 5, 3, 2).sum(-1)
    assert_close(of_pictures, each, 1e-9)


@law
def test_picture_scores_find_the_picture_whose_address_is_asked_for():
    """A question that looks where a picture was written means this picture."""
    addresses = np.linalg.qr(random_arrays(1)(6, 6))[0][None]
    scores = picture_scores(addresses, addresses, pictures=3)
    assert scores[0].argmax(-1).tolist() == [0, 0, 1, 1, 2, 2]
