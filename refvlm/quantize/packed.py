"""A matrix in few bits, standing in `Weights` like any other.

    weights["model.layers.0.self_attn.q_proj.weight"]    # dequantised, just now

What is kept are codes and scales. The numbers are made each time a layer looks them up,
and are gone when the layer is done: models know nothing of it. Whoever looks twice
while the first array is still held gets the same one.
"""

from __future__ import annotations

import weakref
from functools import cached_property

import numpy as np

from ..checkpoint.stored import BLOCK, HeldTensor, StoredTensor, Tensor
from ..ops.rounding import bfloat16_from_bits
from ..parallel import blocks


class Packed(Tensor):
    """A matrix whose numbers are made when they are asked for.

    Its parts are tensors too, or arrays: of a file, they are read at the first look.
    Where rows are packed one by one, `rows` makes these only.
    """

    by_rows = False

    def __init__(self, shape: tuple[int, ...], dtype=np.float32, **parts):
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self.parts: dict[str, Tensor] = {
            name: part if isinstance(part, Tensor) else HeldTensor(part)
            for name, part in parts.items()
        }
        self._last = _nothing

    def __getitem__(self, part: str) -> np.ndarray:
        return self.parts[part].array()

    @property
    def is_floating(self) -> bool:
        return True

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.parts.values())

    def array(self) -> np.ndarray:
        """All numbers, read-only, in `dtype`."""
        array = self._last()
        if array is None:
            array = self.numbers().astype(self.dtype, copy=False)
            array = array.reshape(self.shape)
            array.flags.writeable = False
            self._last = weakref.ref(array)
        return array

    def numbers(self) -> np.ndarray:
        """What the codes stand for."""
        raise NotImplementedError

    def __getstate__(self):
        return {**vars(self), "_last": _nothing}


def _nothing():
    return None


class Half(Packed):
    """A table that stays in the sixteen bits of its file: float16, or bfloat16."""

    by_rows = True

    def __init__(self, stored: StoredTensor | np.ndarray, dtype=np.float32):
        super().__init__(stored.shape, dtype, stored=stored)

    @cached_property
    def _halves(self):
        tensor = self.parts["stored"]
        halves = tensor.stored() if isinstance(tensor, StoredTensor) else self["stored"]
        flat, ones = halves.reshape(-1).view(np.uint16), _EXPONENT[halves.dtype.kind]
        for some in blocks(flat.size, BLOCK):
            if ((flat[some] & ones) == ones).any():
                tensor.array()  # says which number is not finite, and where
        return halves

    def numbers(self):
        return self._numbers(self._halves)

    def rows(self, places):
        return self._numbers(self._halves[places]).astype(self.dtype, copy=False)

    def _numbers(self, halves):
        return bfloat16_from_bits(halves) if halves.dtype.kind == "u" else halves


# The bits that are all ones in infinities and NaNs, of bfloat16 and of float16.
_EXPONENT = {"u": np.uint16(0x7F80), "f": np.uint16(0x7C00)}
