"""The spec of refvlm/quantize/integer_products.py and of its kernels."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refvlm import kernels, ops, quantize
from refvlm.kernels import code_geometry
from refvlm.kernels import integer_products as quick

from ..spec import call, contract, example, law, oracle
from .onnx_runtime import run

CODES = (np.uint8, np.int8)
# Largest magnitudes of a and b, by codes that have them: uint8 is 0 to 255, int8 with a
# zero point of 127 goes down to -255, and symmetric codes end at 127.
EXTREMES = {
    (255, 255): (np.uint8(255), np.uint8(255)),
    (255, 128): (np.uint8(255), np.int8(-128)),
    (255, 127): (np.uint8(255), np.int8(127)),
    (128, 128): (np.int8(-128), np.int8(-128)),
    (127, 127): (np.int8(127), np.int8(-127)),
}
STACKS = [((), ()), ((3,), ()), ((), (2,)), ((2, 3), (3,)), ((1,), (2,))]
each_extreme = pytest.mark.parametrize("sizes", EXTREMES, ids="{0[0]} x {0[1]}".format)


def codes(shape, dtype):
    """A strategy of codes, the ends of the dtype among them more often than others."""
    ends = np.iinfo(dtype)
    some = st.integers(ends.min, ends.max) | st.sampled_from([ends.min, ends.max])
    return hnp.arrays(dtype, shape, elements=some)


@st.composite
def products(draw):
    """Two matrices or stacks of them, with zero points of every form."""
    m, k, n = (draw(st.integers(0, 5)) for _ in range(3))
    stack, other = draw(
        st.sampled_from(
            [((), ()), ((3,), ()), ((), (2,)), ((2, 3), (3,)), ((1,), (2,))]
        )
    )
    of_a, of_b = draw(st.sampled_from(CODES)), draw(st.sampled_from(CODES))
    a, b = draw(codes((*stack, m, k), of_a)), draw(codes((*other, k, n), of_b))
    rows = draw(st.sampled_from([(), (1,), (m,), (*stack, m, 1)]))
    columns = draw(st.sampled_from([(), (1,), (n,), (*other, 1, n)]))
    zero_points = draw(codes(rows, of_a)), draw(codes(columns, of_b))
    return (a, b, *(draw(st.sampled_from([None, each])) for each in zero_points))


def exact(a, b, a_zero_point=None, b_zero_point=None):
    """The sums in Python's own numbers, which have no last one."""
    if a_zero_point is None:
        a_zero_point = np.zeros((), np.int8)
    elif a_zero_point.ndim == 1 and a_zero_point.size != 1:
        a_zero_point = a_zero_point[:, None]
    if b_zero_point is None:
        b_zero_point = np.zeros((), np.int8)
    return (a.astype(object) - a_zero_point.astype(object)) @ (
        b.astype(object) - b_zero_point.astype(object)
    )


def wrapped(sums):
    """The number of int32 that differs by a multiple of 2^32."""
    of_each = [(each + 2**31) % 2**32 - 2**31 for each in np.ravel(sums).tolist()]
    return np.array(of_each, np.int32).reshape(np.shape(sums))


def assert_same(actual, expected):
    """Every number, the shape and the dtype."""
    assert actual.dtype == expected.dtype and actual.shape == expected.shape
    np.testing.assert_array_equal(actual, expected)


@example
def test_matmul_integer_takes_the_zero_points_off():
    """(3 - 1)(10 - 4) + (0 - 1)(2 - 4) = 14, and with -4 for 10: 2 * -8 + 2 = -14."""
    a, b = np.array([[3, 0]], np.uint8), np.array([[10, -4], [2, 2]], np.int8)
    found = quantize.matmul_integer(a, b, np.array(1, np.uint8), np.array(4, np.int8))
    assert_same(found, np.array([[14, -14]], np.int32))


