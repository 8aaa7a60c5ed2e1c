r"""What becomes of the tokens of tiles: one map again, without bars, line by line.

    tiles (R C, m, d) -> map (R side, C side, d) -> unpadded (rows, columns, d)
      -> a newline token after each row -> (rows (columns + 1), d)

A decoder reads a line. The newline token, which is learnt, tells it where a row of the
picture ends, since pictures have rows of different lengths.
"""

from __future__ import annotations

import math

import numpy as np

from ..arguments import is_whole
from ..image.tiles import unpadded
from ..shapes import ShapeError, shapes


@shapes(features="n m d", newline="d or None", returns="tokens d")
def tile_tokens(features, grid, size, newline=None):
    """The tokens of a picture: its thumbnail's, then those of its tiles, row by row.

    features (1 + R C, m, d) are the thumbnail's and the tiles' tokens, m a square;
    grid is (R, C); size the picture's (height, width), by which the bars are known.
    A picture without tiles, (1, m, d), has one newline at its end.

    Source: [Foundations] LLaVA. Oracle: transformers'
    LlavaNextModel.pack_image_features.
    """
    if not len(features):
        raise ShapeError(
            f"tile_tokens: features has shape {features.shape}, without a thumbnail: "
            "give at least its tokens, (1, m, d)"
        )
    thumbnail, tiles = features[0], features[1:]
    if not len(tiles):
        return thumbnail if newline is None else _ended(thumbnail, newline[None])
    canvas = joined_tiles(tiles, grid)
    rows, columns = unpadded(canvas.shape[:2], size)
    seen = canvas[rows, columns]
    height, width, features_each = seen.shape
    if newline is not None:
        ends = newline + np.zeros((height, 1, 1), newline.dtype)
        seen, width = _ended(seen, ends, axis=1), width + 1
    return _ended(thumbnail, seen.reshape(height * width, features_each))


@shapes(tiles="n m d", returns="rows columns d")
def joined_tiles(tiles, grid):
    """Tokens of tiles as one map: (R C, m, d) -> (R side, C side, d), m = side^2."""
    (rows, columns), (count, places, width) = _tiles_laid(grid), tiles.shape
    side = math.isqrt(places)
    if side**2 != places or not places or rows * columns != count:
        raise ShapeError(
            f"joined_tiles: tiles have shape {tiles.shape}, but a grid of {rows} x "
            f"{columns} needs {rows * columns} tiles of a square number of tokens"
        )
    laid = tiles.reshape(rows, columns, side, side, width).transpose(0, 2, 1, 3, 4)
    return laid.reshape(rows * side, columns * side, width)


def _tiles_laid(grid):
    pair = tuple(grid) if isinstance(grid, (list, tuple, np.ndarray)) else ()
    if len(pair) != 2 or not all(is_whole(edge) and edge >= 1 for edge in pair):
        raise ShapeError(
            f"joined_tiles: grid is {grid!r:.60}, but must be (rows, columns) of "
            "tiles, two whole numbers of at least 1"
        )
    return int(pair[0]), int(pair[1])


def _ended(tokens, more, axis=0):
    return np.concatenate((tokens, more), axis)
