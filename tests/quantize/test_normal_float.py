"""The spec of quantize/normal_float.py: NF4, FP4, and a linear map of either."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import autodiff, ops, quantize

from ..oracles import import_torchvision
from ..spec import (
    assert_close,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
    tensors,
)

TYPES = ("nf4", "fp4")
EACH = pytest.mark.parametrize("quant_type", TYPES)
SIZES = pytest.mark.parametrize(
    "shape, block_size",
    [
        *[((16, 40), 64), ((48, 20), 64), ((33, 17), 64), ((5, 7, 11), 64)],
        *[((64,), 64), ((321,), 64), ((16, 34), 32), ((11, 33), 128), ((29, 31), 256)],
        *[((20, 31), 512), ((32, 33), 1024), ((51, 41), 2048), ((65, 64), 4096)],
    ],
)


def quantized(quant_type, *arguments):
    """Codes and scales; the function is looked up when a test runs."""
    return getattr(quantize, f"{quant_type}_quantize")(*arguments)


def dequantized(quant_type, *arguments, **options):
    return getattr(quantize, f"{quant_type}_dequantize")(*arguments, **options)


def bitsandbytes():
    """Its functions on a processor, without what it compiles for odd sizes."""
    import_torchvision()
    import bitsandbytes.functional

    return bitsandbytes.functional


def in_bfloat16(x):
    return ops.round_to_bfloat16(x.astype(np.float32))


def weights(seed, shape):
    """Numbers of a trained layer's size, zeros, and ties, each in some blocks."""
    x = random_arrays(seed)(*shape, scale=0.02).astype(np.float32)
    flat = x.reshape(-1)
    flat[64:192] = 0
    flat[192:256] = np.arange(-32, 32) / 32  # many lie between two levels of FP4
    flat[-3:] = 0
    return x


@example
def test_nf4_quantize_of_four_numbers():
    """0 is code 7; the smallest and the largest are the ends; 1/2 of it is near 12."""
    codes, absmax = quantize.nf4_quantize(np.array([0.0, -0.5, 0.5, 0.25]))
    assert [f"{byte:02x}" for byte in codes] == ["70", "fc"]
    assert absmax.tolist() == [0.5]


@example
def test_nf4_dequantize_of_four_codes():
    """What was 0.25 comes back as half of level 12, 0.4407."""
    codes, absmax = np.array([0x70, 0xFC], np.uint8), np.array([0.5], np.float32)
    numbers = quantize.nf4_dequantize(codes, absmax, (2, 2))
    assert_close(numbers, np.float32([[0, -0.5], [0.5, 0.220354915]]))


@example
def test_nf4_dequantize_rounds_to_half_once():
    """Neither a level nor a scale is rounded to float16, only their product."""
    codes, absmax = np.array([0x89, 0xCD], np.uint8), np.array([0.1], np.float32)
    numbers = quantize.nf4_dequantize(codes, absmax, (4,), dtype=np.float16)
    once = np.array([0.00795746, 0.016098022, 0.04406738, 0.05627441], np.float16)
    np.testing.assert_array_equal(numbers, once)
    assert numbers.dtype == np.float16


@example
def test_nf4_quantize_fills_an_odd_count_with_the_code_of_zero():
    """The lower half of the last byte is 7."""
    assert quantize.nf4_quantize(np.array([-1.0]))[0].tolist() == [0x07]
    assert quantize.fp4_quantize(np.array([-1.0]))[0].tolist() == [0xB0]


@example
def test_fp4_levels_are_those_of_their_bits():
    """Twelfths of 0, 1/16, 8, 12, 4, 6, 2, 3, then their negatives."""
    twelfths = [0, 0.0625, 8, 12, 4, 6, 2, 3]
    assert_close(12 * quantize.fp4_levels()[:8], np.float32(twelfths))
    assert_close(-12 * quantize.fp4_levels()[8:], np.float32(twelfths))


@example
def test_fp4_quantize_of_four_numbers():
    """0 is 0000, -1 is 1011, 1 is 0011, a half is 0101."""
    codes, absmax = quantize.fp4_quantize(np.array([0.0, -0.5, 0.5, 0.25]))
    assert [f"{byte:02x}" for byte in codes] == ["0b", "35"]
    assert absmax.tolist() == [0.5]