@example
def test_matmul_integer_has_a_zero_point_for_each_row_and_each_column():
    """Rows lose 1 and 2, columns 0 and 3: all that is left is counted by hand."""
    a, b = np.array([[1, 2], [2, 5]], np.uint8), np.array([[7, 3], [1, 4]], np.int8)
    rows, columns = np.array([1, 2], np.uint8), np.array([0, 3], np.int8)
    found = quantize.matmul_integer(a, b, rows, columns)
    assert_same(found, np.array([[1, 1], [3, 3]], np.int32))
    lying = rows[:, None], columns[None]
    assert_same(quantize.matmul_integer(a, b, *lying), found)


@example
def test_qlinear_matmul_rounds_to_even_before_the_zero_point():
    """2.5 goes to 2 and, with a zero point of 1, to 3; 2.5 + 1 would have gone to 4."""
    codes = np.array([[5]], np.uint8)
    scale, half, zero = np.array(1.0), np.array(2.0), np.array(0, np.uint8)
    one = np.array([[1]], np.uint8)
    found = quantize.qlinear_matmul(
        codes, scale, zero, one, scale, zero, half, np.array(1, np.uint8)
    )
    assert_same(found, np.array([[3]], np.uint8))


@example
def test_conv_integer_lays_the_zero_point_around_the_picture():
    """The sum of three neighbours of a picture that is nothing but its zero point."""
    nothing, sum_ = np.full((1, 1, 4), 9, np.uint8), np.ones((1, 1, 3), np.int8)
    found = quantize.conv_integer(nothing, sum_, np.array(9, np.uint8), pads=[1, 1])
    assert_same(found, np.zeros((1, 1, 4), np.int32))


@example
def test_conv_integer_pads_behind_or_before():
    """Of four codes in steps of two, windows of three: one lies outside, at one end."""
    x, sum_ = np.array([[[1, 2, 3, 4]]], np.uint8), np.ones((1, 1, 3), np.int8)
    for auto_pad, expected in {"SAME_UPPER": [6, 7], "SAME_LOWER": [3, 9]}.items():
        found = quantize.conv_integer(x, sum_, auto_pad=auto_pad, strides=[2])
        assert_same(found, np.array([[expected]], np.int32))


@example
def test_qlinear_conv_adds_its_bias_in_steps_of_both_scales():
    """(4 * 3 + 8) steps of a quarter are 5, stored in steps of a half: 10."""
    x, w = np.full((1, 1, 1), 4, np.uint8), np.full((1, 1, 1), 3, np.int8)
    half, zero = np.array(0.5), np.array(0, np.uint8)
    w_zero, bias = np.array(0, np.int8), np.array([8], np.int32)
    found = quantize.qlinear_conv(x, half, zero, w, half, w_zero, half, zero, bias)
    assert_same(found, np.full((1, 1, 1), 10, np.uint8))


@example
def test_float32_is_wrong_one_product_past_its_bound():
    """258 products of 255 and 255 fit below 2^24 = 16,777,216. The next sum is odd,
    16,841,475, and float32 has only even numbers there."""
    row = np.full((1, 259), 255, np.uint8)
    single = row.astype(np.float32)
    assert (single[:, :258] @ single[:, :258].T).item() == 258 * 255**2 == 16_776_450
    assert (single @ single.T).item() != 259 * 255**2 == 16_841_475
    assert quantize.matmul_integer(row, row.T).item() == 16_841_475


@law
@given(products())
def test_matmul_integer_is_the_sum_of_products(case):
    """In Python's own whole numbers; the kernel, and the body too."""
    expected = wrapped(exact(*case))
    assert_same(quantize.matmul_integer(*case), expected)
    with kernels.definitions():
        assert_same(quantize.matmul_integer(*case), expected)


@law
@each_extreme
def test_matmul_integer_is_exact_around_every_cut(sizes):
    """As many products of extremes as one sum may have, one less and one more, twice
    that, and all of them negated."""
    one, other = EXTREMES[sizes]
    longest = (1 << 24) // (sizes[0] * sizes[1])
    for count in (longest - 1, longest, longest + 1, 2 * longest, 2 * longest + 1):
        a, b = np.full((2, count), one), np.full((count, 3), other)
        assert_same(quantize.matmul_integer(a, b), wrapped(exact(a, b)))


