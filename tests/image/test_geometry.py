"""The spec of refvlm/image/geometry.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from refvlm import image
from refvlm.shapes import ShapeError

from ..spec import contract, example, law, oracle
from .pictures import noise, processor, transforms

EDGES = st.integers(1, 12)
SIZES = [(1, 1), (3, 8), (8, 3), (7, 7), (9, 4), (1, 30), (30, 1)]


@example
def test_resize_shortest_edge_keeps_the_proportions():
    """4 x 7 with a shorter edge of 2 is 2 x 3: three and a half, rounded down."""
    assert image.resize_shortest_edge(noise(4, 7), 2).shape == (2, 3, 3)
    assert image.resize_shortest_edge(noise(7, 4), 2).shape == (3, 2, 3)


@example
def test_center_crop_takes_the_middle():
    """Two of five columns: one is left out before them, two after."""
    row = np.arange(5, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    np.testing.assert_array_equal(image.center_crop(row, 1, 2)[0, :, 0], [1, 2])


@example
def test_pad_to_square_adds_bars():
    """A row of three becomes a square with a bar above it and one below."""
    row = np.full((1, 3, 3), 9, np.uint8)
    square = image.pad_to_square(row, (1, 2, 3))
    np.testing.assert_array_equal(square[1], row[0])
    np.testing.assert_array_equal(square[0], [[1, 2, 3]] * 3)
    np.testing.assert_array_equal(square[2], [[1, 2, 3]] * 3)


@law
@given(EDGES, EDGES)
def test_pad_to_square_keeps_every_pixel_in_the_middle(height, width):
    """The bars on both sides differ by a line at most, and hold the colour alone."""
    picture, fill = np.full((height, width, 3), 9, np.uint8), (1, 2, 3)
    square = image.pad_to_square(picture, fill)
    edge = max(height, width)
    rows, columns = np.nonzero((square == 9).all(axis=2))
    assert square.shape == (edge, edge, 3) and len(rows) == height * width
    for places, size in ((rows, height), (columns, width)):
        before, after = places.min(), edge - 1 - places.max()
        assert before + size + after == edge and 0 <= after - before <= 1
    assert (square[(square != 9).any(axis=2)] == fill).all()


@law
@pytest.mark.parametrize("resample", image.RESAMPLING)
@given(EDGES, EDGES, EDGES, EDGES)
def test_resize_leaves_a_plain_colour_plain(resample, height, width, to_h, to_w):
    """The weights of every new pixel sum to one, whatever the filter."""
    plain = np.full((height, width, 3), (10, 200, 255), np.uint8)
    resized = image.resize(plain, to_h, to_w, resample)
    np.testing.assert_array_equal(resized, np.full((to_h, to_w, 3), (10, 200, 255)))


@law
@given(EDGES, EDGES)
def test_resize_to_its_own_size_changes_nothing(height, width):
    """Every filter is 1 at its centre and 0 at every other pixel's."""
    picture = noise(height, width)
    np.testing.assert_array_equal(image.resize(picture, height, width), picture)


@law
@given(EDGES, EDGES, EDGES)
def test_resize_shortest_edge_makes_the_shorter_edge_exact(height, width, edge):
    """The shorter edge is `edge`, the longer is less than a pixel from its share."""
    resized = image.resize_shortest_edge(noise(height, width), edge)
    assert min(resized.shape[:2]) == edge
    share = edge * max(height, width) / min(height, width)
    assert share - 1 < max(resized.shape[:2]) <= share


@law
@given(EDGES, EDGES)
def test_center_crop_undoes_pad_to_square(height, width):
    """Both round an odd margin the same way, so the picture comes back unmoved."""
    picture = noise(height, width)
    square = image.pad_to_square(picture)
    np.testing.assert_array_equal(image.center_crop(square, height, width), picture)


@law
@given(EDGES, EDGES)
def test_center_crop_to_more_than_there_is_adds_black(height, width):
    """Nothing of the picture is lost, and all that is added is zero."""
    picture = noise(height, width)
    frame = image.center_crop(picture, height + 4, width + 2)
    assert frame.shape == (height + 4, width + 2, 3)
    assert frame.astype(int).sum() == picture.astype(int).sum()
    np.testing.assert_array_equal(image.center_crop(frame, height, width), picture)