@example
def test_fp4_quantize_has_a_zero_above_zero():
    """The least that is above 0 and nearest to it is 1000, else a zero is 0000."""
    codes, _ = quantize.fp4_quantize(np.array([1e-6, -1e-6, 0.0, 1.0]))
    assert [f"{byte:02x}" for byte in codes] == ["80", "03"]


@example
def test_nf4_levels_on_paper():
    """Four of the published table's sixteen: its ends, and those beside its zero."""
    levels = quantize.nf4_levels()
    published = np.float32([-1, -0.0910500, 0, 0.0795803, 1])
    assert_close(levels[[0, 6, 7, 8, 15]], published, 1e-7)


@law
@given(share=st.floats(1e-9, 1 - 1e-9))
def test_normal_quantile_undoes_the_share_below(share):
    """The standard library's quantile, by another road."""
    found = quantize.normal_quantile(np.array(share))
    assert abs(found - NormalDist().inv_cdf(share)) <= 1e-6 * max(1, abs(found))


@law
def test_nf4_levels_are_seven_zero_and_eight():
    """Ascending from -1 to 1 with an exact 0 at place 7."""
    levels = quantize.nf4_levels()
    assert (np.diff(levels) > 0).all()
    assert levels[[0, 7, 15]].tolist() == [-1, 0, 1]
    assert levels.shape == (16,) and levels.dtype == np.float32


@law
def test_nf4_levels_rounded_once_are_not_the_published_ones():
    """In float64 throughout, ten of sixteen round to another float32, by up to 6 of its
    last digit: files are read with the published ones."""
    shares = [np.linspace(0.9677083, 0.5, count)[:-1] for count in (8, 9)]
    below, above = map(quantize.normal_quantile, shares)
    exact = np.concatenate([-below, [0.0], above[::-1]]) / above[0]
    levels = quantize.nf4_levels()
    assert (exact.astype(np.float32) != levels).sum() == 10
    apart = exact.astype(np.float32).view(np.int32) - levels.view(np.int32)
    assert np.abs(apart).max() == 6
    assert 1.08e-7 < np.abs(exact - levels).max() < 1.09e-7


@law
def test_nf4_levels_are_of_nearly_equal_use():
    """Of normal numbers divided by the outermost quantile, the busiest level between
    the ends has a fifth more than the idlest; on an even grid of 15, three times as
    many; with FP4, whose zeros have neighbours close by, 45 times."""
    rim = quantize.normal_quantile(np.array([0.9677083]))[0]

    def busiest_by_idlest(levels):
        middles = (levels[:-1] + levels[1:]) / 2
        below = ops.special.normal_cdf(middles.astype(np.float64) * rim)
        shares = np.diff(below)
        return shares.max() / shares.min()

    assert 1.21 < busiest_by_idlest(quantize.nf4_levels()) < 1.22
    assert 3.4 < busiest_by_idlest(np.arange(-7, 8) / 7) < 3.5
    assert 45 < busiest_by_idlest(np.sort(quantize.fp4_levels())) < 46


@law
@given(x=tensors((3, 41), dtype=np.float32), size=st.sampled_from([32, 64, 4096]))
def test_nf4_dequantize_is_within_half_a_gap(x, size):
    """The error is at most half the widest gap between levels, times the scale; so for
    FP4."""
    for quant_type in TYPES:
        levels = np.sort(getattr(quantize, f"{quant_type}_levels")())
        codes, absmax = quantized(quant_type, x, size)
        back = dequantized(quant_type, codes, absmax, x.shape, size)
        bound = np.repeat(absmax, size)[: x.size] * np.diff(levels).max() / 2
        assert (np.abs(back - x).ravel() <= bound * (1 + 1e-6)).all()


@law
def test_nf4_quantize_keeps_zero_and_the_largest_of_a_block():
    """Zero is a level, and so are 1 and -1; of FP4 too."""
    x = random_arrays(5)(2, 64).astype(np.float32)
    x[:, 3] = 0
    largest = np.abs(x).argmax(axis=1)
    for quant_type in TYPES:
        back = dequantized(quant_type, *quantized(quant_type, x), x.shape)
        np.testing.assert_array_equal(back[[0, 1], largest], x[[0, 1], largest])
        assert (back[:, 3] == 0).all()


