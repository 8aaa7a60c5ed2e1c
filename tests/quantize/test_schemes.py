"""The spec of refvlm/quantize/schemes.py: the ways to few bits that have a name."""

import math

import numpy as np
import pytest

from refvlm.quantize.schemes import SCHEMES, group_of, pack_groups
from refvlm.shapes import ShapeError

from ..spec import contract, example, law, random_arrays

draw = random_arrays(12)
WEIGHT = draw(64, 512).astype(np.float32)
EACH = pytest.mark.parametrize("name", SCHEMES)

# Bits a weight of float32 scales, on paper: codes, and what a group or block shares.
BITS = {
    "int8": 8 + 2 * 32 / 64,
    "int4": 4 + 2 * 32 / 64,
    "int2": 2 + 2 * 32 / 64,
    "nf4": 4 + 32 / 64,
    "nf4-double": 4 + 8 / 64 + 32 / (64 * 256) + 32 / (64 * 512),
    "ternary": 8 / 5 + 32 / (64 * 512),
}


@example
@EACH
def test_schemes_take_the_bits_that_paper_says(name):
    """Counted from what is kept, with every scale."""
    bits = 8 * SCHEMES[name].pack(WEIGHT).nbytes / WEIGHT.size
    assert bits == pytest.approx(BITS[name], abs=8 / WEIGHT.size)


@law
@EACH
@pytest.mark.parametrize("dtype", (np.float16, np.float32, np.float64))
def test_schemes_keep_shape_and_dtype(name, dtype):
    """And a matrix of one value, be it 0, keeps its numbers."""
    rounded = SCHEMES[name].rounded(WEIGHT.astype(dtype))
    assert rounded.shape == WEIGHT.shape and rounded.dtype == dtype
    if name.startswith("nf4"):  # what the file will say
        stored = SCHEMES[name].pack(WEIGHT.astype(dtype)).stored
        assert stored == ("float16" if dtype == np.float16 else "float32")
    for value in (0.0, 0.5, -2.0):
        same = np.full((2, 64), value, dtype)
        np.testing.assert_allclose(SCHEMES[name].rounded(same), same, rtol=2e-3)


@contract
@EACH
def test_schemes_refuse_what_is_no_matrix(name):
    """Lists, whole numbers, one row alone: by the name of what packs them."""
    for wrong in ([[1.0] * 64], np.ones((2, 64), np.int32), None):
        with pytest.raises(ValueError, match="^pack_.*: weight is an array of"):
            SCHEMES[name].rounded(wrong)
    for shape in ((), (64,), (0, 64), (2, 2, 64)):
        with pytest.raises(ShapeError, match="^pack_.*: weight is .* a matrix"):
            SCHEMES[name].pack(np.ones(shape, np.float32))
    if name.startswith("int"):
        with pytest.raises(ShapeError, match="^pack_groups: weight .* take nf4"):
            SCHEMES[name].pack(np.ones((2, 50), np.float32))


@law
def test_more_bits_are_nearer():
    """On numbers of a normal distribution, each by its mean square error."""
    errors = {
        name: float(np.square(scheme.rounded(WEIGHT) - WEIGHT).mean())
        for name, scheme in SCHEMES.items()
    }
    order = ["int8", "nf4", "nf4-double", "int4", "int2", "ternary"]
    assert sorted(order, key=errors.get)[0] == "int8"
    assert max(errors["nf4"], errors["int4"]) < errors["int2"] / 9
    assert errors["nf4"] <= errors["nf4-double"] < 1.01 * errors["nf4"]
    # Of a normal distribution, on paper: three values at s = sqrt(2 / pi).
    step = math.sqrt(2 / math.pi)
    density = math.exp(-step * step / 8) / math.sqrt(2 * math.pi)
    share = math.erfc(step / 2 / math.sqrt(2))
    left = 1 - 4 * step * density + step * step * share
    assert errors["ternary"] == pytest.approx(left, rel=0.03)


@contract
def test_groups_that_divide_no_row_are_refused():
    """By the shape, and before anything is packed."""
    assert group_of(100) is None
    with pytest.raises(ValueError, match=r"\(4, 100\) has rows that no group of"):
        pack_groups(WEIGHT[:4, :100], 4)
