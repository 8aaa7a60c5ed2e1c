r"""Reverse-mode differentiation: a tape over operators.

For $y = f(x)$ and a loss $L$, write $\bar y = \partial L / \partial y$. The
vector-Jacobian product of $f$ is the map $\bar y \mapsto \bar x = J_f^\top \bar y$.
Each operator brings its own, as a plain function beside it:

    @differentiable
    def square(x):
        return x * x

    @square.vjp
    def square_vjp(d_out, out, x):
        return 2 * x * d_out

Called with arrays, `square` is that plain function. Called with a `Variable`, it
also notes what it was called with; `grad` walks these notes backwards and adds up
what arrives. Functions made of operators need no derivative of their own.
"""

from __future__ import annotations

import functools
import heapq
import inspect
from collections.abc import Mapping

import numpy as np


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
        return record(
            self.value.transpose(axes), (self, lambda d: d.transpose(back))
        )

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

        return record(self.value.sum(axis, keepdims=keepdims), (self, spread))

    def mean(self, axis=None, keepdims=False):
        total = self.sum(axis, keepdims)
        return total * (total.size / self.size)

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
    edges = [edge for edge in edges if type(edge[0]) is Variable]
    return Variable(
        np.asarray(value),
        tuple(parent for parent, _ in edges),
        lambda d: [pullback(d) for _, pullback in edges],
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
    return gradient.sum(axis=repeated, keepdims=True).reshape(shape)


# The array glue: the arithmetic between operators, each with its derivative.


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
    return record(x**exponent, (a, lambda d: d * exponent * x ** (exponent - 1)))


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


_ARRAY_FUNCTIONS = {
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


def differentiable(function):
    """Make an operator traceable; its derivative is registered with `.vjp`.

    `f_vjp(d_out, out, *inputs, **options)` takes what f took and returns one
    gradient for each leading parameter of f: an array, or None where there is
    nothing to differentiate. It may ask for `needs`, a tuple of flags that says
    which of them are wanted. Where recomputing is dear, `.forward` registers a
    form of f that returns (out, saved), and `saved` is handed to the vjp.
    """
    parameters = tuple(inspect.signature(function).parameters)

    @functools.wraps(function)
    def operator(*args, **options):
        for argument in args:
            if type(argument) is Variable:
                return trace(args, options)
        if options:
            for argument in options.values():
                if type(argument) is Variable:
                    return trace(args, options)
        return function(*args, **options)

    def trace(args, options):
        if operator.derivative is None:
            raise TypeError(f"{function.__name__} has no derivative")
        traced = {parameters[i]: a for i, a in enumerate(args) if type(a) is Variable}
        traced |= {name: a for name, a in options.items() if type(a) is Variable}
        args = tuple(value_of(argument) for argument in args)
        options = {name: value_of(argument) for name, argument in options.items()}
        extra = {}
        if operator.saving is None:
            out = function(*args, **options)
        else:
            out, extra["saved"] = operator.saving(*args, **options)
        if operator.asks_needs:
            extra["needs"] = tuple(name in traced for name in parameters)

        def pullback(d_out):
            gradients = operator.derivative(d_out, out, *args, **options, **extra)
            if not isinstance(gradients, tuple):
                gradients = (gradients,)
            by_name = dict(zip(parameters, gradients))
            return [_checked(function, name, by_name, traced[name]) for name in traced]

        return Variable(out, tuple(traced.values()), pullback)

    def vjp(derivative):
        operator.derivative = derivative
        operator.asks_needs = "needs" in inspect.signature(derivative).parameters
        return derivative

    def forward(saving):
        operator.saving = saving
        return saving

    operator.derivative, operator.saving, operator.asks_needs = None, None, False
    operator.vjp, operator.forward = vjp, forward
    return operator


def _checked(function, name, gradients, variable):
    gradient = gradients.get(name)
    if gradient is None:
        raise TypeError(f"{function.__name__} is not differentiable in {name}")
    if gradient.shape != variable.shape:
        raise ValueError(
            f"{function.__name__}: the gradient of {name} is {gradient.shape}, "
            f"but {name} is {variable.shape}"
        )
    return gradient


def backward(output: Variable, d_output) -> dict[Variable, np.ndarray]:
    """Gradients of all leaves under `output`, given the gradient of `output`.

    Deepest first: when a Variable is taken from the heap, everything that used it
    has already sent its share.
    """
    arrived = {output: d_output}
    heap = [(-output.depth, id(output), output)]
    leaves = {}
    while heap:
        _, _, variable = heapq.heappop(heap)
        gradient = arrived.pop(variable)
        if variable.pullback is None:
            leaves[variable] = gradient
            continue
        for parent, share in zip(variable.parents, variable.pullback(gradient)):
            if parent in arrived:
                arrived[parent] = arrived[parent] + share
            else:
                arrived[parent] = share
                heapq.heappush(heap, (-parent.depth, id(parent), parent))
    return leaves


def value_and_grad(function, wrt=0, trainable=None):
    r"""The function that returns $f(x)$ and $\partial f / \partial x$.

    `wrt` is the position of the argument x: an array, or a mapping of names to
    arrays, whose gradient is a dict. Of a mapping, `trainable` chooses the names
    (an iterable, or a function of the name); the rest stay plain arrays and cost
    nothing on the way back.

    >>> value_and_grad(lambda x: (x * x).sum())(np.array([1.0, 2.0]))
    (array(5.), array([2., 4.]))
    """

    def evaluate(*args, **options):
        given = args[wrt]
        leaves = _leaves(given, trainable)
        if isinstance(given, Mapping):
            replace = getattr(given, "replace", None)
            traced = replace(leaves) if replace else {**given, **leaves}
        else:
            traced = leaves[None]
        out = function(*args[:wrt], traced, *args[wrt + 1 :], **options)
        if out.size != 1:
            raise ValueError(f"a gradient is of one number, not of shape {out.shape}")
        found = {}
        if type(out) is Variable:
            found = backward(out, np.ones_like(out.value))
        gradients = {
            name: found.get(leaf, np.zeros_like(leaf.value))
            for name, leaf in leaves.items()
        }
        return value_of(out), gradients.get(None, gradients)

    return evaluate


def _leaves(given, trainable):
    if not isinstance(given, Mapping):
        return {None: Variable(np.asarray(given))}
    if trainable is None:
        chosen = [n for n in given if np.issubdtype(given[n].dtype, np.floating)]
    elif callable(trainable):
        chosen = [name for name in given if trainable(name)]
    else:
        chosen = list(trainable)
    shared = {}  # one array under two names (tied weights) is one leaf
    return {
        name: shared.setdefault(id(given[name]), Variable(given[name]))
        for name in chosen
    }


def grad(function, wrt=0, trainable=None):
    r"""The function that returns $\partial f / \partial x$; see `value_and_grad`.

    >>> grad(lambda x: (x**3).sum())(np.array([1.0, 2.0]))
    array([ 3., 12.])
    """
    with_value = value_and_grad(function, wrt, trainable)
    return lambda *args, **options: with_value(*args, **options)[1]