@law
def test_nf4_quantize_takes_a_half_for_the_float32_that_it_is():
    """The scales stay float32: rounded to half they would be other scales."""
    half = random_arrays(6)(5, 30).astype(np.float16)
    for quant_type in TYPES:
        from_half = quantized(quant_type, half)
        from_single = quantized(quant_type, half.astype(np.float32))
        for one, other in zip(from_half, from_single):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype


@law
@EACH
def test_linear_4bit_is_linear_by_the_dequantised_matrix(quant_type):
    """In the dtype of x, to which the matrix is rounded."""
    draw = random_arrays(7)
    codes, absmax = quantized(quant_type, draw(5, 9), 32)
    for dtype in (np.float16, np.float32, np.float64):
        x, bias = draw(2, 3, 9).astype(dtype), draw(5).astype(dtype)
        weight = dequantized(quant_type, codes, absmax, (5, 9), 32, dtype)
        out = quantize.linear_4bit(x, codes, absmax, (5, 9), bias, 32, quant_type)
        np.testing.assert_array_equal(out, ops.linear(x, weight, bias))
        assert out.dtype == dtype


def levels_of_bitsandbytes(compare, quant_type):
    def ask(torch):
        levels = bitsandbytes().get_4bit_type(quant_type, device="cpu")
        return {"levels": levels.numpy()}

    return compare.answers(ask, quant_type, library="bitsandbytes")["levels"]


@oracle
def test_nf4_levels_equal_bitsandbytes(compare):
    """To the last digit of float32, though computed from their construction."""
    expected = levels_of_bitsandbytes(compare, "nf4")
    np.testing.assert_array_equal(quantize.nf4_levels(), expected)


@oracle
def test_fp4_levels_equal_bitsandbytes(compare):
    """To the last digit."""
    expected = levels_of_bitsandbytes(compare, "fp4")
    np.testing.assert_array_equal(quantize.fp4_levels(), expected)


def inputs(shape, block_size):
    """dtype -> weights; bfloat16 as the float32 that it is, on our side."""
    x = weights(8, shape) if np.prod(shape) > 256 else random_arrays(9)(*shape)
    half = {"float16": x.astype(np.float16)}
    if block_size > 1024:  # the record is long enough
        return half
    return {"float32": x.astype(np.float32), **half, "bfloat16": in_bfloat16(x)}


def codes_of_bitsandbytes(torch, x, dtype, block_size, quant_type):
    return bitsandbytes().quantize_4bit(
        torch.from_numpy(x).to(getattr(torch, dtype)),
        blocksize=block_size,
        quant_type=quant_type,
    )


def quantizes_as_bitsandbytes(compare, quant_type, shape, block_size):
    given = inputs(shape, block_size)

    def ask(torch):
        answers = {}
        for dtype, x in given.items():
            codes, state = codes_of_bitsandbytes(
                torch, x, dtype, block_size, quant_type
            )
            answers[f"{dtype}.codes"] = codes.numpy().ravel()
            answers[f"{dtype}.absmax"] = state.absmax.numpy()
        return answers

    asked = (given, quant_type, block_size)
    answers = compare.answers(ask, asked, library="bitsandbytes")
    for dtype, x in given.items():
        codes, absmax = quantized(quant_type, x, block_size)
        np.testing.assert_array_equal(codes, answers[f"{dtype}.codes"])
        expected = answers[f"{dtype}.absmax"].view(np.uint32)
        np.testing.assert_array_equal(absmax.view(np.uint32), expected)


