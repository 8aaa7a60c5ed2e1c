"""Of codes side by side: each within its bits, and as many bytes as they take."""

from __future__ import annotations

import numpy as np

from ...arguments import check_whole, is_whole
from ...kernels.bit_streams import TRITS
from ...shapes import ShapeError


def nibbles_fit(function, codes):
    """Each code is a number of four bits."""
    _check_codes(function, codes, 4)


def codes_fit(function, codes, bits):
    """Each code is a number of so many bits."""
    _bits_of_a_byte(function, bits)
    _check_codes(function, codes, bits)


def values_are_trits(function, values):
    """Each value is -1, 0 or 1."""
    least, largest = _ends(values)
    if least < -1 or largest > 1:
        raise ValueError(
            f"{function}: values reach from {least} to {largest}, but ternary ones are "
            f"-1, 0 and 1"
        )


def nibbles_are_there(function, packed, count):
    """Two codes in each byte, and no byte more than that."""
    _check_bytes(function, packed, count, 4)


def bits_are_there(function, packed, bits, count):
    """As many bytes as so many codes take, and no more."""
    _bits_of_a_byte(function, bits)
    _check_bytes(function, packed, count, bits)


def trits_are_there(function, packed, count):
    """Five values in each byte, and each byte one that five values make."""
    check_whole(function, count=count)
    _of_bytes(function, packed)
    _check_length(function, packed, count, -(-count // TRITS), "of three values ")
    if packed.size and packed.max() >= 3**TRITS:
        raise ValueError(
            f"{function}: packed holds a byte of {packed.max()}, but five values of "
            f"-1, 0, 1 make 0 to 242; the data is damaged, or is packed otherwise"
        )


def _bits_of_a_byte(function, bits):
    """A code has at least one bit, and is no wider than a byte."""
    if not is_whole(bits) or not 1 <= bits <= 8:
        raise ValueError(
            f"{function}: bits is a whole number from 1 to 8, not {bits!r}"
        )


def _check_codes(function, codes, bits):
    least, largest = _ends(codes)
    if least < 0 or largest > 2**bits - 1:
        raise ValueError(
            f"{function}: codes reach from {least} to {largest}, but those of {bits} "
            f"bits from 0 to {2**bits - 1}"
        )


def _check_bytes(function, packed, count, bits):
    check_whole(function, count=count)
    _of_bytes(function, packed)
    _check_length(function, packed, count, -(-count * bits // 8), f"of {bits} bits ")


def _check_length(function, packed, count, needed, kind):
    if packed.shape[-1] != needed:
        raise ShapeError(
            f"{function}: packed {packed.shape} has {packed.shape[-1]} bytes to a row, "
            f"but count is {count}, and so many codes {kind}take {needed}"
        )


def _of_bytes(function, packed):
    """What is packed is bytes."""
    if packed.dtype != np.uint8:
        raise ValueError(f"{function}: packed holds {packed.dtype}, but needs uint8")


def _ends(codes):
    return (int(codes.min()), int(codes.max())) if codes.size else (0, 0)
