r"""Shape contracts: one line says the shapes, one clear error when they are wrong.

    @shapes(x="... n_in", weight="n_out n_in", bias="n_out", returns="... n_out")
    def linear(x, weight, bias=None): ...

A contract is a list of axes separated by spaces. A name stands for one size, the
same wherever it appears; a number stands for itself. A leading `...` stands for any
further axes, which broadcast between arguments as NumPy broadcasts them; `...kv` is
another such group, with a name of its own. A trailing `...` allows further axes and
leaves them alone. Contracts are parsed once, when the function is defined, and
checked at every call.

An array holds floating numbers unless its contract ends otherwise: `"... t of
integers"`, `of numbers` (either), `of booleans`, `of anything`. An argument may be
None where that is its default, or where the contract ends with `or None`. A `dim`
is under contract too: `dim="axis of x"`, or `"axes of x"` where it may be a tuple.
"""

from __future__ import annotations

import functools
import inspect
from typing import NamedTuple

import numpy as np

from .arguments import check_axes


class ShapeError(ValueError):
    """An array whose shape breaks the contract of the function it was given to."""


KINDS = {  # the letters are those of numpy.dtype.kind
    "floats": "f",
    "integers": "iu",
    "numbers": "iuf",
    "booleans": "b",
    "anything": "",
}


class Axes(NamedTuple):
    """One side of a contract: `"... q d"` is Axes("...", ("q", "d"), False)."""

    leading: str
    names: tuple[str | int, ...]
    trailing: bool

    def __str__(self):
        words = [self.leading, *map(str, self.names), "..." if self.trailing else ""]
        return " ".join(word for word in words if word)


def parse(contract: str) -> Axes:
    """Axes from text: `"... q 2"` -> Axes("...", ("q", 2), False)."""
    words = contract.split()
    leading = words.pop(0) if words and words[0].startswith("...") else ""
    trailing = words[-1:] == ["..."]
    words = words[:-1] if trailing else words
    names = tuple(int(word) if word.isdigit() else word for word in words)
    named = all(isinstance(name, int) or name.isidentifier() for name in names)
    if not named or (leading and trailing):
        raise ValueError(f"not a shape contract: {contract!r}")
    return Axes(leading, names, trailing)


class Contract(NamedTuple):
    """What one argument must be: where it stands, its axes, and what it holds."""

    name: str
    position: int
    leading: str
    names: tuple[str | int, ...]
    trailing: bool
    kind: str
    optional: bool


def shapes(returns: str | None = None, **contracts: str):
    """Decorate a function with the shapes of its array arguments and its result."""

    def decorate(function):
        parameters = inspect.signature(function).parameters
        for name in contracts.keys() - set(parameters):
            raise ValueError(f"{function.__name__} has no parameter {name!r}")
        dims = {n: c for n, c in contracts.items() if c.startswith(("axis ", "axes "))}
        inputs = [
            _contract(parameters, name, contract)
            for name, contract in contracts.items()
            if name not in dims
        ]
        dims = [_dim_contract(parameters, *dim) for dim in dims.items()]
        output = None if returns is None else parse(returns)

        @functools.wraps(function)
        def checked(*args, **options):
            sizes = check(args, options)
            result = function(*args, **options)
            if output is not None:
                _check_result(function, output, result.shape, sizes)
            return result

        def check(args, options):
            sizes = _sizes(function, inputs, args, options)
            for dim in dims:
                _check_dim(function, *dim, args, options)
            return sizes

        # A tape that runs another form of f asks for the check alone.
        checked.check_shapes = check
        return checked

    return decorate


def _contract(parameters, name, contract):
    """`"... t of integers"`, `"c or None"`: the axes, and what stands behind them."""
    contract, _, absent = contract.partition(" or ")
    axes, _, kind = contract.partition(" of ")
    if absent not in ("", "None") or (kind and kind not in KINDS):
        raise ValueError(f"not a shape contract: {contract!r}")
    optional = bool(absent) or parameters[name].default is None
    position = list(parameters).index(name)
    return Contract(name, position, *parse(axes), KINDS[kind or "floats"], optional)


def _dim_contract(parameters, name, contract):
    """`"axes of x"`: which arrays dim counts the axes of, and where they stand."""
    several, _, *arrays = contract.split()
    places = {each: list(parameters).index(each) for each in (name, *arrays)}
    return places, several == "axes", parameters[name].default


