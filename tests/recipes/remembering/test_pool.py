"""The spec of refvlm/recipes/remembering/pool.py."""

import numpy as np
import pytest

from refvlm import image, scenes
from refvlm.recipes.pixels import to_pixels
from refvlm.recipes.remembering.pool import Pool

from ...spec import contract, example, law


def whole(pixels):
    """A tower that sees each pixel as a token."""
    return pixels.reshape(len(pixels), 3, -1).swapaxes(1, 2)


@example
def test_pool_sees_a_picture_as_it_is_in_use():
    """Drawn at twice the side and shrunk; what is kept of it is in half precision."""
    pool = Pool(whole, seed=1, size=9, side=16)
    drawn = image.resize(scenes.draw(pool[4], 32), 16, 16)
    seen = pool.seen([[4]])
    assert seen.shape == (1, 1, 256, 3) and seen.dtype == np.float32
    expected = whole(to_pixels([drawn]))[None].astype(np.float16)
    np.testing.assert_array_equal(seen, expected)


@law
def test_pool_is_a_function_of_seed_and_number():
    """Whatever was looked at before; and a picture is drawn once."""
    looked = []

    def look(pixels):
        looked.append(len(pixels))
        return whole(pixels)

    pool, other = Pool(look, 1, 9, 16), Pool(whole, 1, 9, 16)
    pool.seen([3, 2, 3])
    np.testing.assert_array_equal(pool.seen([2, 8]), other.seen([2, 8]))
    assert looked == [1, 1, 1]
    assert pool[5] == other[5] != Pool(whole, 2, 9, 16)[5]
    assert len(pool) == 9


@contract
@pytest.mark.parametrize("number", [-1, 9])
def test_pool_has_no_more_than_it_has(number):
    """A negative number counts from no end."""
    with pytest.raises(IndexError, match=f"no picture {number}, but 9"):
        Pool(whole, 1, 9, 16)[number]
