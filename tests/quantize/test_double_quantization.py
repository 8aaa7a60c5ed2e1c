"""The spec of quantize/double_quantization.py: scales in eight bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refvlm import quantize
from refvlm.shapes import ShapeError

from ..oracles import import_torchvision
from ..spec import assert_close, contract, example, law, oracle, random_arrays

SCALES = hnp.arrays(np.float32, st.integers(1, 300), elements=st.floats(0, 8, width=32))


def bitsandbytes():
    """Its functions on a processor."""
    import_torchvision()
    import bitsandbytes.functional

    return bitsandbytes.functional


@example
def test_double_quantize_of_three_scales():
    """Of 1, 2 and 4.5 the mean is 2.5, and -1.5, -0.5 and 2 are left: -0.75, -0.25 and
    1 of the largest. The levels about the first two are 9/640 apart."""
    codes, nested_absmax, offset = quantize.double_quantize(np.array([1.0, 2.0, 4.5]))
    assert codes.tolist() == [17, 53, 255] and codes.dtype == np.uint8
    assert nested_absmax.tolist() == [2.0] and nested_absmax.dtype == np.float32
    assert offset == 2.5 and offset.dtype == np.float32
    levels = quantize.dynamic_map()
    assert_close(levels[[17, 53]], np.float32([-0.75390625, -0.24765625]), 1e-7)


@example
def test_double_dequantize_of_three_codes():
    """2.5 + 2 x (-0.75390625, -0.24765625, 1)."""
    codes, nested_absmax = np.array([17, 53, 255], np.uint8), np.array([2.0])
    scales = quantize.double_dequantize(codes, nested_absmax, 2.5)
    assert_close(scales, np.float32([0.9921875, 2.0046875, 4.5]), 1e-7)


@example
def test_dynamic_map_of_the_lowest_decades():
    """0.55 millionths, then 3.25 and 7.75 millionths: the middles of one share and of
    two shares of [0.1, 1]."""
    levels = quantize.dynamic_map().astype(np.float64)
    np.testing.assert_allclose(levels[128:131] * 1e6, [0.55, 3.25, 7.75], rtol=1e-6)


@example
def test_double_quantize_of_equal_scales():
    """Nothing is left but the mean."""
    codes, nested_absmax, offset = quantize.double_quantize(np.full(3, 0.25))
    assert codes.tolist() == [0, 0, 0] and nested_absmax.tolist() == [0] == [
        offset - 1 / 4
    ]
    assert (
        quantize.double_dequantize(codes, nested_absmax, offset).tolist() == [0.25] * 3
    )


@law
def test_dynamic_map_is_ascending_and_symmetric_but_for_its_ends():
    """0 and 1 have no counterparts."""
    levels = quantize.dynamic_map()
    assert levels.shape == (256,) and levels.dtype == np.float32
    assert (np.diff(levels) > 0).all() and levels[127] == 0 and levels[255] == 1
    np.testing.assert_array_equal(levels[:127], -levels[128:255][::-1])


@law
@given(absmax=SCALES, block_size=st.sampled_from([1, 7, 256]))
def test_double_dequantize_is_within_half_a_gap(absmax, block_size):
    """The widest gap between levels is that below 1, 9/640; a step of rounding is added
    to its half."""
    codes, nested_absmax, offset = quantize.double_quantize(absmax, block_size)
    back = quantize.double_dequantize(codes, nested_absmax, offset, block_size)
    largest = np.repeat(nested_absmax, block_size)[: absmax.size]
    bound = largest * (9 / 1280 + 1 / 65535) + 1e-6 * np.abs(absmax).max()
    assert (np.abs(back - absmax) <= bound).all()


@law
@given(absmax=SCALES)
def test_double_quantize_keeps_the_mean(absmax):
    """The offset is the mean, rounded once, whatever a float32 sum would say."""
    offset = quantize.double_quantize(absmax)[2]
    assert offset == np.float32(absmax.astype(np.float64).mean())


@law
def test_double_quantize_leaves_its_input_alone():
    """And takes float16 for the float32 that it is."""
    absmax = np.abs(random_arrays(1)(300)).astype(np.float16)
    before = absmax.copy()
    half = quantize.double_quantize(absmax)
    np.testing.assert_array_equal(absmax, before)
    for one, other in zip(half, quantize.double_quantize(absmax.astype(np.float32))):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


@law
def test_double_quantize_makes_a_number_cost_four_bits_and_an_eighth():
    """4 + 8/64 + 32/16384, as bytes that are there, against 4.5."""
    count = 64 * 256 * 3
    codes, absmax = quantize.nf4_quantize(random_arrays(2)(count))
    eight, nested_absmax, _ = quantize.double_quantize(absmax)
    bits = 8 * (codes.nbytes + eight.nbytes + nested_absmax.nbytes) / count
    assert bits == 4 + 8 / 64 + 32 / (64 * 256) == 4.126953125
    assert 8 * (codes.nbytes + absmax.nbytes) / count == 4.5


@oracle
def test_dynamic_map_equals_bitsandbytes(compare):
    """To the last digit."""

    def ask(torch):
        return {"levels": bitsandbytes().create_dynamic_map().numpy()}

    answers = compare.answers(ask, (), library="bitsandbytes")
    np.testing.assert_array_equal(quantize.dynamic_map(), answers["levels"])


def nested(torch, absmax, quant_type):
    """bitsandbytes' statistics of a matrix whose blocks have these scales, and back."""
    library = bitsandbytes()
    matrix = np.zeros((len(absmax), 64), np.float32)
    matrix[:, 5] = absmax
    _, state = library.quantize_4bit(
        torch.from_numpy(matrix),
        blocksize=64,
        quant_type=quant_type,
        compress_statistics=True,
    )
    back = library.dequantize_blockwise(state.absmax, state.state2) + state.offset
    return {
        "codes": state.absmax.numpy(),
        "nested_absmax": state.state2.absmax.numpy(),
        "offset": state.offset.numpy(),
        "back": back.numpy(),
    }