@law
@each_extreme
def test_matmul_integer_is_right_where_an_uncut_float32_product_is_not(sizes):
    """One product past the cut, and a last one that makes the sum odd: float32 has no
    odd number there, whatever the order in which it adds."""
    one, other = EXTREMES[sizes]
    longest = (1 << 24) // (sizes[0] * sizes[1])
    a = np.append(np.full(longest + 1, one), one.dtype.type(1))[None]
    b = np.append(np.full(longest + 1, other), other.dtype.type(1))[:, None]
    if exact(a, b).item() % 2 == 0:
        b[-1] = 2
    sum_ = exact(a, b).item()
    assert sum_ % 2 and abs(sum_) > 1 << 24
    assert (a.astype(np.float32) @ b.astype(np.float32)).item() != sum_
    assert quantize.matmul_integer(a, b).item() == sum_


@law
@given(st.integers(0, 255), st.integers(0, 255), st.integers(1, 600))
def test_matmul_integer_of_any_size_and_length(high, other, count):
    """Operands of few bits, or of a zero point in the middle, are cut elsewhere."""
    rng = np.random.default_rng(high * 256 + other)
    a = rng.choice(np.array([0, high], np.uint8), (2, count))
    b = rng.choice(np.array([0, other], np.uint8), (count, 2))
    zero = np.array(high // 2, np.uint8)
    assert_same(quantize.matmul_integer(a, b, zero), wrapped(exact(a, b, zero)))


@law
@given(codes((3, 4), np.uint8), codes((4, 2), np.int8), codes((), np.int8))
def test_longest_sum_is_as_long_as_it_may_be(a, b, zero):
    """So many products of the largest numbers stay at 2^24 or below, and one more might
    not."""
    longest = quick.longest_sum(a, np.array(0), b, zero)
    each = int(np.abs(a.astype(int)).max()) * int(np.abs(b.astype(int) - zero).max())
    assert longest * each <= 1 << 24
    if each:
        assert (longest + 1) * each > 1 << 24


@law
def test_matmul_integer_wraps_around_beyond_int32():
    """33,025 products of 255 and 255 are the most; one more is 2^32 less."""
    for count in (33_025, 33_026, 70_000):
        row = np.full((1, count), 255, np.uint8)
        expected = wrapped(np.array([[count * 255**2]], object))
        assert (expected < 0).any() == (count == 33_026)
        assert_same(quantize.matmul_integer(row, row.T), expected)
        with kernels.definitions():
            assert_same(quantize.matmul_integer(row, row.T), expected)


@law
@given(products())
def test_zero_points_are_three_sums_beside_the_product(case):
    """Multiplied out: all that zero points need is sums of rows and of columns."""
    a, b, *_ = case
    zero, other = np.array(3, a.dtype), np.array(5, b.dtype)
    raw = exact(a, b) - 3 * b.astype(object).sum(-2, keepdims=True)
    raw = raw - 5 * a.astype(object).sum(-1, keepdims=True) + 15 * a.shape[-1]
    assert_same(quantize.matmul_integer(a, b, zero, other), wrapped(raw))


@law
def test_matmul_integer_takes_vectors_as_numpy_does():
    """A row alone, a column alone, and both."""
    a, b = np.array([1, 2], np.uint8), np.array([3, 4], np.int8)
    assert quantize.matmul_integer(a, b).shape == ()
    assert quantize.matmul_integer(a, b) == 11
    assert_same(quantize.matmul_integer(a, b[:, None]), np.array([11], np.int32))
    assert_same(quantize.matmul_integer(a[None], b), np.array([11], np.int32))


@law
@given(products(), st.integers(-6, 2), st.sampled_from(CODES))
def test_qlinear_matmul_is_the_product_of_numbers_quantized(case, power, dtype):
    """Of scales that are powers of two, float64 loses nothing on the way there."""
    a, b, a_zero, b_zero = case
    a_zero = np.zeros((), a.dtype) if a_zero is None else a_zero
    b_zero = np.zeros((), b.dtype) if b_zero is None else b_zero
    scales = np.array(0.25), np.array(2.0), np.array(2.0**power)
    rows = code_geometry.per_row(a_zero).astype(float)
    numbers = ((a - rows) * 0.25) @ (
        (b - code_geometry.per_column(b_zero).astype(float)) * 2.0
    )
    zero = np.array(7, dtype)
    expected = quantize.quantize_linear(numbers, scales[2], zero)
    found = quantize.qlinear_matmul(
        a, scales[0], a_zero, b, scales[1], b_zero, scales[2], zero
    )
    assert_same(found, expected)


@law
def test_qlinear_matmul_has_a_scale_for_each_row_and_column():
    """As if every row and column had been multiplied alone."""
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (3, 5)).astype(np.uint8)
    b = rng.integers(-128, 128, (5, 4)).astype(np.int8)
    rows, columns = rng.uniform(0.01, 0.1, 3), rng.uniform(0.01, 0.1, 4)
    zero, zeros = np.array(9, np.uint8), np.arange(4, dtype=np.int8)
    step, middle = np.array(2.0), np.array(100, np.uint8)
    whole = quantize.qlinear_matmul(a, rows, zero, b, columns, zeros, step, middle)
    for i, j in np.ndindex(whole.shape):
        alone = quantize.qlinear_matmul(
            *(a[[i]], rows[i], zero, b[:, [j]], columns[j], zeros[j], step, middle)
        )
        assert whole[i, j] == alone.item()


