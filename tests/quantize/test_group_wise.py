"""The spec of refvlm/quantize/group_wise.py."""

import itertools

import numpy as np
import pytest
from hypothesis import example as example_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refvlm import kernels, ops, quantize
from refvlm.quantize.demands.groups import BITS, GROUP_SIZES
from refvlm.shapes import ShapeError

from ..spec import call, contract, example, law, oracle, random_arrays, tensors

every_width = pytest.mark.parametrize("bits", BITS)
every_size = pytest.mark.parametrize("group_size", GROUP_SIZES)
of_half_and_single = pytest.mark.parametrize("dtype", [np.float32, np.float16])


def assert_same_bits(actual, expected):
    """The very bits: the sign of a zero, too."""
    assert actual.dtype == expected.dtype and actual.shape == expected.shape
    bits = f"u{actual.dtype.itemsize}"
    np.testing.assert_array_equal(actual.view(bits), expected.view(bits))


def groups_of_every_kind(group_size, dtype):
    """A group to a row: what weights are like, and what they hardly ever are."""
    draw = random_arrays(group_size)
    some = draw(5, group_size)
    rows = [
        some[0] / 8,  # both signs
        np.abs(some[1]) + 1,  # one side, far from 0
        -np.abs(some[2]),
        np.rint(2 * some[3]),  # many lie between two codes
        some[4] * np.geomspace(1e-3, 1e3, group_size),  # long tails
        some[0] * 1e-7,
        np.zeros(group_size),
        np.full(group_size, 0.3),
        np.full(group_size, -0.3),
        np.full(group_size, 1e36 if dtype == np.float32 else 6e4),
    ]
    return np.array(rows).astype(dtype)


def lying(group_size, dtype):
    """Groups in one row, in many, of many axes and on every second place; at 64 more
    than a kernel takes at a time."""
    rows = groups_of_every_kind(group_size, dtype)
    yield from (rows, rows.reshape(2, 5, -1), rows[::2, ::-1])
    if group_size == 64:
        yield np.tile(rows, (420, 1))


def every_group():
    """(w, group_size, bits) of every size, width and dtype; many of them at two widths,
    one for each way of packing."""
    for group_size, dtype in itertools.product(GROUP_SIZES, (np.float32, np.float16)):
        for w in lying(group_size, dtype):
            for bits in BITS if w.size < 10_000 else (3, 4):
                yield w, group_size, bits


CALLS = {
    "group_quantize": [call(*group) for group in every_group()],
    "group_dequantize": [
        call(*quantize.group_quantize(*group), *group[1:]) for group in every_group()
    ],
}


@example
def test_group_quantize_counts_down_from_the_larger_end():
    """From 63 to 0 in 15 steps of 4.2: 63 is code 0, and 0 is code 15."""
    w = np.zeros((1, 64), np.float32)
    w[0, :3] = 63, 58.8, 0
    packed, scales, biases = quantize.group_quantize(w, bits=4)
    assert scales == np.float32(-4.2) and biases == 63
    assert hex(packed[0, 0]) == "0xffffff10"


@example
def test_group_quantize_keeps_the_larger_end_and_zero():
    """-3 to 1 is 15 steps of 4/15, of which 11.25 lead to 0: so 11 do, of 3/11.

    The upper end, 1, is 14.67 steps from -3 and becomes code 15, 12/11.
    """
    w = np.zeros((1, 32), np.float64)
    w[0, :2] = -3, 1
    packed, scales, biases = quantize.group_quantize(w, 32, 4)
    assert np.allclose([scales, biases], [[[3 / 11]], [[-3]]])
    assert hex(packed[0, 0]) == "0xbbbbbbf0"
    back = quantize.group_dequantize(packed, scales, biases, 32, 4)
    assert np.allclose(back[0, :3], [-3, 12 / 11, 0])


