r"""Groups with a scale and a bias: $\hat w = s q + \beta$, as MLX writes it.

A row of a matrix is cut into groups of 64; each has a scale and a bias of its own, and
its weights are whole numbers of a few bits, packed into words of 32.
"""

from __future__ import annotations

import numpy as np

from .. import ops
from ..kernels import bit_streams, computed_by
from ..shapes import shapes
from . import demands
from .packing import pack_bits, unpack_bits

ROUNDED = {"float16": ops.round_to_float16, "bfloat16": ops.round_to_bfloat16}


@shapes(
    demands.groups_are_known,
    demands.rows_are_groups,
    demands.ranges_have_a_scale,
    w="... n",
)
@computed_by(bit_streams.group_quantize)
def group_quantize(w, group_size=64, bits=4):
    r"""$q = \operatorname{round}((w - \beta)/s)$, from 0 to $2^b - 1$, with a scale and
    a bias for each group: the larger end of the group is $\beta$, and 0 is on the grid.

    w (... n) -> packed uint32 (... n bits/32), scales and biases (... n/group_size) of
    w's dtype. The step $(w_{max} - w_{min})/(2^b - 1)$ is changed a little, so that a
    whole number of steps leads from the larger end to 0; it is negative where that end
    is the upper one. At one bit the two codes are the two ends instead. Codes are found
    with the scale in float32, which is then rounded to w's dtype. Groups of 32, 64 and
    128; bits 1, 2, 3, 4, 5, 6 and 8.

    Source: [Cortes] 9.5, [Foundations] INT8/INT4. Oracle: mlx.core.quantize.

    >>> packed, scales, biases = group_quantize(np.arange(64.0), bits=4)
    >>> scales, biases, hex(packed[0])  # from 63 down: 63 - 15 * 4.2 is 0
    (array([-4.2]), array([63.]), '0xdeeeefff')
    """
    groups = w.reshape(*w.shape[:-1], -1, group_size)
    low, high = groups.min(-1, keepdims=True), groups.max(-1, keepdims=True)
    largest = 2**bits - 1
    step = np.maximum((high - low) / largest, np.float32(1e-7))
    if bits == 1:
        scales, biases = step, low
    else:
        is_lower = np.abs(low) > np.abs(high)
        end, step = np.where(is_lower, low, high), np.where(is_lower, step, -step)
        with np.errstate(over="ignore"):  # all of a group are one huge number
            to_zero = np.rint(end / step)
        scales = np.where(to_zero == 0, step, end / np.where(to_zero == 0, 1, to_zero))
        biases = np.where(to_zero == 0, 0, end)
    steps = np.zeros_like(groups)
    np.divide(groups - biases, scales, out=steps, where=scales != 0)
    codes = np.rint(steps).clip(0, largest).astype(np.uint8)
    packed = pack_bits(codes.reshape(w.shape), bits).view("<u4")
    return packed.astype(np.uint32, copy=False), scales[..., 0], biases[..., 0]


@shapes(
    demands.groups_are_known,
    demands.words_and_scales_fit,
    demands.half_is_held_in_single,
    packed="... n of integers",
    scales="... groups",
    biases="... groups",
    as_stored=True,
)
@computed_by(bit_streams.group_dequantize)
def group_dequantize(packed, scales, biases, group_size=64, bits=4, rounding=None):
    r"""$\hat w = s q + \beta$, the weights of `group_quantize`.

    packed uint32 (... n bits/32), scales and biases (... n/group_size) -> (... n) of
    their dtype. The product is rounded to that dtype, and so is the sum: in float16
    this is not the sum rounded once, and it is what MLX computes. With a `rounding` of
    "float16" or "bfloat16" they are float32 throughout, and each step is rounded to
    that format: the same numbers, without the way there and back.

    Source: [Cortes] 9.5, [Foundations] INT8/INT4. Oracle: mlx.core.dequantize.

    >>> packed, scales, biases = group_quantize(np.arange(64.0), bits=4)
    >>> group_dequantize(packed, scales, biases, bits=4)[[0, 1, 62, 63]].round(4)
    array([ 0.,  0., 63., 63.])
    """
    stream = np.ascontiguousarray(packed, "<u4").view(np.uint8)
    codes = unpack_bits(stream, bits, scales.shape[-1] * group_size)
    groups = codes.reshape(*scales.shape, group_size).astype(scales.dtype)
    rounded = ROUNDED.get(rounding, np.asarray)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        products = rounded(scales[..., None] * groups)
        return rounded(products + biases[..., None]).reshape(codes.shape)
