"""Counting instead of timing: what NumPy is asked to do, on any machine.

    from refvlm_book.meter import count

    count(lambda x: (x * x).mean(), np.ones(1000))

A `Metered` array makes a note of every function that NumPy applies to it. It sees the
functions that work number by number, sums and products; copies (`reshape`, `astype`,
`np.concatenate`) it does not see, nor what happens among arrays that a function made
for itself with `np.empty`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Count:
    """Calls, bytes that they read and wrote, and bytes of arrays that they made."""

    calls: list[str] = field(default_factory=list)
    read: int = 0
    written: int = 0
    made: int = 0
    dtypes: list[np.dtype] = field(default_factory=list)  # of what each call gave

    @property
    def moved(self) -> int:
        """Bytes read and written."""
        return self.read + self.written

    def __str__(self):
        return (
            f"{len(self.calls)} calls, {self.moved / 1e6:.1f} MB moved, "
            f"{self.made / 1e6:.1f} MB of new arrays"
        )


def count(function: Callable, *inputs: np.ndarray) -> Count:
    """What `function(*inputs)` asks of NumPy."""
    total = Count()
    function(*(_metered(array, total) for array in inputs))
    return total


class Metered(np.ndarray):
    """An array whose calls are counted, and those of all that is made from it."""

    count: Count | None = None

    def __array_finalize__(self, parent):
        self.count = getattr(parent, "count", None)

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        if out is not None:
            options["out"] = tuple(map(_plain, out))
        answer = getattr(ufunc, method)(*map(_plain, inputs), **options)
        total = next(filter(None, map(_count_of, (*inputs, *(out or ())))), None)
        if total is None or isinstance(answer, tuple):
            return answer
        total.calls.append(_name(ufunc, method))
        total.read += sum(a.nbytes for a in inputs if isinstance(a, np.ndarray))
        total.written += answer.nbytes
        total.dtypes.append(answer.dtype)
        if out is not None:
            return out[0]
        total.made += answer.nbytes
        return _metered(answer, total) if isinstance(answer, np.ndarray) else answer


def _count_of(value):
    return getattr(value, "count", None) if isinstance(value, Metered) else None


def _name(ufunc, method):
    return ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"


def _metered(array, total):
    view = array.view(Metered)
    view.count = total
    return view


def _plain(value):
    return value.view(np.ndarray) if isinstance(value, Metered) else value
