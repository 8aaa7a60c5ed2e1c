"""The spec of refvlm/quantize/small_floats.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import quantize
from refvlm.autodiff import Variable, backward

from ..spec import check_dtype, contract, derivative, example, law, oracle

EIGHT = ("float8_e4m3fn", "float8_e5m2")
ALL = (*EIGHT, "float4_e2m1")
of_eight = pytest.mark.parametrize("dtype", EIGHT)
of_all = pytest.mark.parametrize("dtype", ALL)
floats = st.floats(width=32, allow_nan=False)


def codes_of(dtype):
    """Every code of a format, as uint8."""
    return np.arange(16 if dtype == "float4_e2m1" else 256, dtype=np.uint8)


def from_bits(bits, dtype):
    """The numbers that codes of any small format stand for."""
    if dtype == "float4_e2m1":
        return quantize.float4_from_bits(bits)
    return quantize.float8_from_bits(bits, dtype)


def to_bits(x, dtype, saturate=True):
    """The codes of numbers in any small format."""
    if dtype == "float4_e2m1":
        return quantize.float4_bits(x)
    return quantize.float8_bits(x, dtype, saturate)


def rounded(x, dtype, saturate=True):
    """The nearest numbers of any small format."""
    if dtype == "float4_e2m1":
        return quantize.round_to_float4(x)
    return quantize.round_to_float8(x, dtype, saturate)


def grid_of(dtype):
    """The finite numbers of a format in their order, 0 once."""
    values = from_bits(codes_of(dtype), dtype)
    return np.unique(values[np.isfinite(values)]) + 0.0  # 0, whichever zero was kept


def hard_numbers(dtype):
    """float32 numbers where another way of rounding is seen: the grid, the middles and
    what is next to them, subnormal numbers, infinities and random bits."""
    grid = grid_of(dtype)
    middles = np.concatenate([grid, grid[1:] / 2 + grid[:-1] / 2, [464, 480, 61440, 7]])
    middles = middles.astype(np.float32)
    up, down = (np.nextafter(middles, np.float32(end)) for end in (np.inf, -np.inf))
    bits = np.random.RandomState(5).randint(0, 2**32, 500, dtype=np.uint32)
    some = bits.view(np.float32)
    ends = np.array([np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-40], np.float32)
    return np.concatenate([middles, up, down, some[~np.isnan(some)], ends])


@example
def test_round_to_float8_keeps_three_bits_of_fraction():
    """From 1 to 2 e4m3fn counts in eighths, e5m2 in quarters; middles go even."""
    x = np.array([1.0625, 1.1, 1.1875, 1.125])
    np.testing.assert_array_equal(quantize.round_to_float8(x), [1, 1.125, 1.25, 1.125])
    expected = [1, 1, 1.25, 1]
    np.testing.assert_array_equal(quantize.round_to_float8(x, EIGHT[1]), expected)


@example
def test_float8_bits_at_the_edges():
    """2^-9 is the smallest of e4m3fn and the code 1; 448 the largest and the code 7E;
    what comes next is 7F, no number."""
    x = np.array([2.0**-9, 2.0**-10, 448.0, 464.0, 465.0, np.nan])
    expected = [0x01, 0x00, 0x7E, 0x7E, 0x7E, 0x7F]
    np.testing.assert_array_equal(quantize.float8_bits(x), expected)
    expected[4] = 0x7F
    np.testing.assert_array_equal(quantize.float8_bits(x, saturate=False), expected)


@example
def test_float8_from_bits_of_one():
    """No sign, the exponent 7 that means 2^0, no fraction."""
    np.testing.assert_array_equal(
        quantize.float8_from_bits(np.array([0b0_0111_000], np.uint8)), [1]
    )


@example
def test_round_to_float4_has_eight_sizes():
    """0, 0.5, 1, 1.5, 2, 3, 4, 6: steps of a half, of one, of two."""
    x = np.array([0.2, 0.25, 0.75, 1.2, 2.5, 3.5, 5.0, 5.1, 99.0, -99.0])
    expected = [0, 0, 1, 1, 2, 4, 4, 6, 6, -6]
    np.testing.assert_array_equal(quantize.round_to_float4(x), expected)


@example
def test_float4_bits_count_up_the_sizes():
    """The codes of the eight sizes are 0 to 7, and the sign is worth 8."""
    x = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -6])
    np.testing.assert_array_equal(quantize.float4_bits(x), [*range(8), 15])


@example
def test_float4_from_bits_of_all_sixteen():
    """And their negatives, -0 among them."""
    values = quantize.float4_from_bits(np.arange(16, dtype=np.uint8))
    np.testing.assert_array_equal(values[:8], [0, 0.5, 1, 1.5, 2, 3, 4, 6])
    np.testing.assert_array_equal(values[8:], -values[:8])
    assert np.signbit(values[8])


@law
@of_all
def test_float8_from_bits_and_back(dtype):
    """Every code is itself again, -0 too; a NaN is some NaN of the same sign."""
    codes = codes_of(dtype)
    values = from_bits(codes, dtype)
    again = to_bits(values, dtype, saturate=False)
    number = ~np.isnan(values)
    np.testing.assert_array_equal(again[number], codes[number])
    assert np.isnan(from_bits(again[~number], dtype)).all()
    np.testing.assert_array_equal(again >> 7, codes >> 7)


@law
@of_all
def test_round_to_float8_goes_to_the_nearest(dtype):
    """No other number of the grid is nearer, and of two as near the even code is taken;
    held against a search through the whole grid."""
    x = hard_numbers(dtype)
    grid = grid_of(dtype).astype(np.float64)
    x = np.clip(x, grid[0], grid[-1])
    found = rounded(x, dtype).astype(np.float64)
    x = x.astype(np.float64)
    nearest = np.abs(x[:, None] - grid).min(1)
    np.testing.assert_array_equal(np.abs(x - found), nearest)
    is_middle = (np.abs(x[:, None] - grid) == nearest[:, None]).sum(1) == 2
    assert is_middle.sum() >= len(grid) - 2
    assert not (to_bits(found[is_middle], dtype) & 1).any()


@law
@of_all
@given(st.lists(floats, min_size=2, max_size=20))
def test_round_to_float8_keeps_order_and_sign(dtype, numbers):
    """x <= y stays so, and -x rounds to minus the same."""
    x = np.sort(np.array(numbers, np.float32))
    found = rounded(x, dtype)
    assert (found[:-1] <= found[1:]).all()
    np.testing.assert_array_equal(
        to_bits(-x, dtype) ^ to_bits(x, dtype), 1 << 7 - 4 * (dtype == ALL[2])
    )


@law
@of_all
@given(st.lists(floats, min_size=1, max_size=20), st.integers(-8, 8))
def test_round_to_float8_twice_is_once(dtype, numbers, power):
    """What is on the grid stays, at every scale of float32."""
    x = rounded(np.array(numbers, np.float32) * np.float32(2.0**power / 2**9), dtype)
    np.testing.assert_array_equal(rounded(x, dtype), x)


@law
@of_all
def test_round_to_float8_keeps_dtype(dtype):
    """dtype in = dtype out, and float16 and float64 round as float32 does."""
    x = np.random.RandomState(3).randn(200).astype(np.float16) * 4
    check_dtype(rounded, x, dtype)
    single = rounded(x.astype(np.float32), dtype)
    for wide in (np.float16, np.float64):
        np.testing.assert_array_equal(rounded(x.astype(wide), dtype), single)


@law
def test_float8_errs_by_half_a_unit_at_most():
    """Relative to a normal number, h / (1 + h) at most, where half of the spacing at 1
    is h: 2^-4 in e4m3fn and 2^-3 in e5m2."""
    x = np.exp(np.random.RandomState(1).randn(10000))
    for dtype, half in zip(EIGHT, (2.0**-4, 2.0**-3)):
        error = np.abs(quantize.round_to_float8(x, dtype) - x) / x
        most = half / (1 + half)
        assert 0.95 * most < error.max() <= most


@law
def test_float4_bits_of_many_axes_and_of_none():
    """Shapes are kept, of nothing and of one number too."""
    for shape in ((), (0, 3), (2, 1, 3)):
        assert quantize.float4_bits(np.ones(shape)).shape == shape
        assert quantize.float8_bits(np.ones(shape)).shape == shape
        codes = np.ones(shape, np.uint8)
        assert quantize.float4_from_bits(codes).shape == shape
        assert quantize.float8_from_bits(codes).shape == shape


@oracle
@of_eight
def test_float8_from_bits_equals_torch(compare, dtype):
    """All 256 codes, to the bit of float32's sign."""
    codes = codes_of(dtype)

    def ask(torch):
        narrow = torch.from_numpy(codes.copy()).view(getattr(torch, dtype))
        return {"values": narrow.float().numpy()}

    answer = compare.answers(ask, (codes, dtype))["values"]
    ours = quantize.float8_from_bits(codes, dtype)
    np.testing.assert_array_equal(ours, answer)
    np.testing.assert_array_equal(np.signbit(ours), np.signbit(answer))


