"""The spec of refvlm/quantize/matrices.py: each kind gives what its operators give."""

import numpy as np
import pytest

from refvlm import quantize
from refvlm.ops import round_to_bfloat16
from refvlm.quantize.matrices import FourBit, GroupWise, Ternary

from ..spec import law, random_arrays

WEIGHT = random_arrays(11)(6, 128).astype(np.float32)


def four_bit(**options):
    codes, absmax = quantize.nf4_quantize(WEIGHT)
    return FourBit(WEIGHT.shape, codes=codes, absmax=absmax, **options)


def group_wise(weight=WEIGHT, **options):
    codes, scales, biases = quantize.group_quantize(weight, 32, 4)
    parts = {"codes": codes, "scales": scales, "biases": biases}
    return GroupWise(WEIGHT.shape, group_size=32, bits=4, **parts, **options)


@law
def test_four_bits_are_those_of_their_code_book():
    """NF4's, FP4's, and in the precision that the matrix had."""
    plain = quantize.nf4_dequantize(*quantize.nf4_quantize(WEIGHT), WEIGHT.shape)
    np.testing.assert_array_equal(four_bit().array(), plain)
    half = four_bit(stored="float16").array()
    np.testing.assert_array_equal(half, plain.astype(np.float16))
    assert half.dtype == np.float32
    brain = four_bit(stored="bfloat16").array()
    np.testing.assert_array_equal(brain, round_to_bfloat16(plain))
    small = quantize.nf4_quantize(WEIGHT, 32)
    other = FourBit(WEIGHT.shape, block_size=32, codes=small[0], absmax=small[1])
    expected = quantize.nf4_dequantize(*small, WEIGHT.shape, 32)
    np.testing.assert_array_equal(other.array(), expected)
    codes, absmax = quantize.fp4_quantize(WEIGHT)
    other = FourBit(WEIGHT.shape, quant_type="fp4", codes=codes, absmax=absmax)
    np.testing.assert_array_equal(
        other.array(), quantize.fp4_dequantize(codes, absmax, WEIGHT.shape)
    )


@law
def test_scales_may_be_codes_themselves():
    """Then the blocks have the scales that these stand for."""
    codes, absmax = quantize.nf4_quantize(WEIGHT)
    nested = quantize.double_quantize(absmax)
    parts = dict(zip(("absmax", "nested_absmax", "offset"), nested))
    packed = FourBit(WEIGHT.shape, codes=codes, **parts)
    scales = quantize.double_dequantize(*nested)
    np.testing.assert_array_equal(packed.scales, scales)
    np.testing.assert_array_equal(
        packed.array(), quantize.nf4_dequantize(codes, scales, WEIGHT.shape)
    )


@law
@pytest.mark.parametrize("rows", (2, slice(1, 4), np.array([5, 0, 5])))
def test_rows_of_groups_are_made_by_themselves(rows):
    """A row has its own groups."""
    packed = group_wise()
    np.testing.assert_array_equal(packed.rows(rows), packed.array()[rows])


@law
def test_groups_are_rounded_as_their_scales_are():
    """bfloat16 once for the product and once for the sum; so float16."""
    half = group_wise(WEIGHT.astype(np.float16))
    assert half["scales"].dtype == np.float16 and half.array().dtype == np.float32
    wide = half["scales"].astype(np.float32), half["biases"].astype(np.float32)
    codes = quantize.unpack_bits(half["codes"].view(np.uint8), 4, 128)
    products = (np.repeat(wide[0], 32, -1) * codes).astype(np.float16)
    sums = products.astype(np.float32) + np.repeat(wide[1], 32, -1)
    np.testing.assert_array_equal(half.array(), sums.astype(np.float16))
    assert (half.array() != products + np.repeat(wide[1], 32, -1)).any()
    plain = quantize.group_quantize(round_to_bfloat16(WEIGHT), 32, 4)
    codes, scales, biases = plain[0], *map(round_to_bfloat16, plain[1:])
    parts = {"codes": codes, "scales": scales, "biases": biases}
    packed = GroupWise(WEIGHT.shape, group_size=32, bits=4, stored="bfloat16", **parts)
    steps = quantize.unpack_bits(codes.view(np.uint8), 4, 128).astype(np.float32)
    products = round_to_bfloat16(np.repeat(scales, 32, -1) * steps)
    np.testing.assert_array_equal(
        packed.array(), round_to_bfloat16(products + np.repeat(biases, 32, -1))
    )


@law
def test_three_values_are_those_of_their_scale():
    """Across the rows, five to a byte."""
    values, scale = quantize.ternary_quantize(WEIGHT)
    codes = quantize.pack_trits(values.reshape(-1))
    packed = Ternary(WEIGHT.shape, codes=codes, scale=scale)
    np.testing.assert_array_equal(packed.array(), values * scale)
