"""The spec of refvlm/quantize/ranges.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import quantize

from ..spec import FLOATING, contract, example, law, oracle, random_arrays

WHOLE = [name for name in quantize.FORMATS if "float" not in name]
of_whole = pytest.mark.parametrize("name", WHOLE)
of_all = pytest.mark.parametrize("name", quantize.FORMATS)
of_floats = pytest.mark.parametrize("dtype", FLOATING)
ends = st.floats(-(2.0**100), 2.0**100, width=32)


def extreme_ranges(dtype):
    """Constant, one-sided, denormal and huge: what a division may trip over."""
    most, tiny = float(np.finfo(dtype).max), float(np.finfo(dtype).smallest_subnormal)
    some = [(0, 0), (0, tiny), (-tiny, 0), (-tiny, tiny), (-most, most), (0, most)]
    some += [(-most, 0), (-most, tiny), (3, 3), (-3, -3), (2, 5), (-5, -2), (-1, most)]
    low, high = np.array(some, dtype).T
    return low, high


def numbers(scale, zero_point, codes):
    """What codes stand for, in float64."""
    scale, zero_point = scale.astype(np.float64), zero_point.astype(np.float64)
    return scale * (np.asarray(codes, np.float64) - zero_point)


@example
def test_affine_parameters_of_255_steps():
    """From -100 to 410 there are 255 steps of 2, and 50 of them are below 0."""
    scale, zero_point = quantize.affine_parameters(-100.0, 410.0)
    assert scale == 2.0 and zero_point == 50 and zero_point.dtype == np.uint8


@example
def test_affine_parameters_of_codes_with_a_sign():
    """The same range from -128 on: 0 is the code -78."""
    scale, zero_point = quantize.affine_parameters(-100.0, 410.0, "int8")
    assert scale == 2.0 and zero_point == -78 and zero_point.dtype == np.int8


@example
def test_symmetric_parameters_of_four_bits():
    """Seven steps to either side; in uint4 their middle is the code 8."""
    assert quantize.symmetric_parameters(3.5, "int4") == (0.5, 0)
    assert quantize.symmetric_parameters(3.5, "uint4") == (0.5, 8)


@example
def test_symmetric_parameters_of_a_float():
    """The largest number goes to the largest float8."""
    assert quantize.symmetric_parameters(224.0, "float8_e4m3fn")[0] == 0.5


@law
@of_whole
@given(ends, ends)
def test_affine_parameters_span_the_range(name, first, second):
    """Both ends are half a step at most from the nearest number of the grid (beside the
    rounding of the scale), and 0 is one of its numbers."""
    low, high = sorted([np.float32(first), np.float32(second)])
    known = quantize.integer_format(name)
    scale, zero_point = quantize.affine_parameters(low, high, name)
    span = numbers(scale, zero_point, [known.low, known.high])
    slack = float(scale) * (0.5 + (known.high - known.low) * 2.0**-22)
    assert span[0] <= min(low, 0) + slack and span[1] >= max(high, 0) - slack
    assert known.low <= zero_point <= known.high
    assert zero_point.dtype == known.storage


@law
@of_whole
@of_floats
def test_affine_parameters_of_extremes_are_a_grid(name, dtype):
    """Never a scale of 0, infinity or NaN, and never one that loses its digits."""
    low, high = extreme_ranges(dtype)
    scale, zero_point = quantize.affine_parameters(low, high, name)
    assert scale.dtype == dtype and scale.shape == zero_point.shape == low.shape
    assert np.isfinite(scale).all() and (scale >= np.finfo(dtype).tiny).all()
    assert (scale[(low == 0) & (high == 0)] == 1).all()


@law
@of_all
@of_floats
def test_symmetric_parameters_of_extremes_are_a_grid(name, dtype):
    """As the affine ones."""
    low, high = extreme_ranges(dtype)
    largest = np.maximum(abs(low), abs(high))
    scale, zero_point = quantize.symmetric_parameters(largest, name)
    assert scale.dtype == dtype and scale.shape == zero_point.shape
    assert np.isfinite(scale).all() and (scale >= np.finfo(dtype).tiny).all()


@law
@of_whole
@given(st.floats(2.0**-100, 2.0**100, width=32))
def test_symmetric_parameters_reach_as_far_on_both_sides(name, largest):
    """The largest has the last code, minus it the second: the first stays free."""
    known = quantize.integer_format(name)
    largest = np.float32(largest)
    scale, zero_point = quantize.symmetric_parameters(largest, name)
    x = np.array([-largest, 0, largest])
    ends = quantize.quantize_linear(x, scale, zero_point, output_dtype=name)
    np.testing.assert_array_equal(ends, [known.low + 1, int(zero_point), known.high])


@law
@of_floats
def test_parameters_of_many_ranges_are_those_of_each(dtype):
    """An array of ranges, of any shape, one grid each."""
    draw = random_arrays(2)
    low = draw(3, 4).astype(dtype)
    high = low + np.abs(draw(3, 4)).astype(dtype)
    scale, zero_point = quantize.affine_parameters(low, high, "int4")
    for place in np.ndindex(3, 4):
        each = quantize.affine_parameters(low[place], high[place], "int4")
        assert each == (scale[place], zero_point[place])


@law
def test_parameters_of_plain_numbers_are_double():
    """Python's numbers and whole ones; beside a float32 they do not widen it."""
    assert quantize.affine_parameters(-1, 1)[0].dtype == np.float64
    assert quantize.symmetric_parameters(3)[0].dtype == np.float64
    assert quantize.affine_parameters(0.0, np.float32(1))[0].dtype == np.float32