@oracle
@of_eight
def test_float8_bits_equal_torch(compare, dtype):
    """To the bit, NaN included. PyTorch saturates e4m3fn, and e5m2 it does not."""
    x = np.append(hard_numbers(dtype), np.float32([np.nan, -np.nan]))

    def ask(torch):
        narrow = torch.from_numpy(x.copy()).to(getattr(torch, dtype))
        return {"bits": narrow.view(torch.uint8).numpy()}

    ours = quantize.float8_bits(x, dtype, saturate=dtype == EIGHT[0])
    answer = compare.answers(ask, (x, dtype))["bits"]
    np.testing.assert_array_equal(ours, answer)


@oracle
@of_all
@pytest.mark.parametrize("saturate", [True, False])
def test_float8_bits_equal_onnx(compare, dtype, saturate):
    """ONNX's cast, saturating or not, which is ml_dtypes'; to the bit."""
    x = hard_numbers(dtype)

    def ask(torch):
        import ml_dtypes
        import onnx

        kind = getattr(ml_dtypes, dtype.removesuffix("fn") + "fn" * ("5" not in dtype))
        with np.errstate(all="ignore"):
            if saturate and dtype in EIGHT:
                cast = onnx.numpy_helper.saturate_cast(x, np.dtype(kind))
            else:
                cast = x.astype(kind)
        return {"bits": cast.view(np.uint8).copy()}

    answer = compare.answers(ask, (x, dtype, saturate), library="onnx")["bits"]
    np.testing.assert_array_equal(to_bits(x, dtype, saturate), answer)