@oracle
@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 1000])
@pytest.mark.parametrize("kind", ["any", "equal", "zero"])
def test_double_quantize_equals_bitsandbytes(compare, count, kind):
    """Bit by bit, for scales whose sum float32 holds: then the means are the same."""
    absmax = np.abs(random_arrays(3)(count, scale=0.02))
    absmax = (np.round(absmax * 2**14) / 2**14).astype(np.float32)
    if kind == "equal":
        absmax[:] = absmax[0]
    if kind == "zero":
        absmax[:] = 0

    def ask(torch):
        return nested(torch, absmax, "nf4")

    answers = compare.answers(ask, (absmax,), library="bitsandbytes")
    codes, nested_absmax, offset = quantize.double_quantize(absmax)
    np.testing.assert_array_equal(codes, answers["codes"])
    np.testing.assert_array_equal(nested_absmax, answers["nested_absmax"])
    np.testing.assert_array_equal(offset, answers["offset"])
    back = quantize.double_dequantize(codes, nested_absmax, offset)
    np.testing.assert_array_equal(back, answers["back"])


@oracle
def test_double_dequantize_equals_bitsandbytes(compare):
    """Bit by bit for any statistics; their offset is ours but for its last digits."""
    absmax = np.abs(random_arrays(4)(5000, scale=0.02)).astype(np.float32)

    def ask(torch):
        return nested(torch, absmax, "fp4")

    answers = compare.answers(ask, (absmax,), library="bitsandbytes")
    back = quantize.double_dequantize(
        answers["codes"], answers["nested_absmax"], answers["offset"]
    )
    np.testing.assert_array_equal(back, answers["back"])
    ours = quantize.double_quantize(absmax)
    assert_close(ours[2], answers["offset"], 1e-6)
    assert_close(quantize.double_dequantize(*ours), answers["back"], 1e-2)


@contract
@pytest.mark.parametrize(
    "absmax, words",
    [
        (np.zeros(0), "absmax is empty"),
        (np.array([1.0, np.nan]), "absmax holds 1 number"),
        (np.array([1.0, np.inf]), "absmax holds 1 number"),
        (np.array([1, 2]), "floating numbers"),
        (np.ones((2, 2)), "blocks"),
    ],
)
def test_double_quantize_refuses(absmax, words):
    """There is no mean of nothing, nor of what is no number."""
    with pytest.raises(ValueError, match=words):
        quantize.double_quantize(absmax)


@contract
@pytest.mark.parametrize(
    "changes, words",
    [
        ({"codes": np.zeros(5, np.int8)}, "bytes"),
        ({"nested_absmax": np.ones(2)}, "holds 2 scales, but 5 codes in blocks of 256"),
        ({"nested_absmax": np.array([np.nan])}, "nested_absmax holds 1 number"),
        ({"offset": np.inf}, "offset holds 1 number"),
        ({"offset": None}, "offset is one number"),
        ({"offset": "2"}, "offset is one number"),
        ({"offset": np.ones(3)}, "offset is one number"),
        ({"block_size": 2.0}, "block_size must be"),
        ({"block_size": 0}, "block_size must be"),
    ],
)
def test_double_dequantize_refuses(changes, words):
    """Codes, scales and offset have to be of one matrix."""
    right = {"codes": np.zeros(5, np.uint8), "nested_absmax": np.ones(1), "offset": 0.5}
    with pytest.raises(ValueError, match=words):
        quantize.double_dequantize(**{**right, **changes})


@contract
def test_double_dequantize_says_which_shape():
    """What does not fit is a ShapeError."""
    with pytest.raises(ShapeError, match="want 1"):
        quantize.double_dequantize(np.zeros(5, np.uint8), np.ones(2), 0.0)