@law
def test_center_crop_and_pad_to_square_part_by_one_pixel():
    """An odd margin is rounded up by transformers' crop, down by LLaVA's square."""
    row = np.full((1, 2, 3), 9, np.uint8)
    np.testing.assert_array_equal(image.pad_to_square(row)[0], row[0])
    np.testing.assert_array_equal(image.center_crop(row, 2, 2)[1], row[0])


@oracle
def test_center_crop_equals_transformers(compare):
    """Odd and even margins, inside and outside, on either edge."""
    picture = noise(7, 6)
    targets = [(h, w) for h in (1, 4, 7, 8, 10) for w in (2, 3, 6, 9)]

    def ask(torch):
        crop = transforms().center_crop
        return {
            f"{size}": crop(picture, size, input_data_format="channels_last")
            for size in targets
        }

    for size, answer in compare.answers(ask, (picture, targets)).items():
        height, width = map(int, size.strip("()").split(","))
        ours = image.center_crop(picture, height, width)
        np.testing.assert_array_equal(ours, answer, size)


@oracle
def test_resize_shortest_edge_equals_transformers(compare):
    """Every filter, larger and smaller, portrait, landscape and a single line."""

    def ask(torch):
        answers = {}
        for height, width in SIZES:
            for number in image.RESAMPLING.values():
                config = {"size": {"shortest_edge": 5}, "resample": number}
                steps = ("center_crop", "rescale", "normalize")
                config |= {f"do_{step}": False for step in steps}
                found = processor("CLIP", config)(Image.fromarray(noise(height, width)))
                pixels = np.moveaxis(found["pixel_values"][0], 0, -1)
                answers[f"{height} {width} {number}"] = pixels
        return answers

    names = {number: name for name, number in image.RESAMPLING.items()}
    for key, answer in compare.answers(ask, SIZES).items():
        height, width, number = map(int, key.split())
        ours = image.resize_shortest_edge(noise(height, width), 5, names[number])
        np.testing.assert_array_equal(ours, answer, key)


@oracle
def test_pad_to_square_equals_llava(compare):
    """The margin and the colour are those of LLaVA's expand2square."""

    def ask(torch):
        llava = processor("Llava", {})
        return {
            f"{height} {width}": np.moveaxis(
                llava.pad_to_square(
                    np.moveaxis(noise(height, width), -1, 0), (122, 116, 104)
                ),
                0,
                -1,
            )
            for height, width in SIZES[:5]
        }

    for key, answer in compare.answers(ask, SIZES).items():
        height, width = map(int, key.split())
        ours = image.pad_to_square(noise(height, width), (122, 116, 104))
        np.testing.assert_array_equal(ours, answer, key)


@contract
@pytest.mark.parametrize("function", ["resize", "center_crop"])
@pytest.mark.parametrize("height, width", [(0, 3), (3, -1)])
def test_resize_and_center_crop_refuse_a_size_of_nothing(function, height, width):
    """A picture has at least one pixel."""
    with pytest.raises(image.ImageError, match="it is empty"):
        getattr(image, function)(noise(4, 4), height, width)


@contract
def test_resize_shortest_edge_refuses_a_thread():
    """A picture of 1 x 9000 would need 1024 x 9,216,000: far too long a thread."""
    with pytest.raises(image.ImageError, match="crop it first"):
        image.resize_shortest_edge(noise(1, 9000), 1024)
    with pytest.raises(image.ImageError, match="crop it first"):
        image.pad_to_square(noise(1, 9000))


@contract
@pytest.mark.parametrize("name", ["bicubical", 3, None])
def test_resize_names_the_filters_that_there_are(name):
    """A filter has a name; the numbers are for configuration files."""
    with pytest.raises(ValueError, match="must be one of nearest, lanczos"):
        image.resize(noise(4, 4), 2, 2, name)


@contract
@pytest.mark.parametrize("function", ["resize", "center_crop", "pad_to_square"])
def test_geometry_works_on_bytes(function):
    """Pillow would round floating pixels without a word, so they are refused."""
    sizes = () if function == "pad_to_square" else (2, 2)
    with pytest.raises(ValueError, match="uint8 until they are rescaled"):
        getattr(image, function)(np.zeros((4, 4, 3)), *sizes)
    with pytest.raises(ShapeError, match="needs 3"):
        getattr(image, function)(noise(4, 4, 4), *sizes)
