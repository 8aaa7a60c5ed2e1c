"""The spec of refvlm/image/tiles.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import image
from refvlm.image import tiles
from refvlm.image.tiles import MAX_GRID_POINTS
from refvlm.shapes import ShapeError

from ..oracles import import_torchvision
from ..spec import contract, example, law, oracle
from .pictures import in_mode, noise, processor

GRID = ((8, 16), (16, 8), (16, 16), (24, 8), (8, 24))
NEXT = ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008))
EDGES = st.integers(1, 1500)
STEPS = image.Preprocessor(
    shortest_edge=8, crop_to=(8, 8), mean=(0.48, 0.45, 0.41), std=(0.27, 0.26, 0.28)
)
TILER = image.Tiler(STEPS, GRID, 8, (8, 8))
SIZES = {
    "a tile": (8, 8),
    "wide": (9, 31),
    "high": (31, 10),
    "large": (45, 46),
    "thread": (1, 60),
    "a dot": (1, 1),
    "odd": (13, 22),
}


@example
def test_select_best_resolution_gives_a_wide_picture_a_wide_grid():
    """Two tiles hold a picture of 300 x 600, and three one of 300 x 700."""
    assert image.select_best_resolution((300, 600), NEXT) == (336, 672)
    assert image.select_best_resolution((600, 300), NEXT) == (672, 336)
    assert image.select_best_resolution((300, 700), NEXT) == (336, 1008)
    assert image.select_best_resolution((900, 900), NEXT) == (672, 672)


@example
def test_divide_to_tiles_reads_as_a_page():
    """Of two rows of three squares the fourth begins the second row."""
    page = np.arange(24, dtype=np.uint8).reshape(4, 6, 1).repeat(3, axis=2)
    tiles = image.divide_to_tiles(page, 2)
    assert tiles.shape == (6, 2, 2, 3)
    np.testing.assert_array_equal(tiles[1, ..., 0], [[2, 3], [8, 9]])
    np.testing.assert_array_equal(tiles[3, ..., 0], [[12, 13], [18, 19]])


@example
def test_unpadded_leaves_the_bars_out():
    """Of 4 rows of a square, a picture twice as wide as high fills the middle two."""
    assert image.unpadded((4, 4), (100, 200)) == (slice(1, 3), slice(0, 4))
    assert image.unpadded((4, 4), (200, 100)) == (slice(0, 4), slice(1, 3))


@law
@given(EDGES, EDGES)
def test_select_best_resolution_keeps_as_much_as_any(height, width):
    """No other resolution shows more of the picture's own pixels."""

    def kept(resolution):
        scale = min(resolution[0] / height, resolution[1] / width)
        return min(int(width * scale) * int(height * scale), width * height)

    best = image.select_best_resolution((height, width), NEXT)
    assert best in NEXT and kept(best) == max(map(kept, NEXT))


@law
@given(EDGES, EDGES, st.sampled_from(NEXT))
def test_fitted_size_touches_two_edges_and_keeps_the_proportions(height, width, target):
    """One edge is the resolution's own, the other right to a pixel."""
    rows, columns = image.fitted_size((height, width), target)
    assert rows <= target[0] and columns <= target[1]
    assert rows == target[0] or columns == target[1]
    exact = min(target[0] / height, target[1] / width)
    assert abs(rows - exact * height) <= 1 and abs(columns - exact * width) <= 1


@law
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5))
def test_divide_to_tiles_loses_no_pixel(rows, columns, tile):
    """Laid side by side again, tile by tile, they are the picture."""
    picture = noise(rows * tile, columns * tile)
    tiles = image.divide_to_tiles(picture, tile)
    for place, square in enumerate(tiles):
        row, column = divmod(place, columns)
        there = picture[row * tile :, column * tile :][:tile, :tile]
        np.testing.assert_array_equal(square, there)
    assert len(tiles) == rows * columns


@law
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_tiler_shows_the_whole_picture_first(size):
    """The thumbnail is the picture squeezed; the tiles are the picture enlarged."""
    picture = noise(*size)
    thumbnail, *tiles = TILER.frames(picture)
    np.testing.assert_array_equal(thumbnail, image.resize(picture, 8, 8))
    rows, columns = TILER.grid(size)
    assert len(tiles) == rows * columns
    canvas = np.concatenate(
        [np.concatenate(tiles[r * columns :][:columns], axis=1) for r in range(rows)]
    )
    np.testing.assert_array_equal(
        canvas, image.resize_and_pad(picture, 8 * rows, 8 * columns)
    )


@law
def test_tiler_batch_ends_in_zeros_where_tiles_are_fewer():
    """A batch is as long as its longest picture; sizes say how much of a row counts."""
    pictures = [noise(8, 16), noise(40, 40)]
    values, sizes = TILER.batch(pictures)
    assert values.shape == (2, 5, 3, 8, 8) and values.dtype == np.float32
    np.testing.assert_array_equal(sizes, [(8, 16), (40, 40)])
    for row, picture in zip(values, pictures):
        tiles = TILER(picture)
        np.testing.assert_array_equal(row[: len(tiles)], tiles)
        assert not row[len(tiles) :].any()


@oracle
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_tiler_equals_transformers_bit_for_bit(compare, size):
    """Every value of LlavaNextImageProcessor's, thumbnail and tiles."""
    config = {
        "image_grid_pinpoints": [list(point) for point in GRID],
        "size": {"shortest_edge": 8},
        "crop_size": {"height": 8, "width": 8},
        "image_mean": list(STEPS.mean),
        "image_std": list(STEPS.std),
    }
    picture = in_mode("RGB", *size)

    def ask(torch):
        peer = processor("LlavaNext", config)
        return {"values": peer(picture, return_tensors="np")["pixel_values"][0]}

    answers = compare.answers(ask, (np.array(picture), config))
    np.testing.assert_array_equal(TILER(picture), answers["values"])


