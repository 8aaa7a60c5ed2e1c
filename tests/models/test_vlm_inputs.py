"""The spec of refvlm/models/fastvlm_inputs.py: what a FastVLM is given."""

import numpy as np
import pytest

from refvlm.autodiff import Variable
from refvlm.models.inputs import check_ids, check_mask
from refvlm.models.splicing import IMAGE
from refvlm.models.vlm_inputs import (
    MAX_PIXELS,
    check_crossed,
    check_pixels,
    check_spliced,
)
from refvlm.shapes import ShapeError

from .. import tiny
from ..spec import contract, example, law

TOKEN = tiny.IMAGE_TOKEN
PIXELS = tiny.pictures(2).astype(np.float32)
SINGLE = np.dtype(np.float32)


def grid(height, width):
    """A token for each 64 x 64 pixels."""
    return -(-height // 64), -(-width // 64)


def check(pixels, ids, mask=None):
    given, _ = check_spliced(pixels, ids, mask, 264, SINGLE, TOKEN, grid)
    return given


@example
def test_check_spliced_makes_arrays_of_lists():
    """Ids and masks may be lists, pixels of another precision."""
    given = check(PIXELS[:1].astype(np.float64), [[1, IMAGE, 2]], [[0, 1, 1]])
    assert given.pixels.dtype == np.float32 and given.ids.dtype == np.int64
    np.testing.assert_array_equal(given.mask, [[False, True, True]])
    assert check(None, [[1, 2]]).pixels is None


@example
def test_check_spliced_counts_the_tokens_of_a_row():
    """A picture of 2 x 2 tokens stands in one place of three."""
    given = check_spliced(PIXELS[:1], [[1, IMAGE, 2]], None, 264, SINGLE, TOKEN, grid)
    assert given[1] == 6


@example
def test_check_crossed_makes_arrays_of_lists():
    """One picture for each row, and no place for it among the ids."""
    given = check_crossed(PIXELS.tolist(), [[1], [2]], [[1], [0]], 264, SINGLE, grid)
    assert given.pixels.dtype == SINGLE and given.ids.dtype == np.int64
    np.testing.assert_array_equal(given.mask, [[True], [False]])


@law
@pytest.mark.parametrize("dtype", [bool, np.int64, np.uint8, np.int32])
def test_check_mask_takes_booleans_and_zeros_and_ones(dtype):
    """0 and 1 of any whole type are what False and True are."""
    mask = check_mask(np.array([[0, 1, 1]], dtype), np.zeros((1, 3)))
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, [[False, True, True]])


@law
def test_check_spliced_allows_rows_with_different_numbers_of_pictures():
    """Where each place is marked, pictures follow one another through the batch."""
    four = [TOKEN] * 4
    pixels = np.concatenate([PIXELS, PIXELS[:1]])
    assert check(pixels, [[1, *four, *four], [2, 3, 4, 5, 6, *four]]).ids.shape == (
        2,
        9,
    )


@law
def test_check_pixels_leaves_a_variable_alone():
    """A gradient may run back to the picture."""
    pixels = Variable(PIXELS)
    assert check_pixels(pixels, np.dtype(np.float32)) is pixels


@law
def test_check_pixels_refuses_before_it_casts():
    """The largest picture is allowed; one row more is not, whatever it holds."""
    side = int(MAX_PIXELS**0.5)
    largest = np.broadcast_to(np.float32(0), (1, 3, side, side))
    assert check_pixels(largest, np.dtype(np.float32)).shape == largest.shape
    beyond = np.broadcast_to(np.float64(0), (1, 3, 8192, 8192))
    with pytest.raises(ShapeError, match="8192 x 8192, more than the 16,777,216"):
        check_pixels(beyond, np.dtype(np.float32))


@contract
@pytest.mark.parametrize(
    "ids, message",
    [
        ([1, 2], r"\(batch, tokens\)"),
        ([[]], r"\(batch, tokens\)"),
        ([[1, 2], [3]], r"no array of whole numbers"),
        ([[0.5]], "not float64"),
        ([[True]], "not bool"),
        ("what", "not <U4"),
        (None, "not object"),
        ([[264]], "has 264, but the vocabulary is 0 to 263"),
        ([[-1]], "has -1"),
        ([[2**62]], "has 4611686018427387904"),
        ([[2**70]], "not object"),
        (np.array([[2**64 - 200]], np.uint64), "has 18446744073709551416"),
    ],
)
def test_check_ids_refuses_what_is_no_token(ids, message):
    """NumPy would read row -1 as the last; here it is an error."""
    with pytest.raises(ValueError, match=message):
        check_ids(ids, 264)


