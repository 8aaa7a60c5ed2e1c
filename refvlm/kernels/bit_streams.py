r"""Codes of a few bits: eight at a time, in one word of 64 bits.

Eight codes of $b$ bits lie in the low $8b$ bits of a word. To give each a byte of its
own, the upper four move up by $4(8 - b)$ bits, then the upper two of each four by
$2(8 - b)$, then the upper one of each two by $8 - b$: three rounds of a shift, an or
and a mask, for eight codes at once, of whatever width. Packing is the way back.
"""

from __future__ import annotations

import functools

import numpy as np

from ..parallel import in_parallel
from .pieces import pieces

WORD = np.dtype("<u8")
DROPPED = {"float16": 13, "bfloat16": 16}  # of the 24 digits of float32
SMALLEST_NORMAL, LARGEST_HALF = 2.0**-14, 65504.0
TRITS = 5  # in a byte
AT_ONCE = {1: np.uint8, 2: np.dtype("<u2"), 4: np.dtype("<u4"), 8: WORD}


@functools.cache
def _rounds(bits):
    """For each round of widening: how far the upper codes move, and where the lower
    ones lie, both before it and behind it."""
    rounds = []
    for codes in (4, 2, 1):
        field = (1 << (codes * bits)) - 1  # so many codes, close together
        lower = sum(field << at for at in range(0, 64, 16 * codes))
        rounds.append((np.uint64(codes * (8 - bits)), np.uint64(lower)))
    return rounds


