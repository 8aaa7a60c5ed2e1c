"""The spec of refvlm/blocks/token_reduction/regions.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.blocks.fusion.merging import gated_fusion
from refvlm.blocks.token_reduction import regions
from refvlm.shapes import ShapeError

from ...spec import (
    assert_close,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
    tensors,
)

draw = random_arrays(2026)
KERNEL = draw(5, 3, 2, 2)
GATE = draw(5, 10)
CORNERS = np.array([[[0, 0], [2, 2]], [[0, 2], [2, 0]]])


def encode(pictures):
    """A patch embedding of 2 x 2: 8 x 8 pixels make a map of 4 x 4."""
    return ops.conv2d(pictures, KERNEL.astype(pictures.dtype), stride=2)


def gated(whole, local):
    """An adaptive fusion: the gate looks at both."""
    return gated_fusion(whole, local, {"weight": GATE.astype(whole.dtype)})


def loudness(maps):
    return (maps**2).sum(axis=1)


@example
def test_select_regions_takes_the_best_two_cells():
    """5 first, then the first of the two that have 2."""
    scores = np.array([[[0.0, 0.0, 2.0], [0.0, 5.0, 2.0]]])
    corners = regions.select_regions(scores, k=2, window=1)
    np.testing.assert_array_equal(corners, [[[1, 1], [0, 2]]])


@example
def test_crop_regions_of_one_picture():
    """The lower right corner of a picture of 3 x 3."""
    picture = np.arange(9.0).reshape(1, 1, 3, 3)
    crop = regions.crop_regions(picture, np.array([[[1, 1]]]), 2)
    np.testing.assert_array_equal(crop[0, 0, 0], [[4, 5], [7, 8]])


@law
@given(tensors((2, 9, 10)), st.integers(1, 3), st.integers(1, 2))
def test_selected_regions_are_apart_and_ordered(scores, window, k):
    """None overlaps another, each is inside, and the sums fall."""
    corners = regions.select_regions(scores, k, window)
    for picture, places in zip(scores, corners):
        covered = np.zeros((9, 10), int)
        sums = []
        for top, left in places:
            covered[top : top + window, left : left + window] += 1
            sums.append(picture[top : top + window, left : left + window].sum())
        assert covered.max() == 1 and covered.sum() == k * window**2
        assert (np.diff(sums) <= 1e-9).all()


@law
@given(tensors((5, 6)), st.integers(1, 3))
def test_the_first_region_is_the_best_of_all(scores, window):
    """A search by loops finds no better one."""
    ((top, left),) = regions.select_regions(scores[None], 1, window)[0]
    best = max(
        scores[i : i + window, j : j + window].sum()
        for i in range(6 - window)
        for j in range(7 - window)
    )
    found = scores[top : top + window, left : left + window].sum()
    assert found >= best - 1e-9


@law
def test_dual_pathway_that_keeps_the_whole_is_the_encoder():
    """With a fusion that never listens to the details; and outside of the regions with
    any."""
    pictures = random_arrays(1)(2, 3, 16, 16)
    whole = encode(ops.avg_pool2d(pictures, 2))
    out = regions.dual_pathway(pictures, encode, CORNERS, 2, lambda g, _: g)
    np.testing.assert_array_equal(out, whole)
    out = regions.dual_pathway(pictures, encode, CORNERS, 2, lambda _, local: local)
    covered = (out != whole).any(axis=1)
    wanted = np.zeros((2, 4, 4), bool)
    for one, places in zip(wanted, CORNERS):
        for top, left in places:
            one[top : top + 2, left : left + 2] = True
    np.testing.assert_array_equal(covered, wanted)


@law
def test_coarse_to_fine_puts_the_details_behind_the_whole():
    """The first tokens are those of the shrunk picture; each crop has as many."""
    pictures = random_arrays(2)(2, 3, 32, 32)
    tokens, corners = regions.coarse_to_fine(pictures, encode, loudness, 3, 4)
    assert tokens.shape == (2, 4 * 16, 5) and corners.shape == (2, 3, 2)
    whole = encode(ops.avg_pool2d(pictures, 4))
    np.testing.assert_array_equal(
        tokens[:, :16], whole.reshape(2, 5, 16).swapaxes(1, 2)
    )
    (top, left), *_ = corners[1] * 8
    crop = encode(pictures[1:, :, top : top + 8, left : left + 8])
    assert_close(tokens[1, 16:32], crop[0].reshape(5, 16).T, 1e-12)


@law
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pathways_keep_the_dtype(dtype):
    """And an empty batch is one."""
    pictures = random_arrays(3)(2, 3, 16, 16).astype(dtype)
    out = regions.dual_pathway(pictures, encode, CORNERS, 2, gated)
    assert out.dtype == dtype
    tokens, _ = regions.coarse_to_fine(pictures, encode, loudness, 1, 2)
    assert tokens.dtype == dtype
    assert regions.select_regions(np.zeros((0, 4, 4)), 2, 1).shape == (0, 2, 2)


@oracle
def test_dual_pathway_equals_torch(compare):
    """Region by region in PyTorch: crop, encode, average, gate; and the gradient."""

    def reference(torch):
        kernel, gate = torch.from_numpy(KERNEL), torch.from_numpy(GATE)
        F = torch.nn.functional

        def pathway(pictures):
            rows = []
            for picture, places in zip(pictures, CORNERS.tolist()):
                whole = F.conv2d(F.avg_pool2d(picture[None], 2), kernel, stride=2)[0]
                mixed = whole.clone()
                for top, left in places:
                    crop = picture[:, 4 * top : 4 * top + 8, 4 * left : 4 * left + 8]
                    local = F.avg_pool2d(F.conv2d(crop[None], kernel, stride=2), 2)[0]
                    part = whole[:, top : top + 2, left : left + 2]
                    both = torch.cat([part, local]).permute(1, 2, 0)
                    share = torch.sigmoid(both @ gate.T).permute(2, 0, 1)
                    mixed[:, top : top + 2, left : left + 2] = (
                        share * part + (1 - share) * local
                    )
                rows.append(mixed)
            return torch.stack(rows)

        return pathway

    compare(
        lambda pictures: regions.dual_pathway(pictures, encode, CORNERS, 2, gated),
        reference,
        random_arrays(4)(2, 3, 16, 16),
    )


@derivative
def test_coarse_to_fine_derivative():
    """A pixel that is seen twice has both gradients; the choice of places has none."""
    check_vjp(
        lambda p: regions.coarse_to_fine(p, encode, loudness, 2, 2)[0],
        random_arrays(5)(1, 3, 8, 8),
    )


@contract
def test_crop_regions_refuses_what_is_outside_of_the_picture():
    """NumPy would count a negative row from the other end."""
    picture = np.zeros((1, 1, 6, 8))
    for corner in ((-1, 0), (0, 6), (4, 0)):
        with pytest.raises(ValueError, match="is outside of a picture of 6 x 8"):
            regions.crop_regions(picture, np.array([[corner]]), 3)


@contract
def test_select_regions_refuses_more_than_have_room():
    """Two windows of 2 x 2 do not lie apart in 3 x 3."""
    scores = draw(1, 3, 3)
    with pytest.raises(ValueError, match="k is 2, but only 1 windows of 2 x 2"):
        regions.select_regions(scores, 2, 2)
    with pytest.raises(ShapeError, match="a window of 4 x 4 does not fit"):
        regions.select_regions(scores, 1, 4)
    with pytest.raises(ValueError, match="k must be a whole number of at least 1"):
        regions.select_regions(scores, 0, 1)
    with pytest.raises(ValueError, match="scores has NaN"):
        regions.select_regions(scores * np.nan, 1, 1)


@contract
def test_pathways_refuse_a_factor_that_does_not_divide():
    """Pictures are square, and so are maps; regions lie apart."""
    for shape, factor in (((2, 3, 16, 12), 2), ((2, 3, 16, 16), 3)):
        with pytest.raises(ShapeError, match="pictures must be square"):
            regions.dual_pathway(np.zeros(shape), encode, CORNERS, factor, gated)
    with pytest.raises(ShapeError, match="does not divide into regions"):
        regions.dual_pathway(np.zeros((2, 3, 16, 16)), encode, CORNERS, 8, gated)
    twice = np.array([[[0, 0], [1, 1]]])
    with pytest.raises(ValueError, match="regions overlap"):
        regions.dual_pathway(np.zeros((1, 3, 16, 16)), encode, twice, 2, gated)


def patches(side):
    """A patch embedding of one channel: the means of squares of `side` pixels."""
    return lambda pictures: ops.avg_pool2d(pictures, side)


@law
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64])
def test_regions_lie_where_their_corners_say_for_every_kind_of_integers(dtype):
    """Cell 3 of 8 in 256 pixels begins at pixel 96, and cell 4 at 128, which has no
    room in eight bits."""
    picture = np.broadcast_to(np.arange(256.0), (1, 1, 256, 256))
    corners = np.array([[[0, 3], [4, 4]]], dtype)
    out = regions.dual_pathway(picture, patches(16), corners, 2, lambda _, local: local)
    assert_close(out[0, 0, 0], 32 * np.arange(8) + 15.5, 1e-12)
    crop = regions.crop_regions(picture, np.array([[[0, 100]]], dtype), 100)
    np.testing.assert_array_equal(crop[0, 0, 0, 0], np.arange(100, 200))


@contract
@pytest.mark.parametrize("side, cells", [(20, 6), (16, 32)])
def test_pathways_refuse_cells_that_are_no_whole_pixels(side, cells):
    """Rounded down, cell 3 of 6 in 20 pixels would begin at pixel 9, and each of 32 in
    16 at pixel 0."""
    pictures, corners = draw(1, 1, side, side), np.array([[[0, 3]]])

    def encode(pictures):
        return np.zeros((len(pictures), 1, cells, cells))

    message = f"side of {side} pixels does not divide into {cells} cells"
    with pytest.raises(ShapeError, match=f"dual_pathway: .*{message}"):
        regions.dual_pathway(pictures, encode, corners, 2, gated)
    with pytest.raises(ShapeError, match=f"coarse_to_fine: .*{message}"):
        regions.coarse_to_fine(pictures, encode, loudness, 1, 2)
    with pytest.raises(ShapeError, match="4 does not divide into regions"):
        regions.coarse_to_fine(draw(1, 1, 24, 24), patches(1), loudness, 1, 4)


@contract
def test_pathways_refuse_a_fusion_and_scores_of_another_shape():
    """One feature would be spread over all of them."""
    pictures = draw(2, 3, 16, 16)
    with pytest.raises(ShapeError, match="dual_pathway: fuse made"):
        regions.dual_pathway(
            pictures, encode, CORNERS, 2, lambda whole, _: whole[..., :1]
        )
    with pytest.raises(ShapeError, match="coarse_to_fine: score made"):
        regions.coarse_to_fine(
            pictures, encode, lambda maps: loudness(maps)[:, :3], 1, 2
        )


@contract
@pytest.mark.parametrize("sign", [1, -1])
def test_select_regions_refuses_infinity(sign):
    """-inf is what a window that is taken has, and inf - inf is NaN."""
    scores = draw(1, 3, 3)
    scores[0, 1, 1] = sign * np.inf
    with pytest.raises(ValueError, match="scores has NaN or infinity"):
        regions.select_regions(scores, 1, 1)
