"""The spec of refvlm/recipes/remembering/losses.py."""

import math

import numpy as np
import pytest

from refvlm.blocks.alignment import image_projection_shapes
from refvlm.checkpoint import Weights
from refvlm.models import microvlm
from refvlm.objectives.language import IGNORE
from refvlm.recipes.remembering.finding import picture_scores
from refvlm.recipes.remembering.losses import (
    address_loss,
    aligned_loss,
    gate_loss,
    right_answers,
    spoken_loss,
)
from refvlm.recipes.remembering.rows import Asked, ask_in_rows

from ...spec import assert_close, example, law, random_arrays


@example
def test_spoken_loss_is_that_of_each_question():
    """Of who knows nothing: each token of an answer is worth log v, and a caption's
    less, as it is asked to be."""
    short, long = Asked([5], [1, 9, 2]), Asked([7], [1, 3, 4, 2], 0.5)
    rows = ask_in_rows([[short, long], [short, short]], 1)
    loss = spoken_loss(np.zeros((*rows.labels.shape, 20)), rows)
    words = 2 + 3 * 0.5 + 2 + 2
    assert_close(loss, np.float64(words * math.log(20) / 4), tolerance=1e-6)


@law
def test_aligned_loss_does_not_see_padding():
    """What stands behind a caption's words is no part of their mean."""
    draw = random_arrays(4)
    projection = image_projection_shapes(5, 6)
    tensors = {f"{microvlm.ALIGNMENT}.{n}": draw(*s) for n, s in projection.items()}
    weights = Weights({**tensors, microvlm.EMBEDDING: draw(20, 6)})
    classes, ids = draw(3, 5), np.array([[1, 2, 3], [4, 5, 0], [6, 0, 0]])
    is_word = ids > 0
    other = np.where(is_word, ids, 7)
    losses = [aligned_loss(classes, some, is_word, weights) for some in (ids, other)]
    assert_close(*losses)
    assert losses[0] > 0


@example
def test_address_loss_is_of_the_past_alone():
    """Of those that mean the present picture nothing is asked; of no others it is 0."""
    draw = random_arrays(2)
    asked, addresses = draw(2, 2, 5), draw(2, 6, 5)
    nobody = np.full((2, 2), -1)
    assert address_loss(asked, addresses, nobody, pictures=3) == 0
    one, other = nobody.copy(), nobody.copy()
    one[0, 1], other[0, 1] = 0, 2
    scores = picture_scores(asked, addresses, pictures=3)
    row = scores[0, 1]
    for meant, picture in ((one, 0), (other, 2)):
        loss = address_loss(asked, addresses, meant, pictures=3)
        assert_close(loss, np.log(np.exp(row).sum()) - row[picture])


@example
def test_gate_loss_wants_it_open_for_the_past():
    """Of logits far on the right side it is nothing, on the wrong one their mean."""
    meant = np.array([[0, -1], [2, -1]])
    right = np.where(meant >= 0, 40.0, -40.0)
    for logits, loss in ((right, 0.0), (-right, 40.0)):
        assert float(gate_loss(logits, meant)) == pytest.approx(loss, abs=1e-12)


@example
def test_right_answers_are_right_to_the_end():
    """One wrong word, or no end, and the answer is wrong; padding is nobody's."""
    rows = ask_in_rows([[Asked([5, 6], [1, 9, 2]), Asked([7], [1, 3, 4, 2])]], 1)
    scores = np.eye(20)[np.where(rows.labels == IGNORE, 0, rows.labels)]
    assert right_answers(scores, rows).tolist() == [[True, True]]
    for at, truths in ((0, [False, True]), (4, [True, False])):
        wrong = scores.copy()
        wrong[0, at] = np.eye(20)[15]
        assert right_answers(wrong, rows).tolist() == [truths]