@example
def test_group_quantize_at_one_bit_keeps_both_ends():
    """Two codes are the two ends, and 0 is what is left: here, nothing."""
    w = np.array([[-1.0, 3.0] * 16])
    packed, scales, biases = quantize.group_quantize(w, 32, 1)
    assert (scales, biases, hex(packed[0, 0])) == (4, -1, "0xaaaaaaaa")


@example
def test_group_dequantize_rounds_half_precision_twice():
    """17 x 0.1 in float16 is 1.7; with 1000 added, 1001.5, where 1.7 is 1001.7."""
    scales, biases = np.array([[[0.1]], [[1000]]], np.float16)
    packed = np.full((1, 8), 17, np.uint32)
    back = quantize.group_dequantize(packed, scales, biases, 32, 8)
    product = np.float16(np.float32(17) * np.float32(np.float16(0.1)))
    assert back[0, 0] == np.float16(product + np.float32(1000))


def bounds(w, group_size, bits):
    """Twice the largest step that a group may need, for each weight."""
    groups = w.reshape(-1, group_size)
    return np.repeat(np.ptp(groups, -1), group_size).reshape(w.shape) / (2**bits - 1)


@law
@every_width
@given(tensors((2, 64)))
def test_group_quantize_is_off_by_a_step_at_most(bits, w):
    """Half a step, but at the smaller end: the scale was changed so that 0 is a code.

    The step is changed by less than its third, and the end by less than a step.
    """
    packed, scales, biases = quantize.group_quantize(w, 32, bits)
    back = quantize.group_dequantize(packed, scales, biases, 32, bits)
    assert (np.abs(back - w) <= 1.5 * bounds(w, 32, bits) + 1e-6).all()


@law
@pytest.mark.parametrize("bits", BITS[1:])
@given(tensors((3, 32)))
def test_group_quantize_is_exact_at_the_larger_end_and_zero(bits, w):
    """Zero is what was pruned, and the larger end might have the largest error: one of
    them, where both are as large."""
    w[:, 0] = 0
    packed, scales, biases = quantize.group_quantize(w, 32, bits)
    back = quantize.group_dequantize(packed, scales, biases, 32, bits)
    larger = np.abs(w).max(-1, keepdims=True)
    is_exact = ((np.abs(w) == larger) & (w == back)).any(-1, keepdims=True)
    is_small = larger < 1e-6  # where the least scale is more than a step
    assert (is_small | is_exact).all()
    assert np.allclose(back[:, 0], 0, atol=1e-6)


@law
@pytest.mark.filterwarnings("error")
@every_width
@given(st.floats(-(2.0**127), 2.0**127, width=32))
@example_of(2.0**125)
@example_of(-(2.0**125))
def test_group_quantize_of_one_value_is_exact(bits, value):
    """A constant group has no range, and yet a scale; what is below 5e-8 becomes 0."""
    w = np.full((1, 32), value, np.float32)
    packed, scales, biases = quantize.group_quantize(w, 32, bits)
    back = quantize.group_dequantize(packed, scales, biases, 32, bits)
    assert (np.abs(back - w) <= 5.1e-8).all() and not packed.any()


@law
def test_group_quantize_keeps_what_it_made():
    """What lies on the grid is found again: at 8 bits, whole numbers from -127 to 128.

    The scale is exact there, which a scale that was rounded need not be.
    """
    w = np.arange(-127, 129, dtype=np.float32).reshape(2, 128)
    w[:, 0], w[:, 1] = -127, 128
    packed, scales, biases = quantize.group_quantize(w, 128, 8)
    assert (np.abs(scales) == 1).all()
    back = quantize.group_dequantize(packed, scales, biases, 128, 8)
    np.testing.assert_array_equal(back, w)


