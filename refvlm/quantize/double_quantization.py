r"""The scales quantised in turn: eight bits each, less their mean.

Four bits a number and a float32 for every 64 of them are 4.5 bits a number. The scales
lie close together, so their mean is taken off, and what is left is written in eight
bits, in blocks of 256 with a scale of their own:

$$a = \bar a + m\, \ell_c, \qquad 4 + \frac{8}{64} + \frac{32}{64 \cdot 256} = 4.127
\text{ bits.}$$
"""

from __future__ import annotations

import functools

import numpy as np

from ..shapes import shapes
from . import demands

STEPS = 65535  # from -1 to 1, to which bitsandbytes rounds before it looks a level up


@functools.cache
def _dynamic_map():
    halves = [np.array([0, 1], np.float32)]
    for decade in range(7):
        count = 2**decade
        # The ends of the shares as PyTorch has them: counted from the nearer end, in
        # steps rounded to float32. Other roundings make other last digits.
        step = float(np.float32(0.9) / np.float32(count))
        places = np.arange(count + 1)
        near = float(np.float32(0.1)) + step * places
        ends = np.where(places < (count + 1) // 2, near, 1 - step * (count - places))
        ends = ends.astype(np.float32)
        middles = (ends[:-1] + ends[1:]) / 2
        levels = (middles * 10.0 ** (decade - 6)).astype(np.float32)
        halves += [levels, -levels]
    return np.sort(np.concatenate(halves))


def dynamic_map():
    r"""The 256 levels of dynamic eight bits, ascending: in decade $k = 0 \dots 6$ the
    middles of $2^k$ equal shares of $[0.1, 1]$, times $10^{k - 6}$, of both signs; and
    0 and 1.

    Levels lie close where numbers are small: 127 of each sign span seven decades.

    Source: [Dettmers2023]. Oracle: bitsandbytes.functional.create_dynamic_map.

    >>> dynamic_map()[[0, 127, 128, 254, 255]]
    array([-9.9296874e-01,  0.0000000e+00,  5.5000004e-07,  9.9296874e-01,
            1.0000000e+00], dtype=float32)
    """
    return _dynamic_map().copy()


@shapes(demands.scales_to_quantize, absmax="blocks", as_stored=True)
def double_quantize(absmax, block_size=256):
    r"""Codes, scales and offset of scales: $c_i = \arg\min_k |(a_i - \bar a)/m -
    \ell_k|$ with $m$ the largest $|a_i - \bar a|$ of a block.

    The result is (codes, nested_absmax, offset): a byte for each scale, a float32 for
    each block of them, and the mean, $\bar a$, a float32 too. $(a_i - \bar a)/m$ is
    rounded to one of 65,536 even steps before its nearest level is looked up, as
    bitsandbytes does on a processor. In a block of nothing but the mean all codes are 0
    and its scale is 0. The mean is rounded once: PyTorch's float32 sum may end a last
    digit away.

    Source: [MicroVLM-V] 8, which asks for four bits; [Dettmers2023]. Oracle:
    bitsandbytes.functional.quantize_4bit with compress_statistics.

    >>> codes, nested_absmax, offset = double_quantize(np.array([1.0, 2.0, 4.5]))
    >>> codes, nested_absmax, offset
    (array([ 17,  53, 255], dtype=uint8), array([2.], dtype=float32), np.float32(2.5))
    """
    scales = absmax.astype(np.float32)
    offset = scales.mean(dtype=np.float64).astype(np.float32)
    rest = scales - offset
    starts = np.arange(0, rest.size, block_size)
    nested_absmax = np.maximum.reduceat(np.abs(rest), starts)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        scaled = rest * np.repeat(1 / nested_absmax, block_size)[: rest.size]
    scaled = np.clip(np.nan_to_num(scaled, nan=-1), -1, 1)  # 0 times 1/0: code 0
    steps = np.floor((scaled + 1) * np.float32(STEPS / 2) + np.float32(0.5))
    rounded = steps * np.float32(2 / STEPS) - 1
    levels = _dynamic_map()
    middles = (levels[:-1] + levels[1:]) / 2
    return np.searchsorted(middles, rounded).astype(np.uint8), nested_absmax, offset


@shapes(
    demands.nested_scales_fit,
    codes="blocks of integers",
    nested_absmax="nested",
    as_stored=True,
)
def double_dequantize(codes, nested_absmax, offset, block_size=256):
    r"""The scales that codes stand for: $\hat a_i = m\, \ell_{c_i} + \bar a$, in
    float32, each of the two operations rounded.

    Source: [MicroVLM-V] 8, [Dettmers2023]. Oracle: bitsandbytes.functional's
    dequantize_4bit of nested statistics.

    >>> double_dequantize(np.uint8([17, 53, 255]), np.array([2.0]), 2.5)
    array([0.9921875, 2.0046875, 4.5      ], dtype=float32)
    """
    scales = np.repeat(nested_absmax.astype(np.float32), block_size)[: codes.size]
    return _dynamic_map()[codes] * scales + np.float32(offset)
