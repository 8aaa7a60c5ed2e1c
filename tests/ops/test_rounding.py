"""The spec of refvlm/ops/rounding.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.autodiff import Variable, backward, grad

from ..spec import call, contract, derivative, example, law, oracle
from ..spec import random_arrays as arrays

ROUNDINGS = {"bfloat16": ops.round_to_bfloat16, "float16": ops.round_to_float16}
each = pytest.mark.parametrize("round_to", ROUNDINGS.values(), ids=ROUNDINGS)
single = st.floats(-(2.0**99), 2.0**99, width=32)
any_bits = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20)


draw = arrays(2026)
CALLS = {
    "round_to_bfloat16": [call(draw(3, 5)), call(draw(2, 1, 3, scale=1e3))],
    "round_to_float16": [call(draw(3, 5)), call(draw(2, 1, 3, scale=1e3))],
    "bfloat16_bits": [call(draw(3, 5)), call(draw(2, 1, 3, scale=1e3))],
    "bfloat16_from_bits": [call(np.arange(15, dtype=np.uint16).reshape(3, 5) * 4000)],
}


def bits_of(x):
    """The 32 bits of each float32."""
    return np.asarray(x, np.float32).view(np.uint32)


def floats_of(bits):
    """The float32 with these 32 bits."""
    return np.array(bits, np.uint32).view(np.float32)


def every_bfloat16():
    """All numbers and infinities that a bfloat16 can be."""
    values = ops.bfloat16_from_bits(np.arange(2**16, dtype=np.uint16))
    return values[~np.isnan(values)]


def every_float16():
    """All numbers and infinities that a float16 can be, as float32."""
    values = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
    return values[~np.isnan(values)]


@example
def test_round_to_bfloat16_of_middles():
    """Between 1 and 2 the numbers are 1/128 apart. From the middle of two it goes to
    the one whose last bit is 0: down from 1 + 1/256, up from 1 + 3/256."""
    x = np.array([1 + 1 / 256, 1 + 3 / 256, 1 + 1.001 / 256, -1 - 1 / 256])
    rounded = ops.round_to_bfloat16(x)
    np.testing.assert_array_equal(rounded, [1, 1 + 2 / 128, 1 + 1 / 128, -1])


@example
def test_round_to_bfloat16_of_pi():
    """Three digits are left: 8 significant bits."""
    assert ops.round_to_bfloat16(np.array([np.pi])) == 3.140625


@example
def test_round_to_float16_at_its_edges():
    """2^-14 is the smallest normal number, 2^-24 the smallest at all; its half goes to
    the even 0, and 65520 is the middle between 65504 and what would come next."""
    x = np.array([2.0**-14, 2.0**-24, 2.0**-25, 1.5 * 2.0**-24, 65519.9, 65520.0])
    expected = [2.0**-14, 2.0**-24, 0.0, 2.0**-23, 65504.0, np.inf]
    np.testing.assert_array_equal(ops.round_to_float16(x), expected)


@example
def test_bfloat16_bits_of_one():
    """1 is 3F80 0000 as a float32, and its upper half as a bfloat16."""
    assert ops.bfloat16_bits(np.array([1.0], np.float32)) == 0x3F80
    assert ops.bfloat16_from_bits(np.array([0x3F80], np.uint16)) == 1.0


@example
def test_bfloat16_from_bits_of_one_and_minus_two():
    """3F80 is 1: no sign, the exponent 127, no fraction. C000 is -2."""
    bits = np.array([0x3F80, 0xC000], np.uint16)
    np.testing.assert_array_equal(ops.bfloat16_from_bits(bits), [1.0, -2.0])


@law
@given(single, single)
def test_bfloat16_bits_keep_the_order(first, second):
    """Rounding may make two numbers equal, and never swaps them."""
    small, large = sorted([first, second])
    bits = ops.bfloat16_bits(np.array([small, large], np.float32))
    below, above = ops.bfloat16_from_bits(bits)
    assert below <= above


@law
def test_bfloat16_from_bits_and_back():
    """Every one of the 65,536 patterns is itself again; a NaN stays some NaN."""
    bits = np.arange(2**16, dtype=np.uint16)
    values = ops.bfloat16_from_bits(bits)
    again = ops.bfloat16_bits(values)
    number = ~np.isnan(values)
    assert number.sum() == 2**16 - 2 * 127
    np.testing.assert_array_equal(again[number], bits[number])
    assert np.isnan(ops.bfloat16_from_bits(again[~number])).all()


@law
def test_round_to_bfloat16_leaves_its_own_numbers():
    """Rounding twice is rounding once, -0 and subnormal numbers included."""
    values = every_bfloat16()
    np.testing.assert_array_equal(
        bits_of(ops.round_to_bfloat16(values)), bits_of(values)
    )


@law
def test_round_to_float16_leaves_its_own_numbers():
    """Rounding twice is rounding once, -0 and subnormal numbers included."""
    values = every_float16()
    np.testing.assert_array_equal(
        bits_of(ops.round_to_float16(values)), bits_of(values)
    )


@law
@each
def test_roundings_go_to_the_nearest(round_to):
    """No other number of the format is nearer; between two, the even one is taken."""
    grid = every_bfloat16() if round_to is ops.round_to_bfloat16 else every_float16()
    grid = np.unique(grid[np.isfinite(grid)]).astype(np.float64)
    rng = np.random.default_rng(0)
    at = rng.integers(0, len(grid) - 1, 2000)
    low, high = grid[at], grid[at + 1]
    for share, expected in ((0.25, low), (0.75, high)):
        np.testing.assert_array_equal(
            round_to((low + share * (high - low)).astype(np.float32)),
            expected.astype(np.float32),
        )
    middle = round_to((low / 2 + high / 2).astype(np.float32)).astype(np.float64)
    assert ((middle == low) | (middle == high)).all()
    inner = (np.abs(low) > 1e-3) & (np.abs(high) < 6e4)  # where both are normal
    spacing = np.minimum(np.spacing(low[inner].astype(np.float16)), 1)
    assert inner.any() and (spacing > 0).all()
    odd = (middle[inner] / (high - low)[inner]) % 2
    same_binade = np.frexp(low[inner])[1] == np.frexp(high[inner])[1]
    assert same_binade.sum() > 100 and not odd[same_binade].any()


@law
@each
@given(bits=any_bits)
def test_roundings_keep_order_and_sign(round_to, bits):
    """x <= y stays so, and -x rounds to minus the same."""
    x = floats_of([*bits, 0x7F800000, 0x80000000])
    x = np.sort(x[~np.isnan(x)])
    rounded = round_to(x)
    assert (rounded[:-1] <= rounded[1:]).all()
    np.testing.assert_array_equal(bits_of(round_to(-x)), bits_of(-rounded))
    np.testing.assert_array_equal(np.signbit(rounded), np.signbit(x))


@law
@each
@given(bits=any_bits)
def test_roundings_keep_what_is_not_a_number(round_to, bits):
    """A NaN is never cut to an infinity, though its bits be all in the half that goes,
    nor carried over to -0. The bits come as they are: arithmetic would quiet them."""
    x = floats_of([*bits, 0x7F800001, 0xFF800001, 0x7FFFFFFF, 0xFFFFFFFF, 0x7F800000])
    np.testing.assert_array_equal(np.isnan(round_to(x)), np.isnan(x))


@law
@each
def test_roundings_err_by_half_a_unit_at_most(round_to):
    """Relative to a normal number: 2^-8 at most for bfloat16, 2^-11 for float16."""
    half = 2.0**-9 if round_to is ops.round_to_bfloat16 else 2.0**-12
    x = np.exp(arrays(1)(10000, scale=1.5)).astype(np.float32)
    error = np.abs(round_to(x) - x) / x
    assert half < error.max() <= 2 * half


@law
def test_round_to_bfloat16_keeps_the_range_of_float32():
    """1e38 and 1e-38 stay what they are, to three digits; float16 has neither."""
    x = np.array([1e38, 1e-38], np.float32)
    np.testing.assert_allclose(ops.round_to_bfloat16(x), x, rtol=2**-8)
    np.testing.assert_array_equal(ops.round_to_float16(x), [np.inf, 0.0])


def torch_rounding(name):
    """x to sixteen bits and back in PyTorch, a reference with gradients."""
    return lambda torch: lambda x: x.to(getattr(torch, name)).to(x.dtype)


@oracle
@pytest.mark.parametrize("name", ROUNDINGS)
@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e4], ids=["middle", "small", "large"])
def test_roundings_equal_torch(compare, name, scale):
    """Values and gradients: PyTorch's gradient is rounded on its way back as well."""
    x = arrays(3)(40, scale=scale)
    round_to = ROUNDINGS[name]
    compare(round_to, torch_rounding(name), x, tolerance=0)