def widen(packed, bits):
    """uint8 (8m,) from a stream of m times `bits` bytes."""
    if bits == 8:
        return packed
    if bits in AT_ONCE:
        words = packed.view(AT_ONCE[bits]).astype(WORD)
    else:
        padded = np.zeros((packed.size // bits, 8), np.uint8)
        padded[:, :bits] = packed.reshape(-1, bits)
        words = padded.view(WORD)[:, 0]
    lower = np.empty_like(words)
    for shift, mask in _rounds(bits):
        np.bitwise_and(words, mask, out=lower)
        words ^= lower
        words <<= shift
        words |= lower
    return words.view(np.uint8)


def narrow(codes, bits):
    """The stream, of m times `bits` bytes, from uint8 (8m,)."""
    if bits == 8:
        return codes
    words = codes.view(WORD).copy()
    lower = np.empty_like(words)
    for shift, mask in reversed(_rounds(bits)):
        np.bitwise_and(words, mask, out=lower)
        words ^= lower
        words >>= shift
        words |= lower
    if bits in AT_ONCE:
        return words.astype(AT_ONCE[bits]).view(np.uint8)
    return words.view(np.uint8).reshape(-1, 8)[:, :bits].reshape(-1)


def pack_bits(codes, bits):
    """The stream of each row; rows that end within a word are filled with zeros."""
    *leading, count = codes.shape
    words = -(-count // 8)
    if count % 8 or codes.dtype != np.uint8:
        filled = np.zeros((*leading, 8 * words), np.uint8)
        filled[..., :count] = codes
        codes = filled
    stream = narrow(np.ascontiguousarray(codes).reshape(-1), bits)
    stream = stream.reshape(*leading, words * bits)
    return stream[..., : -(-count * bits // 8)]


def unpack_bits(packed, bits, count):
    """The codes of each row."""
    *leading, _ = packed.shape
    words = -(-count // 8)
    if packed.shape[-1] != words * bits:
        filled = np.zeros((*leading, words * bits), np.uint8)
        filled[..., : packed.shape[-1]] = packed
        packed = filled
    codes = widen(np.ascontiguousarray(packed).reshape(-1), bits)
    return codes.reshape(*leading, 8 * words)[..., :count]


@functools.cache
def _trits():
    """(256, TRITS): the values of each byte."""
    return (np.arange(256)[:, None] // 3 ** np.arange(TRITS) % 3 - 1).astype(np.int8)


def unpack_trits(packed, count):
    """Each byte is looked up: its five values stand in a table."""
    *leading, size = packed.shape
    values = np.take(_trits(), packed, axis=0)  # sooner than _trits()[packed]
    return values.reshape(*leading, TRITS * size)[..., :count]


def group_quantize(w, group_size, bits):
    """A piece of the groups at a time, in its own memory."""
    groups = w.reshape(-1, group_size)
    packed = np.empty((len(groups), group_size * bits // 8), np.uint8)
    scales, biases = np.empty((2, len(groups), 1), w.dtype)

    def fill(some):
        values = groups[some]
        scale, bias = scales[some], biases[some]
        _scale_and_bias(values, bits, scale, bias)
        steps = values - bias
        with np.errstate(divide="ignore", invalid="ignore"):
            steps /= scale
        np.rint(steps, out=steps)
        steps[(scale == 0)[:, 0]] = 0
        np.clip(steps, 0, 2**bits - 1, out=steps)
        codes = steps.astype(np.uint8)
        packed[some] = narrow(codes.reshape(-1), bits).reshape(len(codes), -1)

    in_parallel(fill, _group_pieces(*groups.shape))
    words = packed.view("<u4").astype(np.uint32, copy=False)
    shape = (*w.shape[:-1], w.shape[-1] // group_size)
    return (
        words.reshape(*w.shape[:-1], -1),
        scales.reshape(shape),
        biases.reshape(shape),
    )


def _scale_and_bias(values, bits, scale, bias):
    low, high = values.min(-1, keepdims=True), values.max(-1, keepdims=True)
    np.maximum((high - low) / (2**bits - 1), np.float32(1e-7), out=scale)
    bias[...] = low
    if bits == 1:
        return
    is_upper = np.abs(low) <= np.abs(high)
    np.negative(scale, out=scale, where=is_upper)
    np.copyto(bias, high, where=is_upper)
    with np.errstate(over="ignore"):
        to_zero = np.rint(bias / scale)
    np.divide(bias, to_zero, out=scale, where=to_zero != 0)
    bias[to_zero == 0] = 0


def group_dequantize(packed, scales, biases, group_size, bits, rounding):
    """A piece at a time is widened, scaled and shifted while it is near."""
    count = scales.size
    stream = np.ascontiguousarray(packed, "<u4").view(np.uint8).reshape(count, -1)
    out = np.empty((count, group_size), scales.dtype)
    is_half = out.dtype == np.float16
    wide = np.float32 if is_half else scales.dtype
    scale, bias = (each.astype(wide).reshape(-1, 1) for each in (scales, biases))
    rounding = "float16" if is_half else rounding

    def fill(some):
        codes = widen(stream[some].reshape(-1), bits).reshape(-1, group_size)
        values = np.empty(codes.shape, wide) if is_half else out[some]
        values[...] = codes
        values *= scale[some]
        if rounding:
            _round(values, rounding)
        values += bias[some]
        if rounding:
            _round(values, rounding)
        if rounding == "float16":
            _redo(values, codes, scale[some], bias[some])
        if is_half:
            out[some] = values

    in_parallel(fill, _group_pieces(count, group_size))
    return out.reshape(*scales.shape[:-1], -1)


def _round(values, rounding):
    """To the nearest of fewer digits, in place: half of the last digit is added, less a
    bit where that digit is 0, and the rest is cleared."""
    digits = values.view(np.uint32)
    dropped = np.uint32(DROPPED[rounding])
    addend = digits >> dropped
    addend &= np.uint32(1)
    addend += np.uint32((1 << (int(dropped) - 1)) - 1)
    digits += addend
    digits &= np.uint32(0xFFFFFFFF ^ ((1 << int(dropped)) - 1))


def _redo(values, codes, scale, bias):
    """Groups in which float16 has fewer digits, near 0, or none, beyond 65504."""
    reach = np.abs(scale) * codes.max(initial=0) + np.abs(bias)
    odd = ((np.abs(scale) < SMALLEST_NORMAL) | (reach > LARGEST_HALF))[:, 0]
    if odd.any():
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            products = (codes[odd] * scale[odd]).astype(np.float16)
            values[odd] = (products + bias[odd]).astype(np.float16)


def _group_pieces(count, group_size):
    """Slices of so many groups, each of as many numbers as stay near."""
    return [
        slice(some.start // group_size, some.stop // group_size)
        for some in pieces(count * group_size)
    ]
