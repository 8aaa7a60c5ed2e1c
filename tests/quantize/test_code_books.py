"""The spec of quantize/code_books.py: the nearest of sixteen levels, in blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refvlm import kernels, quantize
from refvlm.shapes import ShapeError

from ..spec import (
    call,
    contract,
    example,
    house,
    law,
    random_arrays,
    shapes_of,
    tensors,
)

EIGHTHS = np.arange(-8, 8, dtype=np.float32) / 8
# In no order, and with one level twice, as FP4 has.
MIXED = np.array([0, 1, -1, 0.5, 0, -0.5, 0.25, 0.1, *(np.arange(8) / 9 - 0.6)], "f4")


def blocks():
    """(x, levels, block_size), full and short, on the middles between levels too."""
    random = random_arrays(8)
    for count, block_size in ((1, 64), (64, 64), (131, 64), (99, 7), (4, 4096)):
        x = random(count)
        x[::3] = np.rint(8 * x[::3]) / 8
        for levels in (EIGHTHS, MIXED):
            for dtype in (np.float16, np.float32, np.float64):
                yield x.astype(dtype), levels, block_size
    yield np.zeros((3, 5)), MIXED, 4


CALLS = {
    "code_book_quantize": [call(*block) for block in blocks()],
    "code_book_dequantize": [
        call(
            *quantize.code_book_quantize(x, levels, block_size),
            *(levels, x.shape, block_size, x.dtype),
        )
        for x, levels, block_size in blocks()
    ],
}


def nibbles(codes):
    """The sixteen digits of bytes, first half first: [0x8F] is [8, 15]."""
    return np.stack([codes >> 4, codes & 15], axis=1).ravel()


def there_and_back(x, levels=EIGHTHS, block_size=64, dtype=np.float32):
    codes, absmax = quantize.code_book_quantize(x, levels, block_size)
    return quantize.code_book_dequantize(
        codes, absmax, levels, x.shape, block_size, dtype
    )


@example
def test_code_book_quantize_of_two_blocks():
    """0 and 1 by 1, then -4, all alone, by 4; the half byte left over means 0."""
    codes, absmax = quantize.code_book_quantize(np.array([0.0, 1.0, -4.0]), EIGHTHS, 2)
    assert nibbles(codes).tolist() == [8, 15, 0, 8]
    assert absmax.tolist() == [1.0, 4.0]
    assert codes.dtype == np.uint8 and absmax.dtype == np.float32


@example
def test_code_book_dequantize_multiplies_levels_by_the_scale_of_their_block():
    """The same back: 1 became 7/8, there is no level for it."""
    codes, absmax = np.array([0x8F, 0x08], np.uint8), np.array([1.0, 4.0])
    numbers = quantize.code_book_dequantize(codes, absmax, EIGHTHS, (3,), 2)
    assert numbers.tolist() == [0.0, 0.875, -4.0]


@example
def test_code_book_quantize_blocks_run_across_rows():
    """Three rows of two in blocks of three: each block has the largest of its three."""
    x = np.array([[1.0, 2.0], [3.0, -4.0], [5.0, -6.0]])
    assert quantize.code_book_quantize(x, EIGHTHS, 3)[1].tolist() == [3.0, 6.0]


@example
def test_code_book_quantize_of_zeros():
    """A full block of zeros has a scale of 0, a short one of 1e-38, both come back."""
    codes, absmax = quantize.code_book_quantize(np.zeros(6), EIGHTHS, 4)
    assert nibbles(codes).tolist() == [8] * 6
    assert absmax.tolist() == [0.0, np.float32(1e-38)]
    assert there_and_back(np.zeros(6), block_size=4).tolist() == [0.0] * 6


@example
def test_code_book_quantize_takes_the_lower_of_two_levels_as_near():
    """1/16 lies between 0 and 1/8."""
    codes, _ = quantize.code_book_quantize(np.array([0.0625, 1.0]), EIGHTHS)
    assert nibbles(codes).tolist() == [8, 15]


@law
@given(
    x=shapes_of(2, 9).flatmap(lambda shape: tensors(shape, dtype=np.float32)),
    block_size=st.integers(1, 90),
)
def test_code_book_quantize_takes_the_nearest_level(x, block_size):
    """No other level is nearer than the one taken, but for a rounding."""
    codes, absmax = quantize.code_book_quantize(x, MIXED, block_size)
    scales = np.repeat(absmax.astype(np.float64), block_size)[: x.size, None]
    distances = np.abs(x.reshape(-1, 1) - scales * MIXED.astype(np.float64))
    taken = np.take_along_axis(distances, nibbles(codes)[: x.size, None], axis=1)
    assert (taken <= distances.min(axis=1, keepdims=True) + 1e-6 * scales).all()


@law
@given(x=shapes_of(2, 9).flatmap(lambda shape: tensors(shape, dtype=np.float32)))
def test_code_book_quantize_of_what_has_been_there_changes_nothing(x):
    """Levels are their own nearest, and 1 and -1 among them keep the scale."""
    levels = quantize.nf4_levels()
    once = there_and_back(x, levels)
    np.testing.assert_array_equal(there_and_back(once, levels), once)


@law
def test_code_book_quantize_knows_a_block_by_nothing_outside_it():
    """An outlier costs its own block its digits, and no other."""
    x = random_arrays(1)(4, 64)
    spoilt = x.copy()
    spoilt[1, 7] = 1e4
    changed = (there_and_back(x) != there_and_back(spoilt)).any(axis=1)
    assert changed.tolist() == [False, True, False, False]


@law
def test_code_book_quantize_of_powers_of_two_is_the_same_in_other_units():
    """Twice the numbers are twice the scales, and the same codes."""
    x = random_arrays(2)(3, 50)
    codes, absmax = quantize.code_book_quantize(x, MIXED)
    twice, doubled = quantize.code_book_quantize(2 * x, MIXED)
    np.testing.assert_array_equal(codes, twice)
    np.testing.assert_array_equal(2 * absmax, doubled)


@law
def test_code_book_dequantize_rounds_its_product_once():
    """In float16 what float32 is, rounded; in float64 no digit more."""
    x = random_arrays(3)(5, 77)
    single = there_and_back(x, MIXED)
    half = there_and_back(x, MIXED, dtype=np.float16)
    np.testing.assert_array_equal(half, single.astype(np.float16))
    np.testing.assert_array_equal(there_and_back(x, MIXED, dtype=np.float64), single)


@law
def test_code_book_quantize_leaves_its_inputs_alone():
    """Also where a piece of them could be divided in place."""
    x = random_arrays(4)(5, 77).astype(np.float32)
    before, levels = x.copy(), MIXED.copy()
    codes, absmax = quantize.code_book_quantize(x, levels)
    kept, scales = codes.copy(), absmax.copy()
    quantize.code_book_dequantize(codes, absmax, levels, x.shape)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(levels, MIXED)
    np.testing.assert_array_equal(codes, kept)
    np.testing.assert_array_equal(absmax, scales)


@house
@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 700),
    block_size=st.sampled_from([1, 2, 3, 7, 64, 100, 4096]),
    dtype=st.sampled_from(["f2", "f4", "f8"]),
    piece=st.sampled_from([1, 50, 1 << 17]),
    seed=st.integers(0, 99),
)
def test_code_book_kernels_are_their_definitions(count, block_size, dtype, piece, seed):
    """The same bytes and the same bits, wherever pieces and blocks end."""
    generator = np.random.RandomState(seed)
    # Whole eighths meet the middles between levels; some blocks are zero.
    x = generator.randint(-16, 17, count) / 8 * generator.randint(0, 2, count)
    x = (x + generator.randint(0, 2) * generator.standard_normal(count)).astype(dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels.code_books, "PIECE", piece)
        codes, absmax = quantize.code_book_quantize(x, MIXED, block_size)
        back = quantize.code_book_dequantize(
            codes, absmax, MIXED, x.shape, block_size, dtype
        )
    with kernels.definitions():
        same, scales = quantize.code_book_quantize(x, MIXED, block_size)
        numbers = quantize.code_book_dequantize(
            codes, absmax, MIXED, x.shape, block_size, dtype
        )
    np.testing.assert_array_equal(codes, same)
    np.testing.assert_array_equal(absmax.view(np.uint32), scales.view(np.uint32))
    np.testing.assert_array_equal(back, numbers)
    assert back.dtype == numbers.dtype == dtype


@house
def test_code_book_kernels_divide_as_their_definitions_do():
    """In the middle between two levels a last digit decides, in blocks that are full
    and in one that is short."""
    levels = quantize.nf4_levels()
    middles = (levels[1:] + levels[:-1]) / 2
    largest = np.abs(random_arrays(5)(60, 1)).astype(np.float32)
    for x in np.concatenate([largest, largest * middles], axis=1):
        for block_size in (16, 17):
            codes = quantize.code_book_quantize(x, levels, block_size)[0]
            with kernels.definitions():
                same = quantize.code_book_quantize(x, levels, block_size)[0]
            np.testing.assert_array_equal(codes, same)


@contract
@pytest.mark.parametrize(
    "x, words",
    [
        (np.array([1.0, np.nan]), "x holds nan"),
        (np.array([1.0, np.inf]), "x holds inf"),
        (np.array([1.0, -np.inf]), "x holds inf"),
        (np.array([1.0, -1e39]), "not finite in float32"),
        (np.zeros((3, 0)), r"x is \(3, 0\), and holds nothing"),
        (np.array([1, 2]), "floating numbers"),
    ],
)
def test_code_book_quantize_refuses(x, words):
    """One number that is none would make a whole block NaN."""
    with pytest.raises(ValueError, match=words):
        quantize.code_book_quantize(x, EIGHTHS)


@contract
@pytest.mark.parametrize("block_size", [0, -64, 2.5, True, None])
def test_code_book_quantize_refuses_blocks_of(block_size):
    """A block is of one number or more."""
    with pytest.raises(ValueError, match="block_size must be a whole number"):
        quantize.code_book_quantize(np.ones(3), EIGHTHS, block_size)


@contract
def test_code_book_quantize_wants_sixteen_levels():
    """Four bits count to sixteen."""
    with pytest.raises(ShapeError, match="16"):
        quantize.code_book_quantize(np.ones(3), EIGHTHS[:15])
    with pytest.raises(ValueError, match="levels holds 1 number"):
        quantize.code_book_quantize(np.ones(3), np.append(EIGHTHS[:15], np.nan))


@contract
@pytest.mark.parametrize(
    "changes, words",
    [
        ({"shape": (1, 9)}, "codes are 3 bytes, but the 9 numbers"),
        ({"codes": np.zeros((2, 1), np.uint8)}, "codes"),
        ({"codes": np.zeros(3, np.int64)}, "bytes"),
        ({"codes": np.zeros(2, np.uint8)}, "want 3, two a byte"),
        ({"absmax": np.ones(3)}, "3 scales, but 5 numbers in blocks of 4 want 2"),
        ({"absmax": np.array([1.0, np.nan])}, "absmax holds 1 number"),
        ({"shape": (10**9, 10**9)}, "bytes, but the"),
        ({"shape": (5, 0)}, "holds no number"),
        ({"shape": (-5, -1)}, "holds no number"),
        ({"shape": 5}, "a tuple of sizes"),
        ({"shape": (5.0,)}, "a tuple of sizes"),
        ({"block_size": 0}, "block_size must be"),
        ({"dtype": np.int8}, "a floating one"),
        ({"dtype": None}, "a floating one"),
        ({"dtype": "bfloat16"}, "a floating one"),
        ({"levels": EIGHTHS + np.inf}, "levels holds"),
    ],
)
def test_code_book_dequantize_refuses(changes, words):
    """Bytes, scales and shape have to be of one matrix."""
    right = {"codes": np.zeros(3, np.uint8), "absmax": np.ones(2), "shape": (5,)}
    call = {**right, "levels": EIGHTHS, "block_size": 4, **changes}
    with pytest.raises(ValueError, match=words):
        quantize.code_book_dequantize(**call)
