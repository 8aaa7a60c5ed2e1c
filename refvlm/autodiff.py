r"""Reverse-mode differentiation: a tape over operators.

For $y = f(x)$ and a loss $L$, write $\bar y = \partial L / \partial y$. The
vector-Jacobian product of $f$ is the map $\bar y \mapsto \bar x = J_f^\top \bar y$.
Each operator brings its own, as a plain function beside it:

    @differentiable
    def square(x):
        return x * x

    @square.vjp
    def square_vjp(d_out, x):
        return 2 * x * d_out

Called with arrays, `square` is that plain function. Called with a `Variable`, it
also notes what its vjp names; `grad` walks these notes backwards and adds up what
arrives. Functions made of operators need no derivative of their own.
"""

from __future__ import annotations

import functools
import heapq
import inspect
import itertools
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, Protocol, TypeVar

import numpy as np

from .by_name import Parameters
from .half import in_single_precision
from .variable import Variable, unbroadcast, value_of

__all__ = [
    "Variable",
    "backward",
    "differentiable",
    "grad",
    "unbroadcast",
    "value_and_grad",
    "value_of",
]


Args = ParamSpec("Args")
Result = TypeVar("Result")
Derivative = TypeVar("Derivative", bound=Callable)


class Operator(Protocol[Args, Result]):
    """What `differentiable` makes of a function: it is called as before."""

    definition: Callable[Args, Result]  # where a kernel stands before it
    derivative: Callable | None
    noted: tuple[str, ...]  # what the derivative asks for, besides d_out

    def __call__(self, *args: Args.args, **options: Args.kwargs) -> Result:
        """The function."""

    def vjp(self, derivative: Derivative) -> Derivative:
        """Decorate the derivative."""


def differentiable(function: Callable[Args, Result]) -> Operator[Args, Result]:
    """Make an operator traceable; its derivative is registered with `.vjp`.

    A vjp names what it needs: `d_out`, the gradient of the result; `out`, the result;
    any parameter of the operator; `needs`, the names of the parameters whose gradient
    is wanted; and, with a default of None, whatever the operator's kernel left in its
    `residuals`. It returns one gradient for each leading parameter of the operator:
    an array, or None where there is nothing to differentiate. Of an operator that
    returns several things the first is differentiated; the others are plain arrays.
    """
    parameters = Parameters(function)

    def call(*args, **options):
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
        given = parameters.values(args, options)
        if given is None:
            return function(*args, **options)  # which Python refuses
        traced = {n: v for n, v in zip(parameters.names, given) if type(v) is Variable}
        args = tuple(value_of(argument) for argument in args)
        options = {name: value_of(argument) for name, argument in options.items()}
        residuals: dict[str, Any] = {}
        if getattr(function, "keeps_residuals", False):
            options["residuals"] = residuals
        out = function(*args, **options)
        out, *beside = out if isinstance(out, tuple) else (out,)
        known = {name: value_of(v) for name, v in zip(parameters.names, given)}
        known |= {"out": out, "needs": tuple(traced), **residuals}
        noted = {name: known.get(name) for name in operator.noted}

        def pullback(d_out):
            gradients = operator.derivative(d_out=d_out, **noted)
            return _in_order(function, parameters.names, gradients, traced)

        variable = Variable(out, tuple(traced.values()), pullback)
        return (variable, *beside) if beside else variable

    def vjp(derivative):
        asks = inspect.signature(derivative).parameters
        optional = {name for name, asked in asks.items() if asked.default is None}
        parameters.places_for(derivative, beside={"d_out", "out", "needs"} | optional)
        operator.derivative = in_single_precision(derivative)
        operator.noted = tuple(name for name in asks if name != "d_out")
        return operator.derivative

    operator: Any = functools.wraps(function)(call)
    operator.derivative, operator.noted, operator.vjp = None, (), vjp
    return operator


def _in_order(function, parameters, gradients, traced):
    """The gradients of the traced parameters, each known to fit its Variable."""
    if not isinstance(gradients, tuple):
        gradients = (gradients,)
    by_name = dict(zip(parameters, gradients))
    for name, variable in traced.items():
        gradient = by_name.get(name)
        if gradient is None:
            raise TypeError(f"{function.__name__} is not differentiable in {name}")
        if gradient.shape != variable.shape:
            raise ValueError(
                f"{function.__name__}: the gradient of {name} is {gradient.shape}, "
                f"but {name} is {variable.shape}"
            )
    return [
        np.asarray(by_name[name], variable.dtype) for name, variable in traced.items()
    ]


def backward(output: Variable, d_output) -> dict[Variable, np.ndarray]:
    """Gradients of all leaves under `output`, given the gradient of `output`.

    Deepest first: when a Variable is taken from the heap, everything that used it
    has already sent its share. Of equally deep ones the first to be reached goes first,
    so that sums are taken in the same order, to the same bits, at every run.
    """
    arrived = {output: d_output}
    number = itertools.count()
    heap = [(-output.depth, next(number), output)]
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
                heapq.heappush(heap, (-parent.depth, next(number), parent))
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
        if wrt not in range(len(args)):
            raise ValueError(f"wrt is {wrt}, but there are {len(args)} arguments")
        given = args[wrt]
        leaves = _leaves(given, trainable)
        if isinstance(given, Mapping):
            replace = getattr(given, "replace", None)
            traced = replace(leaves) if replace else {**given, **leaves}
        else:
            traced = leaves[None]
        out = function(*args[:wrt], traced, *args[wrt + 1 :], **options)
        value = value_of(out)
        if np.size(value) != 1:
            raise ValueError(
                f"a gradient is of one number, not of shape {np.shape(value)}"
            )
        found = backward(out, np.ones_like(value)) if type(out) is Variable else {}
        gradients = _separate(
            found.get(leaf, np.zeros_like(leaf.value)) for leaf in leaves.values()
        )
        gradients = dict(zip(leaves, gradients))
        return value, gradients.get(None, gradients)

    return evaluate


def _separate(gradients):
    """Arrays that may be written to: copies of views and of what came twice."""
    seen = set()
    for gradient in gradients:
        own = gradient.flags.owndata and id(gradient) not in seen
        seen.add(id(gradient))
        yield gradient if own else gradient.copy()


def _leaves(given, trainable):
    if not isinstance(given, Mapping):
        return {None: _leaf(given)}
    if trainable is None:
        chosen = [n for n in given if np.issubdtype(given[n].dtype, np.floating)]
    elif callable(trainable):
        chosen = [name for name in given if trainable(name)]
    else:
        chosen = list(trainable)
        if unknown := [name for name in chosen if name not in given]:
            raise ValueError(f"nothing to train is named {', '.join(unknown)}")
    # One array under two names (tied weights) is one leaf.
    shared: dict[int, Variable] = {}
    arrays = {name: given[name] for name in chosen}
    return {
        name: shared.setdefault(id(array), _leaf(array))
        for name, array in arrays.items()
    }


def _leaf(value):
    if type(value) is Variable:
        raise TypeError("derivatives of derivatives are not supported")
    value = np.asarray(value)
    if value.dtype.kind != "f":
        raise ValueError(
            f"a gradient is of floating numbers, not of {value.dtype}: astype(float)"
        )
    return Variable(value)


def grad(function, wrt=0, trainable=None):
    r"""The function that returns $\partial f / \partial x$; see `value_and_grad`.

    >>> grad(lambda x: (x**3).sum())(np.array([1.0, 2.0]))
    array([ 3., 12.])
    """
    with_value = value_and_grad(function, wrt, trainable)
    return lambda *args, **options: with_value(*args, **options)[1]