@oracle
@of_eight
def test_round_to_float8_equals_torch(compare, dtype):
    """There and back, with the gradient, which is rounded on its way back as well."""
    x = np.random.RandomState(9).randn(60).astype(np.float32).astype(np.float64)
    saturate = dtype == EIGHT[0]

    def ours(x):
        return quantize.round_to_float8(x, dtype, saturate)

    def theirs(torch):
        return lambda x: x.float().to(getattr(torch, dtype)).to(x.dtype)

    compare(ours, theirs, x, tolerance=0)


@derivative
def test_round_to_float8_passes_gradients_straight_through():
    """Central differences over many steps see the ramp under the staircase."""
    x = np.linspace(1, 6, 20)
    leaf = Variable(x)
    for round_to in (quantize.round_to_float8, quantize.round_to_float4):
        found = backward(round_to(leaf), np.ones(20))[leaf]
        slope = (round_to(x + 40) - round_to(x - 40)) / 80
        np.testing.assert_array_equal(found, 1)
        if round_to is quantize.round_to_float8:
            np.testing.assert_allclose(slope, found, rtol=0.1)


@derivative
def test_round_to_float4_leaves_the_gradient_alone():
    """Whatever its size: 0.1 would be rounded to 0, 2.4 to 2 and 1000 to 6."""
    leaf = Variable(np.array([1.0, -3.0, 99.0]))
    d_out = np.array([2.4, 0.1, 1000.0])
    found = backward(quantize.round_to_float4(leaf), d_out)[leaf]
    np.testing.assert_array_equal(found, d_out)


@derivative
def test_round_to_float8_rounds_the_gradient():
    """The way back of a cast is a cast: 2.4 goes to 2.5, and 1e-4, less than half of
    the smallest float8, to 0."""
    leaf = Variable(np.array([1.0, -3.0]))
    found = backward(quantize.round_to_float8(leaf), np.array([2.4, 1e-4]))[leaf]
    np.testing.assert_array_equal(found, [2.5, 0])


@contract
@pytest.mark.parametrize("dtype", ["float8", "float4_e2m1", "int8", None, np.int8])
def test_float8_bits_refuse_another_format(dtype):
    """The two that there are, by name."""
    for function in (quantize.float8_bits, quantize.round_to_float8):
        with pytest.raises(ValueError, match="'float8_e4m3fn' or 'float8_e5m2', not"):
            function(np.ones(2), dtype)
    with pytest.raises(ValueError, match="'float8_e4m3fn' or 'float8_e5m2', not"):
        quantize.float8_from_bits(np.ones(2, np.uint8), dtype)


@contract
def test_float4_bits_refuse_nan():
    """No four bits stand for it, and a number in its place would be made up."""
    for function in (quantize.float4_bits, quantize.round_to_float4):
        with pytest.raises(ValueError, match="float4_bits: x holds NaN"):
            function(np.array([1.0, np.nan]))


@contract
def test_float4_from_bits_refuses_what_is_no_code():
    """Packed bytes that were not taken apart have codes above 15."""
    with pytest.raises(ValueError, match="uint8 below 16, not as large as 16"):
        quantize.float4_from_bits(np.array([3, 16], np.uint8))
    with pytest.raises(ValueError, match="uint8 below 16, not int64"):
        quantize.float4_from_bits(np.array([3]))


@contract
def test_float8_from_bits_refuses_numbers():
    """A float that is handed over by mistake is named; int8 would be half negative."""
    with pytest.raises(ValueError, match="integers"):
        quantize.float8_from_bits(np.ones(2))
    with pytest.raises(ValueError, match="uint8 below 256, not int8"):
        quantize.float8_from_bits(np.ones(2, np.int8))
