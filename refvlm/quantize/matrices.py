"""The kinds of packed matrices: blocks of four bits, groups on a grid, three values.

          codes                  scales                          laid out as by
FourBit   16 levels, 2 a byte    one a block of the flat array   bitsandbytes
GroupWise 2 to 8 bits a code     scale and bias a group of a row MLX
Ternary   -1, 0, 1, 5 a byte     one for all                     this project
"""

from __future__ import annotations

import math

import numpy as np

from ..ops.rounding import round_to_bfloat16
from .double_quantization import double_dequantize
from .group_wise import group_dequantize
from .normal_float import fp4_dequantize, nf4_dequantize
from .packed import Packed
from .packing import unpack_trits
from .ternary import ternary_dequantize

DEQUANTIZE = {"nf4": nf4_dequantize, "fp4": fp4_dequantize}
HALF = {"float16": np.float16}  # bfloat16, which NumPy has not, is float32 until then


class FourBit(Packed):
    """NF4 or FP4: `codes` (bytes,) and `absmax` (blocks,).

    With double quantisation absmax are codes as well, (blocks,) of uint8, beside their
    `nested_absmax` and `offset`. What the codes stand for is rounded to `stored`, the
    precision that the matrix had: "float32", "float16" or "bfloat16".
    """

    def __init__(
        self,
        shape,
        dtype=np.float32,
        *,
        quant_type="nf4",
        block_size=64,
        nested_block_size=256,
        stored="float32",
        **parts,
    ):
        super().__init__(shape, dtype, **parts)
        self.quant_type, self.stored = quant_type, stored
        self.block_size, self.nested_block_size = block_size, nested_block_size

    @property
    def scales(self) -> np.ndarray:
        """The scale of each block, float32."""
        if "nested_absmax" not in self.parts:
            return self["absmax"]
        nested = self["absmax"], self["nested_absmax"], self["offset"]
        return double_dequantize(*nested, self.nested_block_size)

    def numbers(self):
        dequantize = DEQUANTIZE[self.quant_type]
        dtype = HALF.get(self.stored, np.float32)
        numbers = dequantize(
            self["codes"].ravel(), self.scales, self.shape, self.block_size, dtype
        )
        return round_to_bfloat16(numbers) if self.stored == "bfloat16" else numbers


class GroupWise(Packed):
    """Groups of a row on a grid of their own: `codes` uint32, `scales` and `biases`.

    Their product and their sum are each rounded to the precision of the scales; where
    that is bfloat16, `stored` says so.
    """

    by_rows = True

    def __init__(
        self, shape, dtype=np.float32, *, group_size=64, bits=4, stored=None, **parts
    ):
        super().__init__(shape, dtype, **parts)
        self.group_size, self.bits, self.stored = group_size, bits, stored

    def numbers(self):
        return self._numbers(slice(None))

    def rows(self, places):
        return self._numbers(places).astype(self.dtype, copy=False)

    def _numbers(self, places):
        codes, scales, biases = (
            self[part][places] for part in ("codes", "scales", "biases")
        )
        rounding = "bfloat16" if self.stored == "bfloat16" else None
        if scales.dtype == np.float16 and self.dtype != np.float16:
            # The same numbers; NumPy's own way into float16 and back is a long one.
            scales, biases = scales.astype(np.float32), biases.astype(np.float32)
            rounding = "float16"
        return group_dequantize(
            codes, scales, biases, self.group_size, self.bits, rounding
        )


class Ternary(Packed):
    """Three values: `codes` (bytes,), five of them a byte, and one `scale`."""

    def numbers(self):
        values = unpack_trits(self["codes"], math.prod(self.shape))
        return ternary_dequantize(values.reshape(self.shape), self["scale"])
