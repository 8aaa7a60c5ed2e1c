"""Of numbers and codes alone: some, finite, and of the format that is spoken of."""

from __future__ import annotations

import numpy as np

from ..number_formats import FORMATS, FloatFormat

LARGEST_BLOCK = 2**31  # numbers that share a scale


def finite(function: str, **arrays):
    """Refuse NaN and infinities: no code of whole numbers stands for them.

    >>> finite("quantize_linear", x=np.array([1.0, np.nan]))
    Traceback (most recent call last):
    ValueError: quantize_linear: x holds 1 number that is NaN or infinite
    """
    for name, array in arrays.items():
        count = np.size(array) - np.count_nonzero(np.isfinite(array))
        if count:
            are = "number that is" if count == 1 else "numbers that are"
            raise ValueError(f"{function}: {name} holds {count} {are} NaN or infinite")


def a_range_to_span(x):
    """Some numbers, all finite: they have extremes."""
    if not x.size:
        raise ValueError("dynamic_quantize_linear: x is empty, and has no range")
    finite("dynamic_quantize_linear", x=x)


def each_with_what_was_stored(x, x_hat):
    """Two arrays of one shape, of some finite numbers."""
    if x.shape != x_hat.shape:
        raise ValueError(
            f"quantization_error: x is {x.shape} and x_hat {x_hat.shape}: an error is "
            "of one number each"
        )
    if not x.size:
        raise ValueError("quantization_error: x is empty, and has no mean")
    finite("quantization_error", x=x, x_hat=x_hat)


def codes_that_say_something(codes):
    """One at least."""
    if not codes.size:
        raise ValueError("code_entropy: codes is empty, and says nothing")


def a_float_of_eight_bits(function, dtype):
    """A format by name, of those in a byte."""
    known = FORMATS.get(dtype) if isinstance(dtype, str) else None
    if not isinstance(known, FloatFormat) or known.bits != 8:
        raise ValueError(
            f"{function}: dtype must be 'float8_e4m3fn' or 'float8_e5m2', not "
            f"{dtype!r:.60}"
        )


def no_number_is_nan(x):
    """Of sixteen codes none is left for it."""
    if np.isnan(x).any():
        raise ValueError("float4_bits: x holds NaN, which no four bits stand for")


def eight_bits_each(function, bits):
    """Bytes."""
    _check_bits(function, bits, 8)


def four_bits_each(function, bits):
    """Bytes whose upper half is 0."""
    _check_bits(function, bits, 4)


def _check_bits(function, bits, count):
    if bits.dtype != np.uint8 or (bits >> count).any():
        what = bits.dtype if bits.dtype != np.uint8 else f"as large as {bits.max()}"
        raise ValueError(f"{function}: the bits are uint8 below {2**count}, not {what}")