@oracle
def test_select_best_resolution_equals_transformers(compare):
    """Ties, threads and 36 resolutions, for pictures of every proportion."""
    many = [(r, c) for r in range(384, 2305, 384) for c in range(384, 2305, 384)]
    edges = (1, 7, 100, 336, 337, 500, 672, 1008, 1009, 3000)
    sizes = [(height, width) for height in edges for width in edges]

    def ask(torch):
        import_torchvision()
        from transformers import image_processing_utils as peer

        best = [
            [peer.select_best_resolution(size, list(grid)) for size in sizes]
            for grid in (NEXT, many)
        ]
        fitted = [
            peer.get_patch_output_size(np.empty((3, *size)), NEXT[2], "channels_first")
            for size in sizes
        ]
        return {"best": np.array(best), "fitted": np.array(fitted)}

    answers = compare.answers(ask, (sizes, NEXT, many))
    ours = [
        [image.select_best_resolution(size, grid) for size in sizes]
        for grid in (NEXT, many)
    ]
    np.testing.assert_array_equal(ours, answers["best"])
    np.testing.assert_array_equal(
        [image.fitted_size(size, NEXT[2]) for size in sizes], answers["fitted"]
    )


@oracle
def test_unpadded_equals_transformers(compare):
    """The rows and columns that unpad_image keeps, counted on a map of numbers."""
    grids = [(4, 4), (6, 4), (7, 21), (24, 48)]
    sizes = [(1, 1), (5, 9), (100, 333), (333, 100), (672, 671), (1, 500), (3, 4)]

    def ask(torch):
        import_torchvision()
        from transformers.models.llava_next import modeling_llava_next as peer

        return {
            f"{grid} {size}": peer.unpad_image(
                torch.arange(grid[0] * grid[1]).reshape(1, *grid), size
            )[0].numpy()
            for grid in grids
            for size in sizes
        }

    answers = compare.answers(ask, (grids, sizes))
    for grid in grids:
        cells = np.arange(grid[0] * grid[1]).reshape(grid)
        for size in sizes:
            kept = cells[image.unpadded(grid, size)]
            np.testing.assert_array_equal(kept, answers[f"{grid} {size}"])


@contract
@pytest.mark.parametrize(
    "points, tile, message",
    [
        ((), 8, "must be a list of at least one"),
        (None, 8, "must be a list of at least one"),
        (((8, 8),) * (MAX_GRID_POINTS + 1), 8, "257 resolutions, more than the limit"),
        (((8, 12),), 8, "no multiple of a tile of 8 x 8"),
        (((8, 8.0),), 8, "two whole numbers of pixels from 1 to 8192"),
        (((8, 1 << 20),), 8, "two whole numbers of pixels from 1 to 8192"),
        (((8, 0),), 8, "two whole numbers"),
        (((8,),), 8, "two whole numbers"),
        (("88",), 8, "two whole numbers"),
        (((8, 8 * 65),), 8, "1 x 65 tiles, more than the limit of 64"),
        (((8, 8),), 8193, "from 1 to 8192"),
        (((8, 8),), 0, "a tile is 0 pixels wide"),
        (((8, 8),), True, "a tile is True"),
    ],
)
def test_tiler_refuses_grids_that_make_no_sense(points, tile, message):
    """Empty, endless, ragged or enormous: said before any picture is cut."""
    with pytest.raises(image.ImageError, match=message):
        image.Tiler(STEPS, points, tile, (8, 8))


@contract
def test_tiler_refuses_a_thumbnail_and_pictures_without_a_size():
    """Nor is a batch of no pictures a batch."""
    with pytest.raises(image.ImageError, match="thumbnail is 8, but"):
        image.Tiler(STEPS, GRID, 8, 8)
    with pytest.raises(image.ImageError, match="give at least one"):
        TILER.batch([])
    with pytest.raises(ValueError, match="sources is a list, even of one"):
        TILER.batch(noise(4, 4))
    with pytest.raises(image.ImageError, match="the picture's size is"):
        image.select_best_resolution((0, 5), GRID)
    with pytest.raises(image.ImageError, match="the picture's size is"):
        image.unpadded((4, 4), (0, 5))


@contract
def test_divide_to_tiles_refuses_a_ragged_picture():
    """A tile that is cut short would be shown enlarged."""
    with pytest.raises(image.ImageError, match="9 x 8 does not divide into tiles of 8"):
        image.divide_to_tiles(noise(8, 9), 8)
    with pytest.raises(ValueError, match="tile must be a whole number"):
        image.divide_to_tiles(noise(8, 8), 0)
    with pytest.raises(ShapeError):
        image.divide_to_tiles(noise(8, 8)[..., 0], 8)


@contract
@pytest.mark.parametrize("wrong", [(-3, 4), (0, 4), (8.0, 4), (4, "4"), (4,), 4, None])
def test_sizes_of_frames_are_two_whole_numbers(wrong):
    """A frame of no rows shows nothing, and a map of none has no bars."""
    with pytest.raises(image.ImageError, match="the resolution is"):
        tiles.fitted_size((3, 7), wrong)
    with pytest.raises(image.ImageError, match="the grid is"):
        image.unpadded(wrong, (3, 7))
    if isinstance(wrong, tuple) and len(wrong) == 2:
        with pytest.raises(image.ImageError, match=r"\(rows, columns\) is"):
            tiles.resize_and_pad(noise(3, 7), *wrong)
