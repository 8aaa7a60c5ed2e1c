r"""Codes of a few bits, side by side in bytes.

A number of $b$ bits needs no byte of its own. Two of four bits share one; of three
bits, eight share three bytes, and some of them straddle the border between two; of
three values each, five share a byte, since $3^5 = 243 \le 256$.
"""

from __future__ import annotations

import numpy as np

from ..kernels import bit_streams, computed_by
from ..kernels.bit_streams import TRITS
from ..shapes import shapes
from . import demands

_POWERS = 3 ** np.arange(TRITS)  # 1, 3, 9, 27, 81


@shapes(demands.nibbles_fit, codes="... n of integers")
def pack_nibbles(codes, high_first=True):
    r"""Two codes to a byte: $16 c_1 + c_2$, or $c_1 + 16 c_2$ where the low half of the
    byte is first.

    codes (... n), each 0 to 15 -> uint8 (... n/2). An odd count ends in a code of 0.
    bitsandbytes puts the first into the high half, ONNX and MLX into the low one.

    Source: [MicroVLM-V] 8. Oracle: bitsandbytes, onnx.

    >>> [hex(byte) for byte in pack_nibbles(np.array([1, 2, 3]))]
    ['0x12', '0x30']
    """
    first, second = codes[..., 0::2], np.zeros_like(codes[..., 0::2])
    second[..., : codes.shape[-1] // 2] = codes[..., 1::2]
    high, low = (first, second) if high_first else (second, first)
    return (16 * high.astype(np.uint8) + low).astype(np.uint8)


@shapes(demands.nibbles_are_there, packed="... m of integers")
def unpack_nibbles(packed, count, high_first=True):
    r"""The `count` codes of `pack_nibbles`: $\lfloor p/16 \rfloor$ and $p \bmod 16$.

    packed (... count/2) -> uint8 (... count). The half of a byte that is over where
    count is odd is not looked at.

    Source: [MicroVLM-V] 8. Oracle: bitsandbytes, onnx.

    >>> unpack_nibbles(np.array([0x12, 0x30], np.uint8), 3)
    array([1, 2, 3], dtype=uint8)
    """
    halves = (packed >> 4, packed & 15) if high_first else (packed & 15, packed >> 4)
    codes = np.stack(halves, -1)
    return codes.reshape(*packed.shape[:-1], 2 * packed.shape[-1])[..., :count]


@shapes(demands.codes_fit, codes="... n of integers")
@computed_by(bit_streams.pack_bits)
def pack_bits(codes, bits):
    r"""One stream of bits, the lowest first: bit $j$ of code $i$ is bit $ib + j$.

    codes (... n), each 0 to 2^bits - 1 -> uint8 (... n bits/8), along the last axis. A
    code may straddle two bytes, and the last byte is filled with zeros. Seen as
    little-endian words of 32 bits, this is how MLX packs.

    Source: [MicroVLM-V] 8. Oracle: mlx.core.quantize.

    >>> pack_bits(np.array([1, 2, 3, 0]), bits=2)  # 00 11 10 01
    array([57], dtype=uint8)
    """
    stream = (codes[..., None] >> np.arange(bits, dtype=codes.dtype)) & 1
    rows = stream.astype(np.uint8).reshape(*codes.shape[:-1], codes.shape[-1] * bits)
    return np.packbits(rows, axis=-1, bitorder="little")


@shapes(demands.bits_are_there, packed="... m of integers")
@computed_by(bit_streams.unpack_bits)
def unpack_bits(packed, bits, count):
    r"""The `count` codes of `pack_bits`: code $i$ is bits $ib$ to $ib + b - 1$.

    packed (... count bits/8) -> uint8 (... count).

    Source: [MicroVLM-V] 8. Oracle: mlx.core.dequantize.

    >>> unpack_bits(np.array([57], np.uint8), bits=2, count=4)
    array([1, 2, 3, 0], dtype=uint8)
    """
    stream = np.unpackbits(packed, axis=-1, count=count * bits, bitorder="little")
    codes = stream.reshape(*packed.shape[:-1], count, bits)
    return np.packbits(codes, axis=-1, bitorder="little")[..., 0]


@shapes(demands.values_are_trits, values="... n of integers")
def pack_trits(values):
    r"""Five of three values to a byte, as digits to the base three:
    $\sum_{i=0}^{4} (v_i + 1)\, 3^i$.

    values (... n), each -1, 0 or 1 -> uint8 (... n/5), 1.6 bits for each. The last byte
    is filled with values of 0.

    Source: [MicroVLM-V] 8, whose 2 bits for each leave one code of four unused.

    >>> pack_trits(np.array([1, 0, 0, 0, 0, -1]))  # 2 + 3 + 9 + 27 + 81, 0 + 3 + ...
    array([122, 120], dtype=uint8)
    """
    *leading, count = values.shape
    digits = np.ones((*leading, -(-count // TRITS), TRITS), np.intp)
    digits.reshape(*leading, digits.shape[-2] * TRITS)[..., :count] += values
    return (digits @ _POWERS).astype(np.uint8)


@shapes(demands.trits_are_there, packed="... m of integers")
@computed_by(bit_streams.unpack_trits)
def unpack_trits(packed, count):
    r"""The `count` values of `pack_trits`:
    $v_i = \lfloor p / 3^i \rfloor \bmod 3 - 1$.

    packed (... count/5) -> int8 (... count). A byte of 243 or more is refused: five
    values never make one.

    Source: [MicroVLM-V] 8.

    >>> unpack_trits(np.array([122, 120], np.uint8), 6)
    array([ 1,  0,  0,  0,  0, -1], dtype=int8)
    """
    values = (packed[..., None] // _POWERS % 3 - 1).astype(np.int8)
    return values.reshape(*packed.shape[:-1], TRITS * packed.shape[-1])[..., :count]