def dequantizes_as_bitsandbytes(compare, quant_type, shape, block_size):
    given = inputs(shape, block_size)

    def ask(torch):
        answers = {}
        for dtype, x in given.items():
            asked = codes_of_bitsandbytes(torch, x, dtype, block_size, quant_type)
            with torch.compiler.set_stance("force_eager"):
                numbers = bitsandbytes().dequantize_4bit(*asked).reshape(shape)
            # FP4's 1000 is 0 on one processor and -0 on another; -0 + 0 is 0.
            numbers = numbers + 0
            bits = numbers.view(torch.uint16) if dtype == "bfloat16" else numbers
            answers[dtype] = bits.numpy()
        return answers

    asked = (given, quant_type, block_size)
    answers = compare.answers(ask, asked, library="bitsandbytes")
    for dtype, x in given.items():
        codes, absmax = quantized(quant_type, x, block_size)
        numbers = dequantized(
            *[quant_type, codes, absmax, shape, block_size],
            dtype=np.float16 if dtype == "float16" else np.float32,
        )
        expected = answers[dtype]
        if dtype == "bfloat16":
            numbers, expected = in_bfloat16(numbers), ops.bfloat16_from_bits(expected)
        np.testing.assert_array_equal(numbers, expected)


@oracle
@SIZES
def test_nf4_quantize_equals_bitsandbytes(compare, shape, block_size):
    """Bytes and scales, bit by bit, for what comes as float32, float16 and bfloat16,
    with blocks of zeros and a short last one."""
    quantizes_as_bitsandbytes(compare, "nf4", shape, block_size)


@oracle
@SIZES
def test_fp4_quantize_equals_bitsandbytes(compare, shape, block_size):
    """Bytes and scales, bit by bit; which of two zeros, too."""
    quantizes_as_bitsandbytes(compare, "fp4", shape, block_size)


@oracle
@SIZES
def test_nf4_dequantize_equals_bitsandbytes(compare, shape, block_size):
    """Every number, in the dtype that it came in."""
    dequantizes_as_bitsandbytes(compare, "nf4", shape, block_size)


@oracle
@SIZES
def test_fp4_dequantize_equals_bitsandbytes(compare, shape, block_size):
    """Every number, in the dtype that it came in."""
    dequantizes_as_bitsandbytes(compare, "fp4", shape, block_size)


@oracle
@pytest.mark.parametrize("largest", [3e-38, 1e-38, 3e-42, 3e38])
def test_nf4_quantize_equals_bitsandbytes_at_the_ends(compare, largest):
    """Where float32 ends: nothing is divided by less than 1e-38."""
    x = random_arrays(10)(2, 96)
    x = (x / np.abs(x).max() * largest).astype(np.float32)

    def ask(torch):
        codes, state = codes_of_bitsandbytes(torch, x, "float32", 64, "nf4")
        return {"codes": codes.numpy().ravel(), "absmax": state.absmax.numpy()}

    answers = compare.answers(ask, x, library="bitsandbytes")
    codes, absmax = quantize.nf4_quantize(x)
    np.testing.assert_array_equal(codes, answers["codes"])
    np.testing.assert_array_equal(absmax, answers["absmax"])


@oracle
def test_nf4_quantize_equals_bitsandbytes_in_the_middle(compare):
    """A last digit decides what lies between two levels. In a full block numbers are
    multiplied by 1 / a, in a short one divided by a."""
    levels = quantize.nf4_levels()
    middles = (levels[1:] + levels[:-1]) / 2
    blocks = []
    for largest in random_arrays(13)(12).astype(np.float32):
        near = middles * np.abs(largest)
        up, down = np.nextafter(near, np.float32(9)), np.nextafter(near, np.float32(-9))
        blocks += [np.concatenate([[np.abs(largest)], near, up, down, np.zeros(18)])]
    full = np.concatenate(blocks).astype(np.float32)
    given = {f"{i}": full[64 * i : 64 * i + 46] for i in range(12)} | {"full": full}

    def ask(torch):
        return {
            name: codes_of_bitsandbytes(torch, x, "float32", 64, "nf4")[0].numpy()
            for name, x in given.items()
        }

    answers = compare.answers(ask, given, library="bitsandbytes")
    for name, x in given.items():
        np.testing.assert_array_equal(quantize.nf4_quantize(x)[0], answers[name][:, 0])
    by_division = quantize.nf4_quantize(full[:46])[0]
    assert (by_division != quantize.nf4_quantize(full)[0][:23]).any()


