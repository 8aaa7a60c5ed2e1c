"""The spec of refvlm/quantize/packing.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refvlm import quantize
from refvlm.shapes import ShapeError

from ..spec import call, contract, example, law


def codes_of(bits, low=0):
    """A hypothesis strategy: whole numbers of so many bits, in rows of any length."""
    shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=21)
    numbers = st.integers(low, low + 2**bits - 1)
    return hnp.arrays(st.sampled_from([np.uint8, np.int64]), shapes, elements=numbers)


rows = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=33)
trits = hnp.arrays(np.int8, rows, elements=st.integers(-1, 1))
widths = st.integers(1, 8)


def streams():
    """(codes, bits) of every width, in rows that end within a byte and without one."""
    random = np.random.RandomState(6)
    for bits in range(1, 9):
        for shape in ((0,), (1,), (21,), (3, 8), (2, 0, 5), (2, 3, 37)):
            for dtype in (np.uint8, np.int64):
                yield random.randint(0, 2**bits, shape).astype(dtype), bits


CALLS = {
    "pack_bits": [call(*stream) for stream in streams()],
    "unpack_bits": [
        call(quantize.pack_bits(codes, bits), bits, codes.shape[-1])
        for codes, bits in streams()
    ],
    "unpack_trits": [
        call(np.arange(243, dtype=np.uint8).reshape(3, 81), count)
        for count in (401, 403, 405)
    ]
    + [call(np.zeros((2, 0), np.uint8), 0)],
}


@example
def test_pack_nibbles_puts_the_first_into_the_high_half():
    """1 and 2 are 0x12; the other way, as ONNX and MLX have it, 0x21."""
    codes = np.array([1, 2, 15], np.uint8)
    assert quantize.pack_nibbles(codes).tolist() == [0x12, 0xF0]
    assert quantize.pack_nibbles(codes, high_first=False).tolist() == [0x21, 0x0F]


@example
def test_pack_bits_of_three_straddle_two_bytes():
    """1, 2, 3 from the right: the third code 011 loses its upper bit to the next byte.

    011 010 001 is 0 11010001, and 11010001 is 209.
    """
    assert quantize.pack_bits(np.array([1, 2, 3]), 3).tolist() == [0b11010001, 0]
    assert quantize.pack_bits(np.array([1, 2, 7]), 3).tolist() == [0b11010001, 1]


@example
def test_pack_trits_is_a_number_to_the_base_three():
    """Five ones are 22222 to the base three, 242; five minus ones are 0."""
    ones = np.ones(5, np.int8)
    assert quantize.pack_trits(ones).tolist() == [242]
    assert quantize.pack_trits(-ones).tolist() == [0]
    assert quantize.pack_trits(np.array([-1, 1])).tolist() == [0 + 6 + 9 + 27 + 81]


@law
@given(codes_of(4), st.booleans())
def test_unpack_nibbles_gives_what_was_packed(codes, high_first):
    """For every size, odd and empty ones too; two codes are a byte."""
    packed = quantize.pack_nibbles(codes, high_first)
    count = codes.shape[-1]
    assert packed.shape == (*codes.shape[:-1], -(-count // 2))
    back = quantize.unpack_nibbles(packed, count, high_first)
    assert back.dtype == packed.dtype == np.uint8
    np.testing.assert_array_equal(back, codes)


@law
@given(st.data(), widths)
def test_unpack_bits_gives_what_was_packed(data, bits):
    """For every width and size; n codes are n bits / 8 bytes."""
    codes = data.draw(codes_of(bits))
    packed = quantize.pack_bits(codes, bits)
    count = codes.shape[-1]
    assert packed.shape == (*codes.shape[:-1], -(-count * bits // 8))
    back = quantize.unpack_bits(packed, bits, count)
    assert back.dtype == packed.dtype == np.uint8
    np.testing.assert_array_equal(back, codes)


@law
@given(trits)
def test_unpack_trits_gives_what_was_packed(values):
    """Five values are a byte: 1.6 bits for each, and three values hold 1.585."""
    packed = quantize.pack_trits(values)
    count = values.shape[-1]
    assert packed.shape == (*values.shape[:-1], -(-count // 5))
    back = quantize.unpack_trits(packed, count)
    assert (packed.dtype, back.dtype) == (np.uint8, np.int8)
    np.testing.assert_array_equal(back, values)


@law
@given(codes_of(4))
def test_pack_bits_of_four_is_nibbles_low_first(codes):
    """Two ways to say the same bytes."""
    low_first = quantize.pack_nibbles(codes, high_first=False)
    np.testing.assert_array_equal(quantize.pack_bits(codes, 4), low_first)


@law
@given(st.data(), widths)
def test_pack_bits_is_one_number_in_little_endian(data, bits):
    r"""The stream of a row is the number $\sum_i c_i 2^{ib}$."""
    codes = data.draw(codes_of(bits)).reshape(-1)
    number = sum(int(code) << (place * bits) for place, code in enumerate(codes))
    packed = quantize.pack_bits(codes, bits)
    assert int.from_bytes(packed.tobytes(), "little") == number


@law
def test_unpack_trits_knows_all_243_bytes():
    """Each of them is another five values, and packs to itself."""
    packed = np.arange(243, dtype=np.uint8)
    values = quantize.unpack_trits(packed, 5 * 243)
    assert len({tuple(five) for five in values.reshape(-1, 5).tolist()}) == 243
    np.testing.assert_array_equal(quantize.pack_trits(values), packed)


@law
def test_packing_leaves_its_inputs_alone():
    """Strided and read-only arrays are fine, and none is written to."""
    codes = np.arange(32, dtype=np.uint8)[::2] % 4
    codes.flags.writeable = False
    for pack in (quantize.pack_nibbles, lambda c: quantize.pack_bits(c, 2)):
        np.testing.assert_array_equal(pack(codes), pack(codes.copy()))
    packed = np.arange(16, dtype=np.uint8)[::2]
    packed.flags.writeable = False
    for unpack in (
        lambda p: quantize.unpack_nibbles(p, 16),
        lambda p: quantize.unpack_bits(p, 8, 8),
        lambda p: quantize.unpack_trits(p, 40),
    ):
        back = unpack(packed)
        np.testing.assert_array_equal(back, unpack(packed.copy()))
        np.testing.assert_array_equal(packed, np.arange(0, 16, 2))


@contract
@pytest.mark.parametrize("damaged", [243, 255])
def test_unpack_trits_refuses_a_damaged_byte(damaged):
    """Five values make 0 to 242."""
    packed = np.array([0, damaged, 0], np.uint8)
    with pytest.raises(ValueError, match=f"packed holds a byte of {damaged}, but"):
        quantize.unpack_trits(packed, 15)


@contract
@pytest.mark.parametrize("wrong", [-1, 16])
def test_packing_refuses_codes_out_of_range(wrong):
    """The range is named; of three values, too."""
    codes = np.array([0, wrong])
    with pytest.raises(ValueError, match="pack_nibbles: codes reach .* from 0 to 15"):
        quantize.pack_nibbles(codes)
    with pytest.raises(ValueError, match="pack_bits: codes reach .* from 0 to 15"):
        quantize.pack_bits(codes, 4)
    with pytest.raises(ValueError, match="pack_trits: values reach .* -1, 0 and 1"):
        quantize.pack_trits(2 * codes)


@contract
@pytest.mark.parametrize("bits", [0, 9, 2.0, True, None, "4"])
def test_packing_refuses_widths_that_are_none(bits):
    """A code has one to eight bits."""
    with pytest.raises(ValueError, match="^pack_bits: bits is a whole number from 1"):
        quantize.pack_bits(np.zeros(8, np.uint8), bits)
    with pytest.raises(ValueError, match="unpack_bits: bits is a whole number from 1"):
        quantize.unpack_bits(np.zeros(8, np.uint8), bits, 8)


@contract
@pytest.mark.parametrize("count", [3, 6, 10**12])
def test_unpacking_refuses_a_count_that_the_bytes_do_not_hold(count):
    """Neither fewer nor more: a file that was cut short is not filled up."""
    packed = np.zeros(1, np.uint8)
    for unpack, one_more in (
        (quantize.unpack_nibbles, 0),
        (lambda p, c: quantize.unpack_bits(p, 4, c), 0),
        (quantize.unpack_trits, 5),
    ):
        with pytest.raises(ShapeError, match="packed .* bytes to a row, but count is"):
            unpack(packed, count + one_more)


@contract
@pytest.mark.parametrize("count", [-1, 1.5, None])
def test_unpacking_refuses_a_count_that_is_none(count):
    """A whole number, at least 0."""
    packed = np.zeros(1, np.uint8)
    for unpack in (
        quantize.unpack_nibbles,
        lambda p, c: quantize.unpack_bits(p, 4, c),
        quantize.unpack_trits,
    ):
        with pytest.raises(ValueError, match="count must be a whole number"):
            unpack(packed, count)


@contract
def test_packing_refuses_what_is_no_array_of_whole_numbers():
    """Lists, floating numbers, and words where bytes are meant."""
    with pytest.raises(TypeError, match="pack_nibbles: codes must be an array"):
        quantize.pack_nibbles([1, 2])
    with pytest.raises(ValueError, match="pack_bits: codes holds float64"):
        quantize.pack_bits(np.zeros(8), 4)
    with pytest.raises(ShapeError, match="pack_trits: values is ()"):
        quantize.pack_trits(np.array(1))
    for unpack in (
        quantize.unpack_nibbles,
        lambda p, c: quantize.unpack_bits(p, 4, c),
        quantize.unpack_trits,
    ):
        with pytest.raises(ValueError, match="packed holds uint32, but needs uint8"):
            unpack(np.zeros(1, np.uint32), 1)
