r"""Number formats of few bits: which codes there are, and what they stand for.

             low     high   stored as
int2          -2        1   int8
uint4          0       15   uint8
int8        -128      127   int8
float8      -448      448   uint8, as its bits (e4m3fn: 4 of exponent, 3 of fraction)

The names are ONNX's. NumPy has no dtype below a byte: codes of two and four bits lie
one a byte until they are packed, and so a small format is named beside its array.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class IntegerFormat(NamedTuple):
    """Whole numbers from `low` to `high`, stored one an entry of dtype `storage`."""

    name: str
    bits: int
    low: int
    high: int
    storage: np.dtype


class FloatFormat(NamedTuple):
    """Floats of a sign, some bits of exponent and some of fraction, stored as bits.

    `high` is the largest number and `low` minus that. What is above it is written as
    `beyond`, infinite or no number; a format in which every code is a number has None.
    """

    name: str
    exponent: int
    fraction: int
    high: float
    beyond: int | None

    @property
    def bits(self):
        """A sign, the exponent, the fraction."""
        return 1 + self.exponent + self.fraction

    @property
    def low(self):
        """As far below zero as `high` is above."""
        return -self.high

    @property
    def storage(self):
        """Codes are bits, one number a byte."""
        return np.dtype(np.uint8)

    @property
    def lowest(self):
        """The exponent of the lowest octave, which goes on evenly down to zero."""
        return 2 - 2 ** (self.exponent - 1)


def _integers(bits, signed):
    """All codes of some bits, half of them below zero where they are signed."""
    low = -(2 ** (bits - 1)) if signed else 0
    storage = np.dtype(f"{'' if signed else 'u'}int{max(bits, 8)}")
    name = f"{'' if signed else 'u'}int{bits}"
    return IntegerFormat(name, bits, low, low + 2**bits - 1, storage)


_KNOWN = [_integers(bits, signed) for bits in (2, 4, 8, 16) for signed in (True, False)]
_KNOWN += [
    FloatFormat("float8_e4m3fn", 4, 3, 448.0, beyond=0x7F),
    FloatFormat("float8_e5m2", 5, 2, 57344.0, beyond=0x7C),
    FloatFormat("float4_e2m1", 2, 1, 6.0, beyond=None),
]
FORMATS: dict[str, IntegerFormat | FloatFormat] = {each.name: each for each in _KNOWN}


def number_format(name, asked="") -> IntegerFormat | FloatFormat:
    """The format of a name, or of a NumPy dtype, or scalar type, that is one.

    `asked` says where a name that is none was given, as "quantize_linear: dtype".

    Source: [Cortes] 9.5. Oracle: onnx.TensorProto's data types.

    >>> number_format("int4")[1:4]
    (4, -8, 7)
    >>> number_format(np.dtype(np.uint8)).high
    255
    """
    if isinstance(name, type) and issubclass(name, np.generic):
        name = np.dtype(name)
    known = FORMATS.get(name.name if isinstance(name, np.dtype) else str(name))
    if known is None:
        raise ValueError(
            f"{_where(asked)}there is no number format {name!r:.60}: take "
            f"{', '.join(FORMATS)}"
        )
    return known


def format_of(zero_point, name, asked="") -> IntegerFormat | FloatFormat:
    """The format that codes get: of a name, or else of a zero point, or else uint8."""
    if name is None:
        name = "uint8" if zero_point is None else zero_point.dtype.name
    return number_format(name, asked)


def integer_format(name, asked="") -> IntegerFormat:
    """The format of a name, which has to be one of whole numbers."""
    known = number_format(name, asked)
    if isinstance(known, FloatFormat):
        whole = [each for each in FORMATS if "float" not in each]
        raise ValueError(
            f"{_where(asked)}{known.name} holds no whole numbers: take "
            f"{', '.join(whole)}"
        )
    return known


def _where(asked):
    return f"{asked}: " if asked else ""
