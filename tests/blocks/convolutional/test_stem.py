"""The spec of refvlm/blocks/convolutional/stem.py."""

import numpy as np
import pytest

from refvlm.autodiff import Variable
from refvlm.blocks.convolutional import stem as stem_module
from refvlm.blocks.convolutional.mobileone import mobileone_shapes
from refvlm.blocks.convolutional.stem import rows_seen, stem
from refvlm.checkpoint import Weights

from ...spec import assert_close, example, law, random_arrays
from ...weights import random_weights

DIM = 6
SHAPES = {
    f"{name}.{tensor}": shape
    for name, made in {
        "stem.0": mobileone_shapes(3, DIM, 3, 2),
        "stem.1": mobileone_shapes(DIM, DIM, 3, 2, DIM),
        "stem.2": mobileone_shapes(DIM, DIM, 1),
    }.items()
    for tensor, shape in made.items()
}


@example
def test_rows_seen_by_a_strided_convolution():
    """Rows 2 and 3 of a 3 x 3 with stride 2 look at rows 3 to 7; row 0 at padding."""
    assert rows_seen(slice(2, 4), 3, 2, 100) == (slice(3, 8), (0, 0))
    assert rows_seen(slice(0, 1), 3, 2, 100) == (slice(0, 2), (1, 0))
    assert rows_seen(slice(49, 50), 3, 2, 99) == (slice(97, 99), (0, 1))


@law
@pytest.mark.parametrize("rows", [1, 3, 8])
@pytest.mark.parametrize("size", [(64, 64), (37, 50), (5, 3)])
def test_stem_in_bands_is_the_stem(size, rows, monkeypatch):
    """Bands of any height, pictures of any size: no seam can be seen."""
    monkeypatch.setattr(stem_module, "ROWS", rows)
    weights, x = Weights(random_weights(SHAPES)), random_arrays(3)(2, 3, *size)
    *_, (name, whole) = stem(x, weights)
    *before, (last, banded) = stem(x, weights, every_map=False)
    assert name == last == "stem.2"
    assert before == [("stem.0", None), ("stem.1", None)]
    assert_close(banded, whole)


@law
def test_stem_makes_every_map_where_something_is_traced():
    """Bands have no derivative: a Variable takes the road with all the maps."""
    weights, x = Weights(random_weights(SHAPES)), random_arrays(4)(1, 3, 8, 8)
    maps = [found for _, found in stem(Variable(x), weights, every_map=False)]
    plain = [found for _, found in stem(x, weights)]
    for traced, found in zip(maps, plain):
        np.testing.assert_array_equal(traced.value, found)
