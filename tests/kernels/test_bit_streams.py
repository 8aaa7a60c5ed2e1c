"""The spec of refvlm/kernels/bit_streams.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.kernels import bit_streams

from ..spec import example, law

every_width = pytest.mark.parametrize("bits", range(1, 9))


@example
def test_widen_gives_each_code_a_byte_of_its_own():
    """0x10, 0x32, ... are the nibbles 0, 1, 2, 3, ...; three bytes are eight codes."""
    nibbles = np.array([0x10, 0x32, 0x54, 0x76], np.uint8)
    assert bit_streams.widen(nibbles, 4).tolist() == list(range(8))
    number = sum(code << (3 * place) for place, code in enumerate(range(8)))
    threes = np.frombuffer(number.to_bytes(3, "little"), np.uint8)
    assert bit_streams.widen(threes, 3).tolist() == list(range(8))


@law
@every_width
@given(st.data())
def test_widen_is_the_way_back_from_narrow(bits, data):
    """Eight codes at a time, and every bit of them; the input stays as it was."""
    count = 8 * data.draw(st.integers(0, 5))
    codes = data.draw(
        st.lists(st.integers(0, 2**bits - 1), min_size=count, max_size=count)
    )
    codes = np.array(codes, np.uint8)
    before = codes.copy()
    stream = bit_streams.narrow(codes, bits)
    assert stream.size * 8 == count * bits
    number = sum(int(code) << (bits * place) for place, code in enumerate(codes))
    assert int.from_bytes(stream.tobytes(), "little") == number
    np.testing.assert_array_equal(bit_streams.widen(stream, bits), codes)
    np.testing.assert_array_equal(codes, before)


@law
@every_width
def test_narrow_and_widen_of_every_byte(bits):
    """All codes of a width, in every place of a word."""
    codes = np.concatenate([np.roll(np.arange(256) % 2**bits, k) for k in range(8)])
    codes = codes.astype(np.uint8)
    stream = bit_streams.narrow(codes, bits)
    np.testing.assert_array_equal(bit_streams.widen(stream, bits), codes)


@law
@given(st.lists(st.floats(2.0**-14, 65504, width=32), min_size=1))
def test_round_is_float16_where_float16_is_normal(numbers):
    """Digits added and cleared, against NumPy's own way there and back."""
    values = np.array(numbers, np.float32)
    expected = values.astype(np.float16).astype(np.float32)
    bit_streams._round(values, "float16")
    np.testing.assert_array_equal(values, expected)