@oracle
@EACH
@pytest.mark.parametrize("has_bias", [False, True])
def test_linear_4bit_equals_bitsandbytes(compare, quant_type, has_bias):
    """Linear4bit in float32, and in float16, where the matrix is rounded to it."""
    draw = random_arrays(11)
    weight, x, bias = draw(24, 40), draw(3, 5, 40), draw(24) if has_bias else None

    def ask(torch):
        import_torchvision()
        from bitsandbytes.nn import Linear4bit

        answers = {}
        for name in ("float32", "float16"):
            dtype = getattr(torch, name)
            layer = Linear4bit(
                *[40, 24, has_bias, dtype],
                compress_statistics=False,
                quant_type=quant_type,
            )
            state = {"weight": torch.from_numpy(weight).to(dtype)}
            if has_bias:
                state["bias"] = torch.from_numpy(bias).to(dtype)
            layer.load_state_dict(state)
            layer = layer.to(dtype).to("cpu").eval()
            layer.support_avx512bf16_for_cpu = False  # which would compute in bfloat16
            with torch.no_grad(), torch.compiler.set_stance("force_eager"):
                answers[name] = layer(torch.from_numpy(x).to(dtype)).numpy()
        return answers

    inputs = (weight, x, bias, quant_type)
    answers = compare.answers(ask, inputs, library="bitsandbytes")
    for name, expected in answers.items():
        given, offset = x.astype(name), bias.astype(name) if has_bias else None
        codes, absmax = quantized(quant_type, weight.astype(name))
        out = quantize.linear_4bit(
            given, codes, absmax, (24, 40), offset, quant_type=quant_type
        )
        assert_close(out, expected, 1e-6 if name == "float32" else 1e-3)


@derivative
@EACH
def test_linear_4bit_derivative(quant_type):
    """By the input and the offset, as if the dequantised matrix were the matrix."""
    draw = random_arrays(12)
    codes, absmax = quantized(quant_type, draw(3, 5))
    x, bias = autodiff.Variable(draw(2, 5)), autodiff.Variable(draw(3))
    out = quantize.linear_4bit(x, codes, absmax, (3, 5), bias, quant_type=quant_type)
    d_out = draw(2, 3)
    gradients = autodiff.backward(out, d_out)
    weight = dequantized(quant_type, codes, absmax, (3, 5), dtype=np.float64)
    assert_close(gradients[x], d_out @ weight)
    assert_close(gradients[bias], d_out.sum(axis=0))


@contract
def test_nf4_quantize_refuses_what_is_not_finite():
    """By the name of what is wrong; so does FP4."""
    for quant_type in TYPES:
        with pytest.raises(ValueError, match="x holds nan"):
            quantized(quant_type, np.array([1.0, np.nan]))
        with pytest.raises(ValueError, match="holds nothing to quantize"):
            quantized(quant_type, np.zeros(0))


@contract
@pytest.mark.parametrize(
    "changes, words",
    [
        ({"quant_type": "int4"}, 'quant_type is "nf4" or "fp4"'),
        ({"quant_type": ["nf4"]}, 'quant_type is "nf4" or "fp4"'),
        ({"shape": (15,)}, r"shape is \(n_out, n_in\)"),
        ({"shape": None}, r"shape is \(n_out, n_in\)"),
        ({"shape": (4, 5)}, "codes are 8 bytes"),
        ({"x": np.zeros((2, 4))}, "n_in = 4|n_in = 5"),
        ({"x": np.zeros((2, 5), int)}, "floating numbers"),
        ({"bias": np.zeros(4)}, "n_out"),
        ({"absmax": np.ones(2)}, "absmax holds 2 scales"),
    ],
)
def test_linear_4bit_refuses(changes, words):
    """What does not belong together, before anything is multiplied."""
    codes, absmax = quantize.nf4_quantize(np.ones((3, 5)))
    right = {"x": np.zeros((2, 5)), "codes": codes, "absmax": absmax, "shape": (3, 5)}
    with pytest.raises(ValueError, match=words):
        quantize.linear_4bit(**{**right, **changes})


@contract
@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, np.nan])
def test_normal_quantile_refuses(share):
    """The ends lie at infinity."""
    with pytest.raises(ValueError, match="a share lies between"):
        quantize.normal_quantile(np.array([0.5, share]))