UPPER = {"auto_pad": "SAME_UPPER", "strides": [2, 3]}
WALKS = {
    "plain": ((2, 3, 6, 5), (4, 3, 3, 2), {}),
    "pads": ((1, 2, 4, 4), (3, 2, 3, 3), {"pads": [1, 0, 2, 1]}),
    "strides": ((1, 2, 7, 6), (3, 2, 3, 2), {"strides": [2, 3], "dilations": [1, 2]}),
    "groups": ((2, 4, 5, 5), (6, 2, 2, 2), {"group": 2, "kernel_shape": [2, 2]}),
    "depthwise": ((2, 4, 6, 7), (8, 1, 3, 3), {"group": 4, "pads": [1] * 4}),
    "upper": (
        (1, 2, 8, 9),
        (3, 2, 4, 3),
        {"auto_pad": "SAME_UPPER", "strides": [2, 3]},
    ),
    "lower": (
        (1, 2, 8, 9),
        (3, 2, 4, 3),
        {"auto_pad": "SAME_LOWER", "strides": [2, 3]},
    ),
    "valid": ((1, 2, 8, 9), (3, 2, 4, 3), {"auto_pad": "VALID"}),
    "one axis": ((2, 3, 9), (4, 3, 3), {"strides": [2]}),
    "three axes": ((1, 2, 3, 4, 5), (3, 2, 2, 2, 2), {"pads": [1, 0, 0, 0, 1, 0]}),
    "more channels than a sum": ((1, 60, 4, 4), (2, 60, 3, 3), {}),
    "more taps than a sum": ((1, 1, 18, 18), (2, 1, 17, 17), {}),
    "no pictures": ((0, 2, 5, 5), (3, 2, 2, 2), {}),
}
each_walk = pytest.mark.parametrize("name", WALKS)


def pictures_and_filters(name, of_x=np.uint8, of_w=np.int8):
    """Random codes, half of them the ends of their dtype, and zero points."""
    x_shape, w_shape, options = WALKS[name]
    rng = np.random.RandomState(1)  # whose stream is that of the record

    def draw(shape, dtype):
        ends = np.iinfo(dtype)
        some = rng.randint(ends.min, ends.max + 1, shape)
        return np.where(rng.random_sample(shape) < 0.5, ends.max, some).astype(dtype)

    x, w = draw(x_shape, of_x), draw(w_shape, of_w)
    return x, w, draw((), of_x), draw(len(w), of_w), options


