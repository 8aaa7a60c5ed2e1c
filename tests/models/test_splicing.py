"""The spec of refvlm/models/splicing.py: a picture among the tokens of a text."""

import numpy as np
import pytest

from refvlm.autodiff import Variable, backward
from refvlm.checkpoint import Weights
from refvlm.models import splicing
from refvlm.models.splicing import IMAGE
from refvlm.shapes import ShapeError

from ..spec import contract, derivative, example, law, random_arrays

draw = random_arrays(3)
TABLE = draw(10, 4)
WEIGHTS = Weights({"table": TABLE})
TOKEN = 9
IDS = np.array([[1, IMAGE, IMAGE, 2], [TOKEN, 3, 4, TOKEN]])
SEEN = draw(2, 2, 4)


@example
def test_make_room_of_two_tokens():
    """The mask grows with the ids."""
    ids, mask = splicing.make_room(
        np.array([[1, IMAGE, 2]]), 2, np.array([[False, True, True]])
    )
    assert ids.tolist() == [[1, IMAGE, IMAGE, 2]]
    assert mask.tolist() == [[False, True, True, True]]


@example
def test_splice_puts_pictures_in_their_places():
    """One after the other, through the rows; words come out of the table."""
    joined = splicing.splice(IDS, SEEN, WEIGHTS, "table", TOKEN)
    expected = [
        [TABLE[1], *SEEN[0], TABLE[2]],
        [SEEN[1, 0], *TABLE[[3, 4]], SEEN[1, 1]],
    ]
    np.testing.assert_array_equal(joined, expected)


@law
def test_image_places_are_of_either_mark():
    """The checkpoint's own token counts where it has one."""
    both = [[0, 1, 1, 0], [1, 0, 0, 1]]
    np.testing.assert_array_equal(
        splicing.image_places(IDS, TOKEN), np.array(both, bool)
    )
    assert splicing.image_places(IDS, None).sum() == 2


@law
def test_make_room_takes_several_pictures_in_a_row():
    """Each mark is stretched where it stands, and nothing else moves."""
    ids = np.array([[IMAGE, 1, IMAGE], [2, IMAGE, IMAGE]])
    wide, mask = splicing.make_room(ids, 3)
    assert mask is None and (wide == IMAGE).sum(axis=1).tolist() == [6, 6]
    assert wide[0].tolist() == [*[IMAGE] * 3, 1, *[IMAGE] * 3]
    assert wide[1].tolist() == [2, *[IMAGE] * 6]


@law
def test_make_room_leaves_a_text_alone():
    """Without a picture there is nothing to make room for."""
    ids = np.array([[1, 2], [3, 4]])
    assert splicing.make_room(ids, 5)[0] is ids


@derivative
def test_splice_lets_gradients_through_to_the_picture():
    """All of them, in order; the marks' own rows of the table get none."""
    seen = Variable(SEEN)
    d_joined = draw(2, 4, 4)
    gradients = backward(splicing.splice(IDS, seen, WEIGHTS, "table", TOKEN), d_joined)
    places = splicing.image_places(IDS, TOKEN)
    np.testing.assert_array_equal(gradients[seen].reshape(4, 4), d_joined[places])


@contract
def test_make_room_wants_as_many_pictures_in_each_row():
    """Or the batch would not be a rectangle."""
    with pytest.raises(ShapeError, match=r"have \[1, 0\] pictures"):
        splicing.make_room(np.array([[1, IMAGE], [1, 2]]), 4)


@contract
def test_splice_counts_places_and_tokens():
    """Too few, and pictures without a picture."""
    with pytest.raises(ShapeError, match="marks 4 places .* make 2"):
        splicing.splice(IDS, SEEN[:1], WEIGHTS, "table", TOKEN)
    with pytest.raises(ShapeError, match="marks 4 places .* make 0"):
        splicing.splice(IDS, None, WEIGHTS, "table", TOKEN)