@oracle
@pytest.mark.parametrize("name", ROUNDINGS)
def test_roundings_equal_torch_to_the_bit(compare, name):
    """On float32 numbers of random bits, among them subnormal ones, infinities and the
    middles between two numbers."""
    rng = np.random.RandomState(4)
    bits = rng.randint(0, 2**32, 2000, dtype=np.uint32)
    middles = (rng.randint(0, 2**16, 500).astype(np.uint32) << 16) | 0x8000
    halfway = (rng.randint(0, 2**18, 500).astype(np.uint32) << 13) | 0x1000
    tiny = rng.randint(0, 2**23, 500, dtype=np.uint32)  # subnormal as float32
    x = floats_of(np.concatenate([bits, middles, halfway, tiny]))
    x = x[~np.isnan(x)]  # whose payload PyTorch chooses by the processor

    def ask(torch):
        narrow = torch.from_numpy(x.copy()).to(getattr(torch, name))
        return {"bits": narrow.view(torch.int16).numpy().view(np.uint16).copy()}

    answer = compare.answers(ask, (x, name))["bits"]
    with np.errstate(over="ignore"):
        ours = (
            ops.bfloat16_bits(x)
            if name == "bfloat16"
            else ops.round_to_float16(x).astype(np.float16).view(np.uint16)
        )
    np.testing.assert_array_equal(ours, answer)
    wide = answer.view(np.float16) if name == "float16" else None
    expected = ops.bfloat16_from_bits(answer) if wide is None else wide
    np.testing.assert_array_equal(
        bits_of(ROUNDINGS[name](x)), bits_of(expected.astype(np.float32))
    )