def _argument(name, position, args, options, default=None):
    return args[position] if position < len(args) else options.get(name, default)


def _check_dim(function, places, several, default, args, options):
    (name, position), *arrays = places.items()
    dim = _argument(name, position, args, options, default)
    if dim is default and type(dim) is not int:
        return  # None, for all axes; or not given, which Python says better
    given = [_argument(*array, args, options) for array in arrays]
    shape = max((array.shape for array in given), key=len)
    if type(dim) is not int or not -len(shape) <= dim < len(shape):
        check_axes(function.__name__, name, dim, arrays[0][0], shape, several)


def _sizes(function, inputs, args, options):
    """Axis -> size, once every argument is known to keep its contract."""
    sizes = {}
    for name, position, leading, axes, trailing, kind, optional in inputs:
        if position < len(args):
            array = args[position]
        elif name in options:
            array = options[name]
        else:
            continue
        if array is None and optional:
            continue
        try:
            shape, holds = array.shape, array.dtype.kind
        except AttributeError:
            raise TypeError(
                f"{function.__name__}: {name} must be an array, "
                f"not {type(array).__name__}"
            ) from None
        if kind and holds not in kind:
            raise ValueError(
                f"{function.__name__}: {name} holds {array.dtype}, but needs "
                f"{_name_of(kind)}"
            )
        extra = len(shape) - len(axes)
        if leading:
            batch = sizes.setdefault(leading, shape[: max(extra, 0)])
            if extra < 0 or batch != shape[:extra]:
                sizes[leading] = _broadcast(
                    batch, shape, extra, function, inputs, args, options
                )
            shape = shape[extra:]
        elif extra < 0 or (extra and not trailing):
            _fail(function, inputs, args, options)
        for axis, size in zip(axes, shape):
            expected = sizes.setdefault(axis, size)
            if expected != size or (axis != size and type(axis) is int):
                _fail(function, inputs, args, options)
    return sizes


def _name_of(kind):
    name = next(name for name, letters in KINDS.items() if letters == kind)
    return {"floats": "floating numbers, as in x.astype(np.float32)"}.get(name, name)


def _broadcast(batch, shape, extra, function, inputs, args, options):
    try:
        if extra >= 0:
            return np.broadcast_shapes(batch, shape[:extra])
    except ValueError:
        pass
    return _fail(function, inputs, args, options)


def _check_result(function, output, shape, sizes):
    extra = len(shape) - len(output.names)
    lead = extra if output.leading else 0
    right = lead >= 0 and (extra == lead or (extra > 0 and output.trailing))
    right &= not output.leading or shape[:lead] == sizes.get(output.leading)
    for axis, size in zip(output.names, shape[lead:]):
        right &= sizes.get(axis, size if type(axis) is str else axis) == size
    if not right:
        known = ", ".join(f"{axis} = {size}" for axis, size in sizes.items())
        raise ShapeError(
            f"{function.__name__}: returned {shape}, but promises {output} ({known})"
        )


def _fail(function, inputs, args, options):
    """Walk the contract again, slowly, and say the first thing that is wrong."""
    known, batches = {}, {}
    for name, position, *axes, _, _ in inputs:
        axes = Axes(*axes)
        array = _argument(name, position, args, options)
        if array is None:
            continue
        shape, where = array.shape, f"{function.__name__}: {name} is {array.shape}"
        extra = len(shape) - len(axes.names)
        if extra < 0 or (extra and not (axes.leading or axes.trailing)):
            least = "at least " if axes.leading or axes.trailing else ""
            raise ShapeError(
                f"{where}, but needs {least}{len(axes.names)} axes: {axes}"
            )
        lead = extra if axes.leading else 0
        for axis, size in zip(axes.names, shape[lead:]):
            if isinstance(axis, int) and axis != size:
                raise ShapeError(f"{where}, but needs {axis} where it has {size}")
            expected, origin = known.setdefault(axis, (size, f"{name} {shape}"))
            if expected != size:
                raise ShapeError(f"{where}, but {axis} = {expected} (from {origin})")
        if axes.leading:
            batch, origin = batches.setdefault(axes.leading, (shape[:lead], name))
            try:
                batches[axes.leading] = np.broadcast_shapes(batch, shape[:lead]), name
            except ValueError:
                raise ShapeError(
                    f"{where}, but its leading axes {shape[:lead]} do not broadcast "
                    f"with {batch} (from {origin})"
                ) from None
