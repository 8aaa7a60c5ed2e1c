r"""A Variable: an array that remembers how it was computed, and its arithmetic.

Between operators stands NumPy's own glue: + - * / @ **, indexing, reshaping, sums,
concatenation. Each piece has its derivative here, as a pair (input, pullback): the
pullback takes the gradient of the result to the gradient of that input. Whatever
broadcasting repeated on the way out is added up on the way back, by `unbroadcast`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .sums import total


class Variable:
    """An array that remembers how it was computed.

    `parents` are the Variables that went in, `pullback` takes the gradient of this
    value to theirs, and `depth` is the longest path from a leaf, which orders the
    way back.
    """

    __slots__ = ("value", "parents", "pullback", "depth")
    __array_ufunc__ = None  # array + Variable asks Variable.__radd__

    def __init__(self, value, parents=(), pullback=None):
        self.value = value
        self.parents = parents
        self.pullback = pullback
        self.depth = 1 + max((parent.depth for parent in parents), default=-1)

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    dtype = property(lambda self: self.value.dtype)
    T = property(lambda self: self.transpose())

    def __len__(self):
        return len(self.value)

    def __repr__(self):
        return f"Variable({self.value!r})"

    def __add__(self, other):
        return _add(self, other)

    def __radd__(self, other):
        return _add(other, self)

    def __sub__(self, other):
        return _subtract(self, other)

    def __rsub__(self, other):
        return _subtract(other, self)

    def __mul__(self, other):
        return _multiply(self, other)

    def __rmul__(self, other):
        return _multiply(other, self)

    def __truediv__(self, other):
        return _divide(self, other)

    def __rtruediv__(self, other):
        return _divide(other, self)

    def __matmul__(self, other):
        return _matmul(self, other)

    def __rmatmul__(self, other):
        return _matmul(other, self)

    def __pow__(self, exponent):
        return _power(self, exponent)

    def __neg__(self):
        return record(-self.value, (self, lambda d: -d))

    def __getitem__(self, index):
        return _index(self, index)

    def reshape(self, *shape):
        shape = shape[0] if len(shape) == 1 else shape
        old = self.shape
        return record(self.value.reshape(shape), (self, lambda d: d.reshape(old)))

    def transpose(self, *axes):
        axes = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        axes = tuple(axes or ()) or tuple(range(self.ndim))[::-1]
        back = tuple(np.argsort([axis % self.ndim for axis in axes]))
        return record(self.value.transpose(axes), (self, lambda d: d.transpose(back)))

    def swapaxes(self, first, second):
        return record(
            self.value.swapaxes(first, second),
            (self, lambda d: d.swapaxes(first, second)),
        )

    def sum(self, axis=None, keepdims=False):
        def spread(d):
            if axis is not None and not keepdims:
                d = np.expand_dims(d, axis)
            return np.broadcast_to(d, self.shape)

        return record(total(self.value, axis, keepdims), (self, spread))

    def mean(self, axis=None, keepdims=False):
        is_half = self.dtype == np.float16  # whose sum may overflow where a mean fits
        single = self.astype(np.float32) if is_half else self
        sums = single.sum(axis, keepdims)
        mean = sums / (self.size / max(sums.size, 1))
        return mean.astype(np.float16) if is_half else mean

    def astype(self, dtype):
        old = self.dtype
        return record(self.value.astype(dtype), (self, lambda d: d.astype(old)))

    def __array_function__(self, function, types, args, options):
        if function not in _ARRAY_FUNCTIONS:
            return NotImplemented
        return _ARRAY_FUNCTIONS[function](*args, **options)


def value_of(x):
    """The array inside a Variable; anything else as it is."""
    return x.value if type(x) is Variable else x


def record(value, *edges):
    """A Variable from its value and (input, pullback) pairs, one for each input."""
    traced = [edge for edge in edges if type(edge[0]) is Variable]
    return Variable(
        np.asarray(value),
        tuple(parent for parent, _ in traced),
        lambda d: [pullback(d) for _, pullback in traced],
    )


def unbroadcast(gradient, shape):
    """Sum a gradient over the axes along which its input of `shape` was repeated."""
    if gradient.shape == shape:
        return gradient
    extra = gradient.ndim - len(shape)
    repeated = tuple(
        axis
        for axis in range(gradient.ndim)
        if axis < extra or (shape[axis - extra] == 1 and gradient.shape[axis] != 1)
    )
    return total(gradient, repeated, keepdims=True).reshape(shape)


def _add(a, b):
    x, y = value_of(a), value_of(b)
    return record(
        x + y,
        (a, lambda d: unbroadcast(d, x.shape)),
        (b, lambda d: unbroadcast(d, y.shape)),
    )


def _subtract(a, b):
    x, y = value_of(a), value_of(b)
    return record(
        x - y,
        (a, lambda d: unbroadcast(d, x.shape)),
        (b, lambda d: unbroadcast(-d, y.shape)),
    )


def _multiply(a, b):
    x, y = value_of(a), value_of(b)
    return record(
        x * y,
        (a, lambda d: unbroadcast(d * y, x.shape)),
        (b, lambda d: unbroadcast(d * x, y.shape)),
    )


def _divide(a, b):
    x, y = value_of(a), value_of(b)
    return record(
        x / y,
        (a, lambda d: unbroadcast(d / y, x.shape)),
        (b, lambda d: unbroadcast(-d * x / (y * y), y.shape)),
    )


def _power(a, exponent):
    if type(exponent) is Variable:
        raise TypeError("x ** y is differentiable in x only; y must be a number")
    x = value_of(a)

    def scale(d):  # x^0 is 1 at x = 0 too, where x^-1 is not a number
        return d * exponent * x ** (exponent - 1) if exponent else np.zeros_like(d)

    return record(x**exponent, (a, scale))


def _matmul(a, b):
    x, y = value_of(a), value_of(b)
    if x.ndim < 2 or y.ndim < 2:
        raise TypeError("a @ b with a Variable needs at least two axes on each side")
    return record(
        x @ y,
        (a, lambda d: unbroadcast(d @ y.swapaxes(-1, -2), x.shape)),
        (b, lambda d: unbroadcast(x.swapaxes(-1, -2) @ d, y.shape)),
    )


def _index(a, index):
    x = value_of(a)
    fancy = any(
        isinstance(part, (list, np.ndarray))
        for part in (index if isinstance(index, tuple) else (index,))
    )

    def scatter(d):
        d_x = np.zeros(x.shape, d.dtype)
        if fancy:  # the same element may have been taken more than once
            np.add.at(d_x, index, d)
        else:
            d_x[index] = d
        return d_x

    return record(x[index], (a, scatter))


def _concatenate(arrays, axis=0):
    values = [value_of(array) for array in arrays]
    stops = np.cumsum([value.shape[axis] for value in values])

    def part(stop, length):
        return lambda d: d[_along(axis, slice(stop - length, stop), d.ndim)]

    return record(
        np.concatenate(values, axis),
        *(
            (array, part(stop, value.shape[axis]))
            for array, value, stop in zip(arrays, values, stops)
        ),
    )


def _along(axis, part, ndim):
    index = [slice(None)] * ndim
    index[axis] = part
    return tuple(index)


def _stack(arrays, axis=0):
    return _concatenate([np.expand_dims(array, axis) for array in arrays], axis)


def _where(condition, a, b):
    x, y = np.asarray(value_of(a)), np.asarray(value_of(b))
    return record(
        np.where(condition, value_of(a), value_of(b)),
        (a, lambda d: unbroadcast(np.where(condition, d, 0), x.shape)),
        (b, lambda d: unbroadcast(np.where(condition, 0, d), y.shape)),
    )


def _broadcast_to(a, shape):
    x = value_of(a)
    return record(np.broadcast_to(x, shape), (a, lambda d: unbroadcast(d, x.shape)))


def _expand_dims(a, axis):
    return a.reshape(np.expand_dims(a.value, axis).shape)


def _squeeze(a, axis=None):
    return a.reshape(np.squeeze(a.value, axis).shape)


def _moveaxis(a, source, destination):
    return record(
        np.moveaxis(a.value, source, destination),
        (a, lambda d: np.moveaxis(d, destination, source)),
    )


_ARRAY_FUNCTIONS: dict[Callable, Callable] = {
    np.concatenate: _concatenate,
    np.stack: _stack,
    np.where: _where,
    np.broadcast_to: _broadcast_to,
    np.expand_dims: _expand_dims,
    np.squeeze: _squeeze,
    np.moveaxis: _moveaxis,
    np.swapaxes: Variable.swapaxes,
    np.transpose: Variable.transpose,
    np.reshape: Variable.reshape,
    np.sum: Variable.sum,
    np.mean: Variable.mean,
}
