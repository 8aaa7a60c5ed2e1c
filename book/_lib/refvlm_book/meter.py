"""Counting instead of timing: what NumPy is asked to do, on any machine.

    from refvlm_book.meter import count

    count(lambda x: (x * x).mean(), np.ones(1000))

A `Metered` array makes a note of every order that NumPy is given about it: functions
that work number by number, sums, products, and copies into a part of an array. Arrays
that a function makes for itself (`np.empty`) are metered too. What is not seen are the
copies that `astype` and `np.stack` make.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from unittest import mock

import numpy as np

from refvlm import parallel

MAKERS = "empty", "empty_like", "zeros", "zeros_like", "ones", "ones_like"
COPIES = np.copyto, np.where, np.concatenate


class Order(NamedTuple):
    """One call: over how many numbers, and bytes."""

    name: str
    numbers: int  # that it makes, or sums
    read: int
    written: int
    dtype: np.dtype
    inputs: int = 1  # arrays that it reads
    flops: int = 0  # of a product
    products: int = 0  # of matrices, which `matmul` multiplies one by one
    is_shared: bool = False  # by several cores, each with a piece


@dataclass
class Count:
    """Calls, bytes that they read and wrote, and bytes of arrays that they made."""

    orders: list[Order] = field(default_factory=list)
    new: list[int] = field(default_factory=list)

    @property
    def calls(self) -> list[str]:
        """The names of all calls."""
        return [order.name for order in self.orders]

    @property
    def dtypes(self) -> list[np.dtype]:
        """Of what each call gave."""
        return [order.dtype for order in self.orders]

    @property
    def read(self) -> int:
        """Bytes read."""
        return sum(order.read for order in self.orders)

    @property
    def written(self) -> int:
        """Bytes written."""
        return sum(order.written for order in self.orders)

    @property
    def made(self) -> int:
        """Bytes of new arrays."""
        return sum(self.new)

    @property
    def moved(self) -> int:
        """Bytes read and written."""
        return self.read + self.written

    def __str__(self):
        return (
            f"{len(self.calls)} calls, {self.moved / 1e6:.1f} MB moved, "
            f"{self.made / 1e6:.1f} MB of new arrays"
        )


def count(function: Callable, *inputs: np.ndarray, workers: int = 1) -> Count:
    """What `function(*inputs)` asks of NumPy where so many cores share the work."""
    total = Count()
    with _metering(total), _workers(workers):
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
        arrays = [a for a in inputs if isinstance(a, np.ndarray) and a.ndim]
        total.orders.append(_order(_name(ufunc, method), arrays, answer))
        if out is not None:
            return out[0]
        total.new.append(answer.nbytes)
        return _metered(answer, total) if isinstance(answer, np.ndarray) else answer

    def __array_function__(self, function, types, args, options):
        answer = super().__array_function__(function, types, args, options)
        total = self.count
        if total is not None and function in COPIES:
            made = args[0] if answer is None else answer
            total.orders.append(_order("copy", [made], made))
        if total is not None and function is np.vdot:
            total.orders.append(_order("vecdot", list(args[:2]), np.asarray(answer)))
        return answer

    def reshape(self, *shape, **options):
        """A view where there can be one; otherwise a copy, which is an order."""
        shaped = super().reshape(*shape, **options)
        if self.count is not None and not np.may_share_memory(shaped, self):
            self.count.orders.append(_order("copy", [shaped], shaped))
            self.count.new.append(shaped.nbytes)
        return shaped

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        part = self[key] if self.count is not None else None
        if isinstance(part, np.ndarray) and not _same(part, value):
            self.count.orders.append(_order("copy", [part], part))


def _order(name, arrays, answer):
    numbers, flops, products = max([answer.size, *(a.size for a in arrays)]), 0, 0
    if answer.dtype.kind == "V":  # rows that are copied as one element each
        numbers = answer.nbytes // np.dtype(np.float32).itemsize
    if name == "matmul":
        left, right = arrays[0], arrays[-1]
        numbers, flops = answer.size, 2 * answer.size * left.shape[-1]
        matrix = answer.shape[-1] if left.ndim == 1 or right.ndim == 1 else None
        each = matrix or answer.shape[-1] * answer.shape[-2]
        products = answer.size // max(each, 1)
    return Order(
        name,
        numbers,
        sum(a.nbytes for a in arrays),
        answer.nbytes,
        answer.dtype,
        len(arrays),
        flops,
        products,
        _is_worker(),
    )


def _is_worker():
    return getattr(parallel._this_thread, "is_worker", False)


def _same(part, value):
    """Whether an array is written over itself, as `a[k] += 1` does at its end."""
    where = "__array_interface__"
    return isinstance(value, np.ndarray) and getattr(part, where) == getattr(
        value, where
    )


@contextlib.contextmanager
def _metering(total: Count) -> Iterator[None]:
    """Inside, new arrays are metered, and what would lose the meter keeps it."""

    def made(maker, *args, **options):
        array = maker(*args, **options).view(np.ndarray)
        total.new.append(array.nbytes)
        return _metered(array, total)

    def contiguous(maker, x):
        array = _metered(maker(x), total)
        if not _same(array, x):
            total.orders.append(_order("copy", [array], array))
        return array

    def strided(maker, x, *args, **options):
        return _metered(maker(_plain(x), *args, **options), total)

    with contextlib.ExitStack() as stack:
        for holder, name, how in (
            *((np, name, made) for name in MAKERS),
            (np, "ascontiguousarray", contiguous),
            (np.lib.stride_tricks, "as_strided", strided),
        ):
            maker = functools.partial(how, getattr(holder, name))
            stack.enter_context(mock.patch.object(holder, name, maker))
        yield


def _workers(count):
    """Inside, work is cut as for so many cores, whatever this machine has."""
    return mock.patch.object(parallel, "workers", lambda: 1 if _is_worker() else count)


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