def matrices():
    """Stacks of codes of extremes with zero points of every form, in long sums too."""
    random = np.random.RandomState(2)
    for of_a, of_b in itertools.product(CODES, CODES):
        for k in (0, 1, 5, 259, 1400):
            for stack, other in STACKS:
                a = random.choice(ends_of(of_a), (*stack, 3, k))
                b = random.choice(ends_of(of_b), (*other, k, 2))
                rows, columns = a[..., :1], b[..., :1, :]
                yield a, b
                if k:
                    yield a, b, a.ravel()[0].reshape(1), b.ravel()[0].reshape(())
                    yield a, b, rows, columns
    yield np.array([1, 2], np.uint8), np.array([3, 4], np.int8)


def ends_of(dtype):
    """The least code, the largest, and 1."""
    return np.array([np.iinfo(dtype).min, np.iinfo(dtype).max, 1], dtype)


CALLS = {
    "matmul_integer": [call(*case) for case in matrices()],
    "conv_integer": [
        call(*given, **options)
        for name in WALKS
        for of_x in CODES
        for *given, options in [pictures_and_filters(name, of_x)]
    ],
}


@law
@each_walk
@pytest.mark.parametrize("of_x, of_w", [(np.uint8, np.int8), (np.int8, np.uint8)])
def test_conv_integer_is_the_sum_over_its_window(name, of_x, of_w):
    """Place by place, in Python's own whole numbers; the kernel, and the body too."""
    x, w, zero, zeros, options = pictures_and_filters(name, of_x, of_w)
    found = quantize.conv_integer(x, w, zero, zeros, **options)
    with kernels.definitions():
        assert_same(quantize.conv_integer(x, w, zero, zeros, **options), found)
    asked = [options.get(key) for key in ("dilations", "pads", "strides")]
    walk = code_geometry.walk_of(
        "conv_integer", x, w, options.get("auto_pad", "NOTSET"), *asked
    )
    axes, group = range(len(walk.size)), options.get("group", 1)
    around = [(0, 0), (0, 0), *walk.padding]
    padded = np.pad(x.astype(object) - zero.item(), around)
    filters = w.astype(object) - zeros.astype(object).reshape(-1, *[1] * (w.ndim - 1))
    places = list(np.ndindex(found.shape))
    for place in places[:: max(1, len(places) // 40)]:
        image, o, *at = place
        first = o // (len(w) // group) * w.shape[1]
        looks = [slice(at[i] * walk.stride[i], None, walk.dilation[i]) for i in axes]
        seen = padded[image, first : first + w.shape[1]][:, *looks]
        seen = seen[:, *[slice(k) for k in walk.kernel]]
        assert found[place] == (seen * filters[o]).sum()
    assert len(places) or not len(x)


@law
def test_conv_integer_is_exact_around_its_cuts():
    """Windows of nothing but extremes, of one tap fewer, as many, and more than fit."""
    for channels, size in ((1, 16), (258, 1), (259, 1), (28, 3), (29, 3), (1, 17)):
        x = np.full((1, channels, size, size), 255, np.uint8)
        found = quantize.conv_integer(x, x)
        assert found.item() == channels * size**2 * 255**2


@law
@given(codes((1, 3, 4, 4), np.uint8), codes((2, 3, 1, 1), np.int8))
def test_conv_integer_of_one_tap_is_a_product(x, w):
    """Every place is a row of channels."""
    found = quantize.conv_integer(x, w)
    expected = quantize.matmul_integer(w.reshape(2, 3), x.reshape(3, 16))
    assert_same(found, expected.reshape(1, 2, 4, 4))


@law
@pytest.mark.parametrize("name", ["plain", "pads", "strides", "groups", "depthwise"])
def test_conv_integer_is_conv2d_of_the_same_numbers(name):
    """Whose float64 holds all of them."""
    x, w, zero, zeros, options = pictures_and_filters(name)
    pads = options.get("pads", [0] * 4)
    expected = ops.conv2d(
        x.astype(float) - zero,
        w.astype(float) - zeros.astype(float)[:, None, None, None],
        stride=tuple(options.get("strides", (1, 1))),
        padding=((pads[0], pads[2]), (pads[1], pads[3])),
        dilation=tuple(options.get("dilations", (1, 1))),
        groups=options.get("group", 1),
    )
    assert_same(
        quantize.conv_integer(x, w, zero, zeros, **options), expected.astype(np.int32)
    )


@law
@each_walk
def test_qlinear_conv_is_the_convolution_quantized(name):
    """Sums and bias, times both scales, on the grid of the result."""
    x, w, zero, zeros, options = pictures_and_filters(name)
    rng = np.random.default_rng(2)
    bias = rng.integers(-9999, 9999, len(w)).astype(np.int32)
    scales = 2.0 ** rng.integers(-9, -6, len(w))
    step, middle = np.array(4.0), np.array(3, np.int8)
    found = quantize.qlinear_conv(
        *(x, np.array(0.5), zero, w, scales, zeros, step, middle, bias), **options
    )
    sums = quantize.conv_integer(x, w, zero, zeros, **options).astype(float)
    lying = [-1] + [1] * (x.ndim - 2)
    numbers = (sums + bias.reshape(lying)) * (0.5 * scales.reshape(lying))
    assert_same(found, quantize.quantize_linear(numbers, step, middle))


@law
def test_products_leave_their_operands_alone():
    """Codes and zero points are what they were."""
    x, w, zero, zeros, options = pictures_and_filters("pads")
    before = [each.copy() for each in (x, w, zero, zeros)]
    quantize.conv_integer(x, w, zero, zeros, **options)
    quantize.matmul_integer(x, x.swapaxes(-1, -2), zero, zero)
    for each, copy in zip((x, w, zero, zeros), before):
        np.testing.assert_array_equal(each, copy)


@law
@pytest.mark.parametrize("many", [1, 600, 1100])
def test_matmul_integer_of_many_columns_is_that_of_each(many):
    """Which cores take in pieces, each with the zero points of its own."""
    rng = np.random.default_rng(3)
    a = rng.integers(0, 256, (2, 3, 700)).astype(np.uint8)
    b = rng.integers(-128, 128, (700, many)).astype(np.int8)
    zero, zeros = np.array(200, np.uint8), rng.integers(-128, 128, many).astype(np.int8)
    found = quantize.matmul_integer(a, b, zero, zeros)
    wide = (a.astype(np.int64) - 200) @ (b.astype(np.int64) - zeros)
    assert_same(found, wide.astype(np.int32))
    stack = np.stack([b, b[::-1]])[:, None]
    both = quantize.matmul_integer(a, stack, zero, zeros[None, None, None].repeat(2, 0))
    assert_same(both[0], found)


@oracle
def test_matmul_integer_equals_torch(compare):
    """PyTorch's own, of two int8 matrices."""
    rng = np.random.RandomState(4)
    a, b = (rng.randint(-128, 128, s).astype(np.int8) for s in ((33, 900), (900, 16)))
    answers = compare.answers(
        lambda torch: {
            "y": torch._int_mm(torch.from_numpy(a), torch.from_numpy(b)).numpy()
        },
        (a, b),
    )
    assert_same(quantize.matmul_integer(a, b), answers["y"])


@oracle
@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("per_column", [False, True])
def test_products_equal_onnxruntime(compare, dtype, per_column):
    """To the bit, of two operands of one dtype. Of uint8 and int8 it adds pairs of
    products in int16 on processors without VNNI, where 2 * 255 * 127 is 32,767."""
    rng = np.random.RandomState(5)
    ends = np.iinfo(dtype)

    def draw(*shape):
        return np.asarray(rng.randint(ends.min, ends.max + 1, shape)).astype(dtype)

    def scale(*shape):
        return np.asarray(rng.uniform(0.001, 0.1, shape)).astype(np.float32)

    columns = (11,) if per_column else ()
    a, b, zero, zeros = draw(3, 7, 300), draw(300, 11), draw(), draw(*columns)
    step, middle = np.array(9.5, np.float32), draw()
    inputs = a, scale(), zero, b, scale(*columns), zeros, step, middle
    answers = compare.answers(
        lambda _: {
            "sums": run("MatMulInteger", np.int32, a, b, zero, zeros),
            "codes": run("QLinearMatMul", dtype, *inputs),
        },
        inputs,
        library="onnxruntime",
    )
    assert_same(quantize.matmul_integer(a, b, zero, zeros), answers["sums"])
    assert_same(quantize.qlinear_matmul(*inputs), answers["codes"])


@oracle
@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("name", [name for name in WALKS if name != "no pictures"])
def test_convolutions_equal_onnxruntime(compare, dtype, name):
    """To the bit, with a scale for each filter and one zero point for all of them."""
    x, w, zero, zeros, options = pictures_and_filters(name, dtype, dtype)
    rng = np.random.RandomState(6)
    scales = rng.uniform(0.001, 0.1, len(w)).astype(np.float32)
    bias = rng.randint(-9999, 9999, len(w)).astype(np.int32)
    x_scale, step = np.array(0.1875, np.float32), np.array(19.5, np.float32)
    filter_zero = np.asarray(zeros[0])
    zeros = np.full(len(w), filter_zero)
    inputs = x, x_scale, zero, w, scales, zeros, step, zero, bias
    answers = compare.answers(
        lambda _: {
            "sums": run("ConvInteger", np.int32, x, w, zero, filter_zero, **options),
            "codes": run("QLinearConv", dtype, *inputs, **options),
        },
        (inputs, options),
        library="onnxruntime",
    )
    found = quantize.conv_integer(x, w, zero, filter_zero, **options)
    assert_same(found, answers["sums"])
    assert_same(quantize.qlinear_conv(*inputs, **options), answers["codes"])


ROW, COLUMN = np.ones((2, 3), np.uint8), np.ones((3, 4), np.int8)
ONE, ZERO = np.array(1.0), np.array(0, np.uint8)
PICTURE, FILTER = np.ones((1, 2, 4, 4), np.uint8), np.ones((3, 2, 2, 2), np.int8)
MATMUL = {"a": ROW, "b": COLUMN}
SCALED = {
    "a": ROW,
    "a_scale": ONE,
    "a_zero_point": ZERO,
    "b": COLUMN,
    "b_scale": ONE,
    "b_zero_point": np.array(0, np.int8),
    "y_scale": ONE,
    "y_zero_point": ZERO,
}
CONV = {"x": PICTURE, "w": FILTER}
SCALED_CONV = {
    "x": PICTURE,
    "x_scale": ONE,
    "x_zero_point": ZERO,
    "w": FILTER,
    "w_scale": ONE,
    "w_zero_point": np.array(0, np.int8),
    "y_scale": ONE,
    "y_zero_point": ZERO,
}
RIGHT = {
    "matmul_integer": MATMUL,
    "qlinear_matmul": SCALED,
    "conv_integer": CONV,
    "qlinear_conv": SCALED_CONV,
}
WRONG = [
    ("matmul_integer", {"a": ROW.astype(np.int16)}, "int8 or uint8"),
    ("matmul_integer", {"a": ROW.astype(float)}, "needs integers"),
    ("matmul_integer", {"b": COLUMN[:2]}, "rows of a .2, 3. have 3 codes"),
    ("matmul_integer", {"a": ROW[0, 0]}, "a is one number"),
    ("matmul_integer", {"a": np.stack([ROW] * 2), "b": np.stack([COLUMN] * 3)}, "pair"),
    ("matmul_integer", {"a_zero_point": np.array(0, np.int8)}, "a_zero_point is int8"),
    (
        "matmul_integer",
        {"a_zero_point": ROW[0]},
        r"not one of: one number, .2, 1., .2,",
    ),
    ("matmul_integer", {"b_zero_point": COLUMN[:, 0]}, r"\(1, 4\), \(4,\)"),
    ("matmul_integer", {"b_zero_point": COLUMN}, r"\(1, 4\), \(4,\)"),
    ("qlinear_matmul", {"a_scale": np.array(0.0)}, "a_scale must be above 0"),
    ("qlinear_matmul", {"b_scale": np.array(np.nan)}, "b_scale must be above 0"),
    ("qlinear_matmul", {"y_scale": np.array(np.inf)}, "y_scale must be above 0"),
    ("qlinear_matmul", {"b_scale": np.ones(3)}, "b_scale .3,. is not one of"),
    ("qlinear_matmul", {"b_scale": np.ones(0)}, "b_scale .0,. is not one of"),
    ("qlinear_matmul", {"y_scale": np.ones(2)}, "y_scale .2,. is not one of"),
    ("qlinear_matmul", {"y_zero_point": np.array(0)}, "stored as, int8 or uint8"),
    (
        "qlinear_matmul",
        {"a_scale": np.array(1e-30), "y_scale": np.array(1e30)},
        "float32",
    ),
    (
        "qlinear_matmul",
        {"a_scale": np.array(1e30), "b_scale": np.array(1e30)},
        "float32",
    ),
    ("conv_integer", {"x": PICTURE[0]}, "of as many axes"),
    ("conv_integer", {"group": 2}, "reads 4 channels"),
    ("conv_integer", {"group": 0}, "group must be a whole number"),
    ("conv_integer", {"auto_pad": "SAME"}, "not one of NOTSET, SAME_UPPER"),
    ("conv_integer", {"auto_pad": "VALID", "pads": [0] * 4}, "not both"),
    ("conv_integer", {"pads": [1, 1]}, "pads lists 4 whole numbers"),
    ("conv_integer", {"pads": [1, 1, -1, 1]}, "of at least 0"),
    (
        "conv_integer",
        {"strides": [0, 1]},
        "lists 2 whole numbers of at least 1",
    ),
    ("conv_integer", {"pads": [2**40, 1, 1, 1]}, "pads lists 4 .* at most"),
    ("conv_integer", {"pads": [2**20] * 4}, "pads make [0-9]* codes of x"),
    ("conv_integer", {"strides": [2**80, 1]}, "strides lists 2 .* at most"),
    ("conv_integer", {"strides": 2}, "strides lists 2"),
    ("conv_integer", {"dilations": [1.0, 1.0]}, "dilations lists 2"),
    ("conv_integer", {"kernel_shape": [3, 3]}, "is not that of w"),
    ("conv_integer", {"x": PICTURE[..., :1]}, "does not fit"),
    ("conv_integer", {"x_zero_point": np.zeros(2, np.uint8)}, "x_zero_point .2,."),
    ("conv_integer", {"w_zero_point": np.zeros(2, np.int8)}, r"one number, .3,."),
    ("qlinear_conv", {"w_scale": np.ones(2)}, r"w_scale .2,. is not one of"),
    ("qlinear_conv", {"b": np.zeros(3)}, "needs integers"),
    ("qlinear_conv", {"b": np.zeros(3, np.int64)}, "b is int32"),
    ("qlinear_conv", {"b": np.zeros(2, np.int32)}, "b is int32, .3,."),
]


@contract
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_call_is_one(name):
    """From which each wrong one differs by what it names."""
    assert getattr(quantize, name)(**RIGHT[name]).size


@contract
@pytest.mark.parametrize("name, change, message", WRONG)
def test_what_is_wrong_is_named(name, change, message):
    """The operator, the argument, and what it should be."""
    with pytest.raises(ValueError, match=f"{name}.*{message}"):
        getattr(quantize, name)(**RIGHT[name] | change)


@contract
def test_sums_saturate_without_a_word():
    """Beyond all codes, and beyond float32: the last code, and no warning."""
    scaled = SCALED | {"a_scale": np.array(3e38)}
    with np.errstate(all="raise"):
        assert (quantize.qlinear_matmul(**scaled) == 255).all()
