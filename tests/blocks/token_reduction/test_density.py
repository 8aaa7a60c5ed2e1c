"""The spec of refvlm/blocks/token_reduction/density.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.blocks.token_reduction import density
from refvlm.shapes import ShapeError

from ...spec import assert_close, contract, example, law, oracle, random_arrays

THRESHOLDS = st.sampled_from([0.0, 0.02, 0.3, 0.9, 2.0])


def pictures(seed=1, batch=2, height=16, width=8):
    """Quiet on the left, loud on the right, so that squares of all sides occur."""
    loud = np.linspace(0, 1.5, width) ** 2
    return random_arrays(seed)(batch, 3, height, width) * loud


@example
def test_quadtree_of_a_picture_with_one_speck():
    """The quarter with the speck is cut, and the others are left whole."""
    picture = np.zeros((1, 1, 4, 4))
    picture[..., 0, 0] = 1.0
    sides = density.quadtree_sides(picture, 0.01, 1, 4)[0]
    np.testing.assert_array_equal(sides, [[1, 1, 2, 2], [1, 1, 2, 2], [2] * 4, [2] * 4])
    assert density.leaves(sides, 1).tolist()[:3] == [[0, 0, 1], [0, 1, 1], [0, 2, 2]]
    assert density.count_leaves(sides[None], 1).tolist() == [4 + 3]


@example
@pytest.mark.parametrize("loud", range(3))
def test_quadtree_hears_a_loud_channel_among_quiet_ones(loud):
    """Variances of 1, 0 and 0 are a third of 1 on average, whichever is the loud one:
    neither the largest nor the smallest decides."""
    picture = np.zeros((1, 3, 2, 2))
    picture[:, loud] = [[-1.0, 1.0], [1.0, -1.0]]
    for threshold, side in ((0.3, 1), (0.4, 2)):
        sides = density.quadtree_sides(picture, threshold, 1, 2)
        np.testing.assert_array_equal(sides, np.full((1, 2, 2), side))


@example
def test_quadtree_tokens_are_means():
    """A square of side 2 becomes one of side 1."""
    picture = np.array([[[1.0, 3.0, 0.0, 0.0], [5.0, 7.0, 0.0, 0.0]]])
    squares = np.array([[0, 0, 2], [0, 3, 1]])
    tokens = density.quadtree_tokens(picture, squares, 1)
    np.testing.assert_array_equal(tokens.ravel(), [4, 0])


@law
@given(THRESHOLDS, st.sampled_from([(1, 8), (2, 8), (2, 4), (4, 4)]))
def test_quadtree_tiles_the_picture(threshold, ends):
    """Every pixel is in one square and in no two; sides are what was allowed."""
    least, most = ends
    for sides in density.quadtree_sides(pictures(), threshold, least, most):
        covered = np.zeros((16, 8), int)
        squares = density.leaves(sides, least)
        for top, left, side in squares:
            assert top % side == left % side == 0 and least <= side <= most
            covered[top : top + side, left : left + side] += 1
        np.testing.assert_array_equal(covered, 1)
        assert density.count_leaves(sides[None], least) == [len(squares)]


@law
@given(THRESHOLDS)
def test_quadtree_cuts_what_varies_and_nothing_else(threshold):
    """A square that was left whole varies no more than the threshold; the four that are
    left of one together vary more."""
    drawn = pictures(seed=2)
    for picture, sides in zip(drawn, density.quadtree_sides(drawn, threshold, 2, 8)):

        def variance(top, left, side, picture=picture):
            square = picture[:, top : top + side, left : left + side]
            return square.reshape(3, -1).var(axis=1).mean()

        for top, left, side in density.leaves(sides, 2):
            if side > 2:
                assert variance(top, left, side) <= threshold
            if side < 8:
                whole = 2 * side
                assert (
                    variance(top - top % whole, left - left % whole, whole) > threshold
                )


@law
def test_a_higher_threshold_makes_fewer_tokens():
    """From all that there can be to as few."""
    drawn = pictures(seed=3)
    counts = [
        density.count_leaves(density.quadtree_sides(drawn, t, 1, 8), 1)
        for t in (0.0, 0.1, 0.5, 1.0, 99.0)
    ]
    assert (np.diff(counts, axis=0) <= 0).all()
    assert (counts[0] == 128).all() and (counts[-1] == 2).all()


@law
def test_quadtree_tokens_of_a_uniform_tree_are_its_patches():
    """With every square of the least side it is a patch embedding's cut."""
    (picture,) = pictures(seed=4, batch=1)
    squares = density.leaves(np.full((8, 4), 2), 2)
    tokens = density.quadtree_tokens(picture, squares, 2)
    cut = picture.reshape(3, 8, 2, 4, 2).transpose(1, 3, 0, 2, 4).reshape(32, 3, 2, 2)
    np.testing.assert_array_equal(tokens, cut)