@oracle
@pytest.mark.parametrize("name", ["uint8", "int8"])
def test_affine_parameters_equal_torch(compare, name):
    """torch.ao's observers, per tensor and per channel: the bits of the scale."""
    x = random_arrays(4)(7, 40, scale=3.0, shift=1.0).astype(np.float32)
    x[0], x[1] = np.abs(x[0]), -np.abs(x[1])  # one-sided

    def ask(torch):
        from torch.ao.quantization import observer

        dtype = torch.quint8 if name == "uint8" else torch.qint8
        limits = np.iinfo(name)
        options = {"dtype": dtype, "quant_min": limits.min, "quant_max": limits.max}
        found = {}
        for kind, seen in (
            ("tensor", observer.MinMaxObserver(**options)),
            ("channel", observer.PerChannelMinMaxObserver(ch_axis=0, **options)),
        ):
            seen(torch.from_numpy(x.copy()))
            scale, zero_point = seen.calculate_qparams()
            found[f"{kind}.scale"] = scale.numpy()
            found[f"{kind}.zero_point"] = zero_point.numpy()
        return found

    answers = compare.answers(ask, (x, name))
    whole = quantize.affine_parameters(x.min(), x.max(), name)
    rows = quantize.affine_parameters(x.min(1), x.max(1), name)
    for kind, grid in (("tensor", whole), ("channel", rows)):
        np.testing.assert_array_equal(
            np.ravel(grid.scale), answers[f"{kind}.scale"], kind
        )
        np.testing.assert_array_equal(
            np.ravel(grid.zero_point), answers[f"{kind}.zero_point"], kind
        )


@oracle
def test_symmetric_parameters_equal_torch(compare):
    """torch.ao's, told to leave the lowest code alone."""
    x = random_arrays(5)(7, 40, scale=3.0).astype(np.float32)

    def ask(torch):
        from torch.ao.quantization import observer

        seen = observer.PerChannelMinMaxObserver(
            ch_axis=0,
            dtype=torch.qint8,
            qscheme=torch.per_channel_symmetric,
            quant_min=-127,
            quant_max=127,
        )
        seen(torch.from_numpy(x.copy()))
        return {"scale": seen.calculate_qparams()[0].numpy()}

    scale, zero_point = quantize.symmetric_parameters(np.abs(x).max(1))
    np.testing.assert_array_equal(scale, compare.answers(ask, (x,))["scale"])
    assert not zero_point.any()


@contract
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_affine_parameters_refuse_what_is_no_range(bad):
    """No step divides an infinite range."""
    with pytest.raises(ValueError, match="affine_parameters: high holds 1 number that"):
        quantize.affine_parameters(-1.0, np.array([1.0, bad]))


@contract
def test_affine_parameters_refuse_ends_in_the_wrong_order():
    """The range would be turned over, and every code clipped."""
    with pytest.raises(ValueError, match="low is above high: give the smaller first"):
        quantize.affine_parameters(2.0, 1.0)


@contract
def test_affine_parameters_refuse_a_float_format():
    """A float8's steps are not even; it has symmetric parameters."""
    with pytest.raises(ValueError, match="holds no whole numbers"):
        quantize.affine_parameters(-1.0, 1.0, "float8_e4m3fn")


@contract
def test_parameters_refuse_what_is_no_number():
    """Texts, None and truth values are no ends of a range."""
    for end in ("1", None, True):
        with pytest.raises(ValueError, match="must be a number, or an array of them"):
            quantize.symmetric_parameters(end)


@contract
def test_symmetric_parameters_refuse_a_size_below_0():
    """It is |x| whose largest is asked."""
    with pytest.raises(ValueError, match="largest is below 0: take the size"):
        quantize.symmetric_parameters(-1.0)
