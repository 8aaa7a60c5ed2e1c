r"""Density: a square that is all alike is one token, another is cut into four.

    the variance of each square > threshold --> four squares of half the side --> again

The squares tile the picture: each pixel is in one of them. Each is brought to the side
of the smallest, so that one patch embedding reads them all. FastViTHD has nothing of
the kind: its tokens are a grid. Source: [DeepDive] adaptive resolution; [Finkel1974];
[Ronen2023].
"""

from __future__ import annotations

import math

import numpy as np

from ... import ops
from ...arguments import is_number, is_whole
from ...shapes import ShapeError, shapes


@shapes(pictures="b c h w")
def quadtree_sides(pictures, threshold: float, least: int, most: int):
    r"""The side of the square that each smallest place lies in, (b, h/least, w/least).

    It begins with squares of side `most` and cuts into four those whose variance,
    $\langle (p - \langle p \rangle)^2 \rangle$, the mean over the channels, is above
    the threshold, down to `least`. pictures (b, c, h, w) are whole multiples of `most`,
    which is `least` times a power of 2.

    Source: [DeepDive] adaptive resolution. Oracle: numpy arithmetic, square by square.

    >>> picture = np.zeros((1, 1, 4, 4))
    >>> picture[..., 0, 0] = 1.0
    >>> quadtree_sides(picture, 0.01, least=1, most=4)[0]
    array([[1, 1, 2, 2],
           [1, 1, 2, 2],
           [2, 2, 2, 2],
           [2, 2, 2, 2]])
    """
    least = _checked_side("quadtree_sides", "least", least)
    most = _checked_side("quadtree_sides", "most", most)
    _check_tree(pictures, threshold, least, most)
    batch, _, height, width = pictures.shape
    sides = np.full((batch, height // least, width // least), most)
    side = most
    while side > least:
        is_cut = _variances(pictures, side) > threshold
        here = _spread(is_cut, side // least) & (sides == side)
        side //= 2
        sides = np.where(here, side, sides)
    return sides


def count_leaves(sides, least: int):
    r"""How many squares each picture became: $\sum (\text{least}/\text{side})^2$.

    >>> count_leaves(np.array([[[1, 1], [1, 1]], [[2, 2], [2, 2]]]), 1)
    array([4, 1])
    """
    return np.square(least / sides).sum(axis=(-2, -1)).round().astype(np.int64)


@shapes(sides="rows columns of integers")
def leaves(sides, least: int):
    """The squares of one picture: (m, 3) of top, left and side in pixels, row by row.

    >>> leaves(np.array([[1, 1, 2, 2], [1, 1, 2, 2]]), 1).tolist()
    [[0, 0, 1], [0, 1, 1], [0, 2, 2], [1, 0, 1], [1, 1, 1]]
    """
    tops, lefts = np.indices(sides.shape) * least
    is_corner = (tops % sides == 0) & (lefts % sides == 0)
    return np.stack([tops[is_corner], lefts[is_corner], sides[is_corner]], axis=1)


@shapes(picture="c h w", squares="m 3 of integers")
def quadtree_tokens(picture, squares, least: int):
    r"""A patch of side `least` for each square of one picture: (m, c, least, least),
    the means of its pixels.

    `squares` are `leaves`. As many tokens as there is to see, so no two pictures need
    have the same number.

    Source: [DeepDive] adaptive resolution. Oracle: torch.nn.functional.avg_pool2d.
    """
    least = _checked_side("quadtree_tokens", "least", least)
    squares = squares.astype(np.int64)
    _check_squares(picture, squares, least)
    patches = np.zeros((len(squares), len(picture), least, least), picture.dtype)
    for side in np.unique(squares[:, 2]).tolist():  # a few: least, twice that, ...
        some = squares[:, 2] == side
        shrunk = ops.avg_pool2d(picture, side // least)
        corners = squares[some, :2] // (side // least)
        rows = corners[:, :1, None] + np.arange(least)[:, None]
        columns = corners[:, 1:, None] + np.arange(least)
        patches[some] = shrunk[:, rows, columns].swapaxes(0, 1)
    return patches


def _variances(pictures, side):
    """Of each square, (b, h/side, w/side), the mean of its channels."""
    batch, channels, height, width = pictures.shape
    shape = batch, channels, height // side, side, width // side, side
    return pictures.reshape(shape).var(axis=(3, 5)).mean(axis=1)


def _spread(flags, times):
    return flags.repeat(times, axis=-2).repeat(times, axis=-1)


def _checked_side(function, name, side):
    if not is_whole(side) or side < 1:
        raise ValueError(
            f"{function}: {name} must be a whole number of at least 1, not {side!r}"
        )
    return int(side)


def _check_squares(picture, squares, least):
    """Each is a square that a tree over this picture could have."""
    ends, sides = squares[:, :2] + squares[:, 2:], squares[:, 2:]
    is_side = (sides >= least) & (sides % least == 0)
    is_on_grid = squares[:, :2] % np.maximum(sides, 1) == 0
    is_inside = (squares[:, :2] >= 0) & (ends <= picture.shape[1:])
    is_wrong = ~(is_side & is_on_grid & is_inside).all(axis=1)
    if is_wrong.any():
        top, left, side = squares[is_wrong][0].tolist()
        raise ValueError(
            f"quadtree_tokens: squares has one of side {side} at {(top, left)}, but "
            f"in a picture of {picture.shape[1]} x {picture.shape[2]} it should lie "
            f"inside, at multiples of its side, a multiple of least, {least}: give "
            "what `leaves` gives"
        )


def _check_tree(pictures, threshold, least, most):
    if not is_number(threshold) or not threshold >= 0:
        raise ValueError(
            f"quadtree_sides: threshold is a variance of at least 0, not {threshold!r}"
        )
    times = most / least
    if times < 1 or not math.log2(times).is_integer():
        raise ValueError(
            f"quadtree_sides: most is {most}, but must be least, {least}, times a "
            "power of 2"
        )
    height, width = pictures.shape[2:]
    if not height or not width or height % most or width % most:
        raise ShapeError(
            f"quadtree_sides: pictures of {height} x {width} are not tiled by squares "
            f"of {most}: pad them"
        )
    if not np.isfinite(pictures).all():
        raise ValueError(
            "quadtree_sides: pictures has NaN or infinity, which have no variance"
        )