@law
@pytest.mark.parametrize("rounding", ["float16", "bfloat16"])
@given(
    hnp.arrays(np.float16, (40, 2), elements=st.floats(-60000, 60000, width=16)),
    st.integers(0, 15),
)
def test_group_dequantize_rounds_to_a_format_held_in_single(rounding, both, power):
    """The steps of float16 in float32, to the bit: of scales that are tiny, too, and of
    weights that are beyond the format, which are infinite there."""
    scales, biases = (both * np.float16(2.0**-power)).T[..., None].astype(np.float32)
    packed = np.arange(40 * 4, dtype=np.uint32).reshape(40, 4) * 0x9E3779B9
    codes = np.stack([packed >> at & 15 for at in range(0, 32, 4)], -1).reshape(40, 32)
    with np.errstate(all="ignore"):
        rounded = getattr(ops, f"round_to_{rounding}")
        expected = rounded(rounded(scales * codes.astype(np.float32)) + biases)
    if rounding == "bfloat16":
        scales, biases = rounded(scales), rounded(biases)
    with kernels.definitions():
        defined = quantize.group_dequantize(packed, scales, biases, 32, 4, rounding)
    ours = quantize.group_dequantize(packed, scales, biases, 32, 4, rounding)
    assert_same_bits(ours, defined)
    if rounding == "float16":
        assert_same_bits(ours, expected)
        halves = (each.astype(np.float16) for each in (scales, biases))
        half = quantize.group_dequantize(packed, *halves, 32, 4)
        assert_same_bits(half.astype(np.float32), ours)


@law
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_group_wise_keeps_the_dtype_and_its_inputs(dtype):
    """Scales, biases and weights are of the dtype that came in."""
    w = groups_of_every_kind(32, np.float16).astype(dtype)
    w.flags.writeable = False
    answers = quantize.group_quantize(w, 32, 3)
    for answer in answers:
        answer.flags.writeable = False
    back = quantize.group_dequantize(*answers, 32, 3)
    assert [a.dtype for a in (*answers, back)] == [np.uint32, dtype, dtype, dtype]
    assert back.shape == w.shape


@oracle
@every_width
@every_size
@of_half_and_single
def test_group_wise_equals_mlx(compare, bits, group_size, dtype):
    """Bit for bit: packed, scales, biases, and the weights that come of them."""
    w = groups_of_every_kind(group_size, dtype)

    def ask(torch):
        import mlx.core as mx

        answers = mx.quantize(mx.array(w), group_size, bits)
        answers = [*answers, mx.dequantize(*answers, group_size, bits)]
        names = "packed", "scales", "biases", "weights"
        return {name: np.array(answer) for name, answer in zip(names, answers)}

    inputs = (w, group_size, bits)
    theirs = compare.answers(ask, inputs, library="mlx.core")
    ours = quantize.group_quantize(w, group_size, bits)
    for name, answer in zip(("packed", "scales", "biases"), ours, strict=True):
        assert_same_bits(answer, theirs[name])
    back = quantize.group_dequantize(*ours, group_size, bits)
    assert_same_bits(back, theirs["weights"])


@oracle
@every_width
def test_group_wise_of_bfloat16_equals_mlx(compare, bits):
    """NumPy has no bfloat16: its values wait in float32, have the same codes, and the
    scales, biases and weights are MLX's where each is rounded."""
    w = ops.round_to_bfloat16(groups_of_every_kind(64, np.float32))

    def ask(torch):
        import mlx.core as mx

        packed, *rest = mx.quantize(mx.array(w).astype(mx.bfloat16), 64, bits)
        rest.append(mx.dequantize(packed, *rest, 64, bits))
        rest = [np.array(each.astype(mx.float32)) for each in rest]
        names = "packed", "scales", "biases", "weights"
        return dict(zip(names, (np.array(packed), *rest)))

    theirs = compare.answers(ask, (w, bits), library="mlx.core")
    packed, *rest = quantize.group_quantize(w, 64, bits)
    np.testing.assert_array_equal(packed, theirs["packed"])
    scales, biases = map(ops.round_to_bfloat16, rest)
    assert_same_bits(scales, theirs["scales"])
    assert_same_bits(biases, theirs["biases"])
    back = quantize.group_dequantize(packed, scales, biases, 64, bits, "bfloat16")
    assert_same_bits(back, theirs["weights"])