@contract
@pytest.mark.parametrize(
    "mask, message",
    [
        (np.ones((1, 3)), r"float64 \(1, 3\), but must be booleans, or 0 and 1"),
        (np.full((1, 3), -1e9), "float64"),
        (np.ones((1, 4), bool), r"bool \(1, 4\)"),
        (np.ones((2, 3), bool), r"bool \(2, 3\)"),
        (np.ones(3, bool), r"bool \(3,\)"),
        ([[1, 2, 1]], "holds 2"),
        ([[1, -1, 1]], "holds -1"),
        ([[1], [1, 1]], "no array of booleans"),
        ("111", "<U3"),
    ],
)
def test_check_mask_refuses_what_would_broadcast(mask, message):
    """A mask of scores, of another length, or of twos means something else."""
    with pytest.raises(ValueError, match=message):
        check_mask(mask, np.zeros((1, 3)))


@contract
@pytest.mark.parametrize(
    "pixels, message",
    [
        (PIXELS[0], r"\(3, 128, 128\), but must be \(pictures, 3"),
        (PIXELS.swapaxes(1, 3), "must be"),
        (PIXELS[:, :2], "must be"),
        (PIXELS[:0], "must be"),
        (PIXELS[:, :, :0], "must be"),
        ("photo.png", "must be"),
        ([[1], [1, 2]], "no array of floating"),
        ((255 * PIXELS).astype(np.uint8), r"floating, as \S+\(picture\) makes it$"),
        (255 * PIXELS, r"as bytes do, but must be as \S+\(picture\) makes it$"),
        (PIXELS > 0.5, "bool, but"),
        (PIXELS.astype(complex), "complex128, but"),
        (PIXELS.astype(object), "object, but"),
        (PIXELS * np.nan, "has NaN"),
        (PIXELS + np.inf, "has NaN, or numbers"),
        (np.full((1, 3, 8, 8), 1e300), "too large for float32"),
    ],
)
def test_check_pixels_refuses_what_is_no_picture(pixels, message):
    """Bytes would be 255 times too bright; NaN would be the answer. What is right
    the preprocessor alone knows: no range is named."""
    with pytest.raises(ValueError, match=message):
        check_pixels(pixels, np.dtype(np.float32))


@contract
@pytest.mark.parametrize(
    "pixels, ids, message",
    [
        (None, [[1, IMAGE]], "marks 1 places .* there is no picture"),
        (PIXELS[:1], [[1, 2]], f"no place for the picture: .* {IMAGE}, or {TOKEN}"),
        (PIXELS[:1], [[1, TOKEN, TOKEN]], "marks 2 places .* make 4"),
        (PIXELS, [[1, IMAGE]], "marks 4 places .* make 8"),
        (PIXELS, [[IMAGE, IMAGE], [1, 2]], r"\[2, 0\] pictures"),
    ],
)
def test_check_spliced_counts_pictures_and_places(pixels, ids, message):
    """A picture without a place, or a place without a picture, is named at once."""
    with pytest.raises(ShapeError, match=message):
        check(pixels, ids)


@contract
@pytest.mark.parametrize(
    "pixels, ids, message",
    [
        (None, [[1]], "answers about a picture, and pixel_values is None"),
        (PIXELS, [[1]], "2 pictures, but input_ids 1 rows"),
        (PIXELS, [[1], [IMAGE]], f"has {IMAGE}, but the vocabulary is 0 to 263$"),
    ],
)
def test_check_crossed_wants_a_picture_for_each_row(pixels, ids, message):
    """Neither is broadcast, and a place for a picture has no meaning."""
    with pytest.raises(ValueError, match=message):
        check_crossed(pixels, ids, None, 264, SINGLE, grid)


@contract
def test_check_crossed_asks_the_tower():
    """What the tower can't see is refused before anything is computed."""

    def narrow(height, width):
        raise ShapeError(f"not {height} x {width}")

    with pytest.raises(ShapeError, match="not 128 x 128"):
        check_crossed(PIXELS, [[1], [2]], None, 264, SINGLE, narrow)


@contract
@pytest.mark.parametrize(
    ("factor", "shift"), [(255, 0), (-255, 0), (1, 100), (1e30, 0)]
)
def test_check_pixels_refuses_the_levels_of_bytes(factor, shift):
    """Pixels of 0 to 255 are 255 times too bright, and get an answer all the same."""
    pixels = np.linspace(0, 1, 48).reshape(1, 3, 4, 4) * factor + shift
    with pytest.raises(ValueError, match="as bytes do, but must be as vlm"):
        check_pixels(pixels, np.dtype(np.float32))


@law
def test_check_pixels_allows_any_normalisation():
    """White, in the narrowest deviations that are used, and a little more."""
    pixels = np.array([-2.7, 0, 2.7, 8]).reshape(1, 1, 2, 2).repeat(3, 1)
    assert check_pixels(pixels, np.dtype(np.float32)).shape == (1, 3, 2, 2)
