r"""Regions: look at all of it small, and at a few places large.

    picture --shrunk--> encode --> score map --> the k best windows
                                   windows of the picture, unshrunk --> encode

`dual_pathway` mixes what both say about a place, `coarse_to_fine` puts the details
behind the whole. The encoder is the same for both, so a window has as many pixels as
the shrunk picture. [DeepDive] describes FastViTHD so; FastViTHD does nothing of it, and
LLaVA-NeXT's tiles are the nearest that is in use.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ... import ops
from ...arguments import check_whole
from ...shapes import ShapeError, shapes
from ...variable import value_of


@shapes(scores="b rows columns", returns="b k 2")
def select_regions(scores, k: int, window: int):
    r"""The k windows of a score map with the largest sums that do not overlap, the best
    first: (b, k, 2), each the row and the column of its first cell.

    scores is (b, rows, columns), a window `window` x `window` cells. One is taken after
    the other, and what would overlap it is out.

    Source: [DeepDive] coarse-to-fine, regions of interest. Oracle: a search by loops.

    >>> scores = np.array([[[0.0, 0.0, 2.0], [0.0, 5.0, 2.0]]])
    >>> select_regions(scores, k=2, window=1).tolist()
    [[[1, 1], [0, 2]]]
    """
    scores = value_of(scores)
    rows, columns = scores.shape[1:]
    check_whole("select_regions", least=1, k=k, window=window)
    if window > min(rows, columns):
        raise ShapeError(
            f"select_regions: a window of {window} x {window} does not fit into scores "
            f"{scores.shape}"
        )
    if not np.isfinite(scores).all():
        raise ValueError(
            "select_regions: scores has NaN or infinity, and no window a sum"
        )
    means = ops.avg_pool2d(scores, window, 1)
    places = np.indices(means.shape[1:])
    corners = np.zeros((len(scores), k, 2), np.int64)
    for number in range(k):
        flat = means.reshape(len(means), means[0].size if len(means) else 1)
        if np.isneginf(flat).all(axis=1).any():
            raise ValueError(
                f"select_regions: k is {k}, but only {number} windows of {window} x "
                f"{window} were found in {rows} x {columns} that do not overlap"
            )
        best = flat.argmax(axis=1)
        corners[:, number] = np.stack(np.divmod(best, means.shape[2]), axis=1)
        apart = np.abs(places[None] - corners[:, number, :, None, None])
        means = np.where(apart.max(axis=1) < window, -np.inf, means)
    return corners


@shapes(pictures="b c h w", corners="b k 2 of integers", returns="b k c side side")
def crop_regions(pictures, corners, side: int):
    """Squares cut out of pictures: (b, c, h, w) and (b, k, 2) -> (b, k, c, side, side).

    A corner is the row and the column of a square's first pixel.

    Source: [DeepDive] detail pathway. Oracle: slices.
    """
    check_whole("crop_regions", least=1, side=side)
    size, corners = np.array(pictures.shape[2:]), corners.astype(np.int64)
    if ((corners < 0) | (corners + side > size)).any():
        wrong = corners[((corners < 0) | (corners + side > size)).any(axis=-1)][0]
        raise ValueError(
            f"crop_regions: a region of {side} x {side} at {tuple(wrong.tolist())} is "
            f"outside of a picture of {size[0]} x {size[1]}"
        )
    along = np.arange(side)
    batch, channels = len(pictures), pictures.shape[1]
    rows = corners[:, :, 0, None, None, None] + along[:, None]
    columns = corners[:, :, 1, None, None, None] + along
    picture = np.arange(batch)[:, None, None, None, None]
    return pictures[picture, np.arange(channels)[:, None, None], rows, columns]


@shapes(pictures="b c h w", corners="b k 2 of integers", returns="b d rows columns")
def dual_pathway(pictures, encode: Callable, corners, factor: int, fuse: Callable):
    r"""The whole, shrunk, and regions of it, unshrunk, fused where they overlap:
    $y_p = \operatorname{fuse}(g_p, l_p)$ inside the regions, $y_p = g_p$ outside.

    pictures is (b, c, h, w); `encode` takes (n, c, h/factor, w/factor) to maps (n, d,
    rows, columns), of the shrunk pictures and of the crops alike. corners (b, k, 2) are
    cells of those maps, as `select_regions` gives them; a region is rows/factor cells
    high, and its map is averaged down to them. `fuse` takes two (..., d) to one, such
    as a gated sum. Pictures are square, and a cell is a whole number of their pixels.

    Source: [DeepDive] hybrid processing. Oracle: torch, region by region.
    """
    size = _square("dual_pathway", pictures, factor)
    whole = encode(ops.avg_pool2d(pictures, factor))
    batch, width, rows, columns = whole.shape
    cell, window = _cell_and_window("dual_pathway", size, whole, factor)
    many, corners = corners.shape[1], corners.astype(np.int64)
    crops = crop_regions(pictures, corners * cell, size // factor)
    closer = encode(crops.reshape(batch * many, *crops.shape[2:]))
    details = ops.flatten_maps(ops.avg_pool2d(closer, factor))
    details = details.reshape(batch, many * window**2, width)
    cells = _cells_of(corners, window, columns).reshape(batch, -1)
    if any(len(np.unique(row)) < len(row) for row in cells):
        raise ValueError("dual_pathway: regions overlap: which of them should be seen?")
    local = ops.group_sum(details, cells, rows * columns)
    is_seen = np.zeros((batch, rows * columns, 1), bool)
    np.put_along_axis(is_seen, cells[..., None], True, 1)
    tokens = ops.flatten_maps(whole)
    fused = fuse(tokens, local)
    if fused.shape != tokens.shape:
        raise ShapeError(
            f"dual_pathway: fuse made {fused.shape} of two {tokens.shape}: it should "
            "make as many features as it is given"
        )
    mixed = np.where(is_seen, fused, tokens)
    return mixed.swapaxes(1, 2).reshape(whole.shape)


@shapes(pictures="b c h w")
def coarse_to_fine(pictures, encode: Callable, score: Callable, k: int, factor: int):
    r"""The whole, shrunk, then the k places that it makes one curious about:
    $[\,E(\text{small});\ E(\text{crop}_1); \dots; E(\text{crop}_k)\,]$.

    `encode` and its maps are as in `dual_pathway`; `score` takes these to (b, rows,
    columns).
    Returns tokens (b, (1 + k) rows columns, d) and corners (b, k, 2) in cells.

    Source: [DeepDive] coarse-to-fine processing. Oracle: torch, crop by crop.
    """
    size = _square("coarse_to_fine", pictures, factor)
    whole = encode(ops.avg_pool2d(pictures, factor))
    cell, window = _cell_and_window("coarse_to_fine", size, whole, factor)
    scores = score(whole)
    if scores.shape != (len(whole), *whole.shape[2:]):
        raise ShapeError(
            f"coarse_to_fine: score made {scores.shape} of maps {whole.shape}, but "
            f"each cell needs one: {(len(whole), *whole.shape[2:])}"
        )
    corners = select_regions(scores, k, window)
    crops = crop_regions(pictures, corners * cell, size // factor)
    closer = encode(crops.reshape(len(pictures) * k, *crops.shape[2:]))
    coarse, fine = ops.flatten_maps(whole), ops.flatten_maps(closer)
    fine = fine.reshape(len(pictures), -1, whole.shape[1])
    return np.concatenate([coarse, fine], axis=1), corners


def _cells_of(corners, window, columns):
    """The numbers of the cells of each region, row by row: (b, k, window, window)."""
    along = np.arange(window)
    rows = corners[..., 0, None, None] + along[:, None]
    return rows * columns + corners[..., 1, None, None] + along


def _cell_and_window(function, size, maps, factor):
    """How many pixels of the picture are a cell's side, and how many cells a crop's."""
    rows, columns = maps.shape[2:]
    if rows != columns or not rows or rows % factor:
        raise ShapeError(
            f"{function}: the maps are {rows} x {columns}, which a factor of "
            f"{factor} does not divide into regions"
        )
    if size % rows:
        raise ShapeError(
            f"{function}: the maps are {rows} x {rows}, but a side of {size} pixels "
            f"does not divide into {rows} cells: resize the pictures to a multiple"
        )
    return size // rows, rows // factor


def _square(function, pictures, factor):
    check_whole(function, least=1, factor=factor)
    height, width = pictures.shape[2:]
    if height != width or not height or height % factor:
        raise ShapeError(
            f"{function}: pictures must be square, with a side that the factor "
            f"{factor} divides, not {height} x {width}"
        )
    return height