@law
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_quadtree_tokens_keep_the_dtype(dtype):
    """And so do no pictures at all."""
    (picture,) = pictures(batch=1).astype(dtype)
    squares = density.leaves(density.quadtree_sides(picture[None], 0.3, 2, 8)[0], 2)
    assert density.quadtree_tokens(picture, squares, 2).dtype == dtype
    assert density.quadtree_sides(pictures(batch=0), 0.3, 2, 8).shape == (0, 8, 4)


@oracle
def test_quadtree_tokens_equal_torch(compare):
    """PyTorch's avg_pool2d of each square by itself."""
    (picture,) = pictures(seed=5, batch=1)
    squares = density.leaves(density.quadtree_sides(picture[None], 1.0, 2, 8)[0], 2)
    assert len(set(squares[:, 2].tolist())) == 3

    def reference(torch):
        def tokens(picture):
            pool = torch.nn.functional.avg_pool2d
            return torch.stack(
                [
                    pool(picture[:, t : t + s, left : left + s], s // 2)
                    for t, left, s in squares.tolist()
                ]
            )

        return tokens

    compare(
        lambda picture: density.quadtree_tokens(picture, squares, 2),
        reference,
        picture,
        gradients=False,
    )


@contract
def test_quadtree_refuses_sides_that_do_not_halve():
    """most is least, doubled some times; and tiles the picture."""
    drawn = pictures()
    for least, most in ((2, 6), (4, 2), (3, 8)):
        with pytest.raises(ValueError, match=f"most is {most}, but must be least"):
            density.quadtree_sides(drawn, 0.1, least, most)
    for wrong in (0, 1.0, -2):
        with pytest.raises(ValueError, match="least must be a whole number"):
            density.quadtree_sides(drawn, 0.1, wrong, 8)
    with pytest.raises(ShapeError, match="16 x 8 are not tiled by squares of 16"):
        density.quadtree_sides(drawn, 0.1, 2, 16)


@contract
def test_quadtree_refuses_what_has_no_variance():
    """NaN in the picture, and a threshold that is no variance."""
    drawn = pictures()
    with pytest.raises(ValueError, match="pictures has NaN"):
        density.quadtree_sides(drawn * np.nan, 0.1, 2, 8)
    for wrong in (-0.1, np.nan, "little"):
        with pytest.raises(ValueError, match="threshold is a variance of at least 0"):
            density.quadtree_sides(drawn, wrong, 2, 8)
    assert_close(density.count_leaves(np.ones((1, 2, 2)), 1), np.array([4]))


@contract
@pytest.mark.parametrize(
    "square",
    [(1, 1, 4), (-2, 0, 2), (8, 0, 2), (0, 6, 4), (0, 0, 3), (0, 0, 0), (0, 0, 1)],
)
def test_quadtree_tokens_refuse_squares_off_their_grid(square):
    """One between two places would be read at the one before it, and one above the
    picture at its lower end."""
    picture = np.arange(64.0).reshape(1, 8, 8)
    with pytest.raises(ValueError, match=f"squares has one of side {square[2]}"):
        density.quadtree_tokens(picture, np.array([[0, 0, 2], square]), 2)


@law
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64])
def test_quadtree_takes_sides_of_every_kind_of_integers(dtype):
    """Squares at pixel 128 are found with a side that is counted in eight bits."""
    picture = random_arrays(6)(1, 1, 8, 192)
    sides = density.quadtree_sides(picture, 9.0, dtype(4), dtype(8))
    squares = density.leaves(sides[0], dtype(4))
    np.testing.assert_array_equal(squares[:, 1], np.arange(0, 192, 8))


@contract
def test_quadtree_refuses_infinity():
    """Its variance would be NaN, which is above no threshold: never cut."""
    drawn = pictures()
    drawn[0, 0, 3, 3] = np.inf
    with pytest.raises(ValueError, match="pictures has NaN or infinity"):
        density.quadtree_sides(drawn, 0.1, 2, 8)
