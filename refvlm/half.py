r"""Half precision: it is stored in half, computed in single, and rounded once.

A running sum of float16 stops at 2,048, its squares overflow at 256, and an epsilon of
1e-8 is 0. So operators, derivatives and optimisers widen what comes in as float16, and
round what goes out where nothing wider came in.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from .variable import Variable

Function = TypeVar("Function", bound=Callable)


def in_single_precision(function: Function) -> Function:
    """Decorate a function without a contract: it computes half precision in single too,
    in mappings and lists as well, and rounds once where nothing wider came in."""

    def call(*args, **options):
        widths: set[int] = set()
        wide = [_each(value, in_single, widths) for value in args]
        options = {k: _each(value, in_single, widths) for k, value in options.items()}
        result = function(*wide, **options)
        return _each(result, in_half, set()) if max(widths, default=0) == 2 else result

    single: Any = functools.wraps(function)(call)
    return single


def in_single(value):
    """A float16 array as float32, traced or not, and one of another machine's byte
    order in this one's; anything else as it is."""
    if not _is_array(value):
        return value
    if value.dtype.kind == "f" and value.dtype.itemsize == 2:
        return value.astype(np.float32)
    is_native = value.dtype.isnative
    return value if is_native else value.astype(value.dtype.newbyteorder("="))


def in_half(value):
    """A float32 array rounded to float16, once; anything else as it is."""
    if isinstance(value, tuple):
        return _as_before(value, map(in_half, value))
    arrays = np.ndarray, np.floating, Variable
    if not isinstance(value, arrays) or value.dtype != np.float32:
        return value
    with np.errstate(over="ignore", under="ignore"):
        return value.astype(np.float16)


def in_floats(value, dtype):
    """A floating array in another dtype; a whole one in this machine's byte order."""
    if not _is_array(value):
        return value
    if value.dtype.kind == "f":
        return value if value.dtype == dtype else value.astype(dtype)
    return in_single(value)


def _each(value, change, widths):
    """The value with every floating array changed, their bytes noted in `widths`."""
    if isinstance(value, Mapping):
        return {key: _each(each, change, widths) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return _as_before(value, (_each(each, change, widths) for each in value))
    if _is_array(value) and value.dtype.kind == "f":
        widths.add(value.dtype.itemsize)
    return change(value)


def _as_before(value, parts):
    """A list or a tuple of other parts; one whose parts have names takes them apart."""
    return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)


def _is_array(value):
    return isinstance(value, (np.ndarray, Variable))