@derivative
@pytest.mark.parametrize("name", ROUNDINGS)
def test_round_to_passes_gradients_straight_through(name):
    """Central differences over many steps of the staircase see the slope of the ramp
    under it: 1. The gradient of one step, 0, would teach nothing."""
    x = arrays(5)(20)
    found = grad(lambda x: (3 * ROUNDINGS[name](x)).sum())(x)
    width = 0.5
    round_to = ROUNDINGS[name]
    slope = 3 * (round_to(x + width) - round_to(x - width)) / (2 * width)
    np.testing.assert_array_equal(found, 3.0)
    np.testing.assert_allclose(slope, found, rtol=0.05)


@derivative
def test_round_to_bfloat16_rounds_the_gradient_too():
    """What comes back lies in memory as a bfloat16, as the value did."""
    leaf = Variable(np.ones(1))
    out = ops.round_to_bfloat16(leaf)
    assert backward(out, np.array([np.pi]))[leaf] == 3.140625


@derivative
def test_round_to_float16_loses_small_gradients():
    """1e-8 is below half of the smallest float16: it is gone, and scaled by 2^10 it is
    not."""
    leaf = Variable(np.ones(2))
    out = ops.round_to_float16(leaf)
    np.testing.assert_array_equal(backward(out, np.full(2, 1e-8))[leaf], 0.0)
    scaled = backward(out, np.full(2, 1e-8 * 2**10))[leaf] / 2**10
    np.testing.assert_allclose(scaled, 1e-8, rtol=0.01)


@contract
@each
def test_roundings_refuse_integers(round_to):
    """Whole numbers have nothing to round; a float is asked for."""
    with pytest.raises(ValueError, match="floating"):
        round_to(np.arange(3))


@contract
def test_bfloat16_from_bits_refuses_numbers():
    """Sixteen bits are uint16: a float that is handed over by mistake is named."""
    with pytest.raises(ValueError, match="uint16, not float32"):
        ops.bfloat16_from_bits(np.ones(2, np.float32))
