"""The spec of refvlm/blocks/tile_tokens.py."""

from types import SimpleNamespace

import numpy as np
import pytest

from refvlm.blocks.tile_tokens import joined_tiles, tile_tokens
from refvlm.image import select_best_resolution
from refvlm.shapes import ShapeError

from ..oracles import import_torchvision
from ..spec import (
    assert_close,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
)

SIDE, TILE = 3, 12
POINTS = [[12, 24], [24, 12], [24, 24], [36, 12]]
SIZES = [(12, 24), (13, 50), (50, 13), (20, 21), (48, 16), (5, 5)]


def grid_of(size):
    """(rows, columns) of tiles."""
    rows, columns = select_best_resolution(size, POINTS)
    return rows // TILE, columns // TILE


@example
def test_joined_tiles_puts_neighbours_side_by_side():
    """Two tiles of 2 x 2 in a row: rows are read across both."""
    tiles = np.arange(8.0).reshape(2, 4, 1)
    joined = joined_tiles(tiles, (1, 2))[..., 0]
    np.testing.assert_array_equal(joined, [[0, 1, 4, 5], [2, 3, 6, 7]])


@example
def test_tile_tokens_end_each_row_with_a_newline():
    """A thumbnail of one token, two tiles of one, and a newline, 9."""
    features = np.array([[[5.0]], [[1.0]], [[2.0]]])
    tokens = tile_tokens(features, (2, 1), (20, 10), np.array([9.0]))
    np.testing.assert_array_equal(tokens[:, 0], [5, 1, 9, 2, 9])


@law
@pytest.mark.parametrize("size", SIZES)
def test_tile_tokens_without_newline_leave_only_them_out(size):
    """Newlines are added, nothing else changes."""
    rows, columns = grid_of(size)
    features = random_arrays(3)(1 + rows * columns, SIDE**2, 2)
    plain = tile_tokens(features, (rows, columns), size)
    ended = tile_tokens(features, (rows, columns), size, np.full(2, np.inf))
    np.testing.assert_array_equal(ended[np.isfinite(ended[:, 0])], plain)


@oracle
@pytest.mark.parametrize("newline", [True, False])
def test_tile_tokens_equal_transformers(compare, newline):
    """LlavaNextModel.pack_image_features, for pictures of every proportion."""
    draw = random_arrays(1)
    features = [draw(1 + np.prod(grid_of(size)), SIDE**2, 5) for size in SIZES]
    features.append(draw(1, SIDE**2, 5))  # a picture without tiles
    sizes, end = [*SIZES, (12, 12)], draw(5) if newline else None

    def ask(torch):
        import_torchvision()
        from transformers import LlavaNextModel

        tower = SimpleNamespace(image_size=TILE, patch_size=TILE // SIDE)
        config = SimpleNamespace(vision_config=tower, image_grid_pinpoints=POINTS)
        packed, _ = LlavaNextModel.pack_image_features(
            SimpleNamespace(config=config),
            [torch.from_numpy(each) for each in features],
            sizes,
            "default",
            None if end is None else torch.from_numpy(end),
        )
        return {str(i): tokens.numpy().copy() for i, tokens in enumerate(packed)}

    answers = compare.answers(ask, (features, sizes, end))
    for i, (each, size) in enumerate(zip(features, sizes)):
        assert_close(tile_tokens(each, grid_of(size), size, end), answers[str(i)])


@derivative
def test_tile_tokens_derivative():
    """The newline's gradient is the sum over all rows; the bars' is none."""
    draw = random_arrays(2)
    check_vjp(tile_tokens, draw(3, 4, 2), (1, 2), (8, 20), draw(2))


@contract
def test_joined_tiles_refuse_another_grid():
    """Tiles that the grid does not have, and tokens of no square."""
    with pytest.raises(ShapeError, match=r"a grid of 2 x 2 needs 4 tiles"):
        joined_tiles(np.zeros((3, 4, 2)), (2, 2))
    with pytest.raises(ShapeError, match="a square number of tokens"):
        joined_tiles(np.zeros((2, 5, 2)), (1, 2))


@contract
@pytest.mark.parametrize("grid", [(-2, -2), (0, 4), (2.0, 2), (4,), "22", None, 4])
def test_tile_tokens_refuse_a_grid_that_holds_no_tiles(grid):
    """-2 times -2 are four tiles, too, but in no order."""
    features = random_arrays(1)(5, 4, 3)
    with pytest.raises(ShapeError, match="grid is .* two whole numbers of at least 1"):
        tile_tokens(features, grid, (8, 8))


@contract
def test_tile_tokens_refuse_no_tokens():
    """The thumbnail is always there; and a tile of no tokens shows nothing."""
    with pytest.raises(ShapeError, match="without a thumbnail"):
        tile_tokens(np.zeros((0, 4, 3)), (1, 1), (8, 8))
    with pytest.raises(ShapeError, match="a square number of tokens"):
        tile_tokens(np.zeros((5, 0, 3)), (2, 2), (8, 8))