@contract
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@of_half_and_single
def test_group_quantize_refuses_what_is_no_number(wrong, dtype):
    """MLX makes a group of zeros of it, and says nothing."""
    w = np.ones((2, 64), dtype)
    w[1, 7] = wrong
    with pytest.raises(ValueError, match="quantize: w holds 1 number that is NaN"):
        quantize.group_quantize(w)


@contract
def test_group_quantize_refuses_a_range_without_a_scale():
    """3e38 and -3e38 are further apart than float32 holds, and MLX's scale is infinite.
    In float16 it is finite from 6e4 to -6e4, but three times the scale is not."""
    w = np.zeros((1, 64), np.float32)
    w[0, :2] = 3e38, -3e38
    with pytest.raises(ValueError, match="group_quantize: w reaches .* in float32"):
        quantize.group_quantize(w)
    half = np.zeros((1, 64), np.float16)
    half[0, :2] = 6e4, -6e4
    for bits in (1, 2, 8):
        with pytest.raises(ValueError, match="group_quantize: w reaches .* in float16"):
            quantize.group_quantize(half, bits=bits)
    half[0, 1] = 0
    packed = quantize.group_quantize(half, bits=2)
    assert np.isfinite(quantize.group_dequantize(*packed, bits=2)).all()


@contract
@pytest.mark.parametrize("shape", [(3, 65), (2, 32), (0, 64), (2, 0), (63,)])
def test_group_quantize_refuses_rows_that_are_no_groups(shape):
    """Whole groups, and one at least."""
    with pytest.raises(ShapeError, match="group_quantize: w .* groups of 64"):
        quantize.group_quantize(np.zeros(shape, np.float32))


@contract
@pytest.mark.parametrize("options", [{"group_size": 16}, {"bits": 7}, {"bits": True}])
def test_group_wise_refuses_what_mlx_does_not_have(options):
    """Sizes and widths are named."""
    name = next(iter(options))
    with pytest.raises(ValueError, match=f"group_quantize: {name} is one of "):
        quantize.group_quantize(np.zeros((1, 64), np.float32), **options)
    one = np.ones((1, 1), np.float32)
    with pytest.raises(ValueError, match=f"group_dequantize: {name} is one of "):
        quantize.group_dequantize(np.zeros((1, 8), np.uint32), one, one, **options)


@contract
def test_group_dequantize_refuses_what_does_not_belong_together():
    """Words, scales and biases of one matrix, at its own group size and width."""
    w = np.ones((4, 128), np.float32)
    packed, scales, biases = quantize.group_quantize(w)
    for wrong in (
        (packed, scales, biases, 32),
        (packed, scales, biases, 64, 8),
        (packed[:2], scales, biases),
        (packed[:, :-1], scales, biases),
        (packed[:, :0], scales[:, :0], biases[:, :0]),
        (packed, scales[:, :1], biases),
        (packed, scales, biases[:3]),
    ):
        with pytest.raises(ShapeError, match="group_dequantize: "):
            quantize.group_dequantize(*wrong)
    with pytest.raises(ValueError, match="packed holds uint8, but needs uint32"):
        quantize.group_dequantize(packed.view(np.uint8), scales, biases)
    with pytest.raises(ValueError, match="scales are float32 and biases float16"):
        quantize.group_dequantize(packed, scales, biases.astype(np.float16))
    for name, scale in (("float8", scales), ("float16", scales.astype(np.float16))):
        with pytest.raises(ValueError, match="rounding is float16 or bfloat16 beside"):
            quantize.group_dequantize(packed, scale, scale, rounding=name)
    with pytest.raises(ValueError, match="group_dequantize: scales holds 8 numbers"):
        quantize.group_dequantize(packed, scales * np.float32(np.nan), biases)
