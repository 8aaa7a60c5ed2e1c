r"""Shape contracts: one line says the shapes, one clear error when they are wrong.

    @shapes(x="... n_in", weight="n_out n_in", bias="n_out", returns="... n_out")
    def linear(x, weight, bias=None): ...

A contract is a list of axes separated by spaces. A name stands for one size, the
same wherever it appears; a number stands for itself; `*normalized_shape` stands for the
sizes that the argument `normalized_shape` lists. A leading `...` stands for any
further axes, which broadcast between arguments as NumPy broadcasts them; `...kv` is
another such group, with a name of its own. A trailing `...` allows further axes and
leaves them alone. Contracts are parsed once, when the function is defined, and
checked at every call.

An array holds floating numbers unless its contract ends otherwise: `"... t of
integers"`, `of numbers` (either), `of booleans`, `of anything`. An argument may be
None where that is its default, or where the contract ends with `or None`. A `dim`
is under contract too: `dim="axis of x"`, or `"axes of x"` where it may be a tuple.

What shapes cannot say is said by checks, functions that name the arguments they need
(and, first, `function`, where they want the name for their message) and raise:
`@shapes(heads_fit, query="... q d", ...)`.

Floating arrays of several dtypes are computed in the widest, as NumPy would. Half
precision is computed in single and, where nothing wider came in, rounded once, on the
way out (half.py). An operator that only moves numbers about is spared the way there and
back by `as_stored=True`; every other body and kernel never meets a float16.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .arguments import check_axes, is_whole
from .by_name import RESIDUALS, Parameters
from .half import in_floats, in_half

Function = TypeVar("Function", bound=Callable)


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
    named = all(isinstance(n, int) or n.lstrip("*").isidentifier() for n in names)
    if not named or (leading and trailing):
        raise ValueError(f"not a shape contract: {contract!r}")
    return Axes(leading, names, trailing)


class Contract(NamedTuple):
    """What one argument must be: where it stands, its axes, and what it holds.

    `listed` is the argument that lists its axes, as in `*normalized_shape`, and where
    that one stands.
    """

    name: str
    position: int
    leading: str
    names: tuple[str | int, ...]
    trailing: bool
    kind: str
    optional: bool
    listed: tuple[str, int] | None


def shapes(
    *checks: Callable,
    returns: str | None = None,
    as_stored: bool = False,
    **contracts: str,
) -> Callable[[Function], Function]:
    """Decorate a function with the shapes of its array arguments and its result."""

    def decorate(function):
        parameters = inspect.signature(function).parameters
        for name in contracts.keys() - set(parameters):
            raise ValueError(f"{function.__name__} has no parameter {name!r}")
        counted = [n for n, c in contracts.items() if c.startswith(("axis ", "axes "))]
        inputs = [
            _contract(parameters, name, contract)
            for name, contract in contracts.items()
            if name not in counted
        ]
        dims = [_dim_contract(parameters, name, contracts[name]) for name in counted]
        output = None if returns is None else parse(returns)
        bound = Parameters(function)
        demands = [_demand(check, bound) for check in checks]
        numbers = [i for i, name in enumerate(parameters) if name not in contracts]

        def call(*args, **options):
            values = bound.values(args, options)
            if values is None:
                return function(*args, **options)  # which Python refuses
            sizes, widest, is_plain = _sizes(function, inputs, values)
            for dim in dims:
                _check_dim(function, *dim, values)
            for check, name, places in demands:
                check(*name, *[values[place] for place in places])
            is_half = widest == 2 and not as_stored
            if not (is_plain or as_stored):
                wide = np.dtype(f"f{max(widest, 4)}")
                values = [in_floats(value, wide) for value in values]
            for place in numbers:
                if isinstance(values[place], np.floating):
                    values = _plain_numbers(numbers, values)
            if RESIDUALS in options:
                result = function(*values, residuals=options[RESIDUALS])
            else:
                result = function(*values)
            if isinstance(result, np.generic):  # of no axes, NumPy makes a scalar
                result = np.asarray(result)
            if output is not None:
                _check_result(function, output, result.shape, sizes)
            return in_half(result) if is_half else result

        checked: Any = functools.wraps(function)(call)
        checked.contract = {contract.name: contract for contract in inputs}
        checked.definition = getattr(function, "definition", function)
        return checked

    return decorate


def _plain_numbers(numbers, values):
    """Numbers that are no arrays as Python's own, which do not widen a float32 array;
    np.float64(2.0) does."""
    return [
        float(value) if place in numbers and isinstance(value, np.floating) else value
        for place, value in enumerate(values)
    ]


def _demand(check: Callable, bound: Parameters):
    """A check, the name of the function if it asks for that first, and the places of
    the arguments that it names."""
    asks = "function" in inspect.signature(check).parameters
    name = (bound.function.__name__,) if asks else ()
    return check, name, bound.places_for(check, beside=("function",))


def _contract(parameters, name, contract):
    """`"... t of integers"`, `"c or None"`: the axes, and what stands behind them."""
    contract, _, absent = contract.partition(" or ")
    axes, _, kind = contract.partition(" of ")
    if absent not in ("", "None") or (kind and kind not in KINDS):
        raise ValueError(f"not a shape contract: {contract!r}")
    optional = bool(absent) or parameters[name].default is None
    places, parsed, listed = list(parameters), parse(axes), None
    if any(str(axis).startswith("*") for axis in parsed.names):
        lists = str(parsed.names[0])[1:]
        if len(parsed.names) > 1 or lists not in parameters:
            raise ValueError(f"not a shape contract: {contract!r}")
        listed = lists, places.index(lists)
    kind = KINDS[kind or "floats"]
    return Contract(name, places.index(name), *parsed, kind, optional, listed)


def _dim_contract(parameters, name, contract) -> tuple[dict[str, int], bool, Any]:
    """`"axes of x"`: which arrays dim counts the axes of, and where they stand."""
    several, _, *arrays = contract.split()
    places = {each: list(parameters).index(each) for each in (name, *arrays)}
    return places, several == "axes", parameters[name].default


def _check_dim(function, places: dict[str, int], several, default, values):
    (name, position), *arrays = places.items()
    dim = values[position]
    if dim is default and type(dim) is not int:
        return  # None: all axes
    shape = max((values[place].shape for _, place in arrays), key=len)
    if type(dim) is not int or not -len(shape) <= dim < len(shape):
        check_axes(function.__name__, name, dim, arrays[0][0], shape, several)


def _sizes(function, inputs: list[Contract], values):
    """Axis -> size, once every argument is known to keep its contract; the bytes of the
    widest floating number; and whether all are of one dtype, one to compute with."""
    sizes: dict[str | int, Any] = {}  # of ...: the tuple of its sizes
    widest, is_plain = 0, True
    for name, position, leading, axes, trailing, kind, optional, listed in inputs:
        array = values[position]
        if array is None and optional:
            continue
        try:
            shape, dtype = array.shape, array.dtype
        except AttributeError:
            raise TypeError(
                f"{function.__name__}: {name} must be an array, "
                f"not {type(array).__name__}"
            ) from None
        if kind:
            holds = dtype.kind
            if holds not in kind:
                raise ValueError(
                    f"{function.__name__}: {name} holds {dtype}, but needs "
                    f"{_name_of(kind)}"
                )
            if holds == "f":
                size = dtype.itemsize
                is_plain &= size > 2 and dtype.isnative and widest in (0, size)
                widest = size if size > widest else widest
        if listed:
            axes = _listed(function, *listed, values)
        extra = len(shape) - len(axes)
        if leading:
            ahead = shape[:extra] if extra > 0 else ()
            batch = sizes.setdefault(leading, ahead)
            if extra < 0 or (ahead and batch != ahead):
                sizes[leading] = _broadcast(
                    batch, shape, extra, function, inputs, values
                )
            shape = shape[extra:]
        elif extra < 0 or (extra and not trailing):
            _fail(function, inputs, values)
        for axis, size in zip(axes, shape):
            expected = sizes.setdefault(axis, size)
            if expected != size or (axis != size and type(axis) is int):
                _fail(function, inputs, values)
    return sizes, widest, is_plain


def _listed(function, name, position, values):
    """The sizes that an argument lists: a whole number, or some of them."""
    value = values[position]
    sizes = (value,) if is_whole(value) else value
    if not isinstance(sizes, (tuple, list)) or not all(map(is_whole, sizes)):
        raise ValueError(
            f"{function.__name__}: {name} must be a whole number or a tuple of them, "
            f"not {value!r}"
        )
    if not sizes:
        raise ValueError(f"{function.__name__}: {name} is empty and lists no axis")
    return tuple(int(size) for size in sizes)


def _name_of(kind):
    name = next(name for name, letters in KINDS.items() if letters == kind)
    return {"floats": "floating numbers, as in x.astype(np.float32)"}.get(name, name)


def _broadcast(batch, shape, extra, function, inputs, values):
    try:
        if extra >= 0:
            return np.broadcast_shapes(batch, shape[:extra])
    except ValueError:
        pass
    return _fail(function, inputs, values)


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


def _fail(function, inputs: list[Contract], values):
    """Walk the contract again, slowly, and say the first thing that is wrong."""
    known: dict[str | int, tuple[int, str]] = {}  # axis -> size, and whose it is
    batches: dict[str, tuple[tuple[int, ...], str]] = {}
    for name, position, leading, names, trailing, _, _, listed in inputs:
        axes = Axes(leading, names, trailing)
        array = values[position]
        if not hasattr(array, "shape"):
            continue
        shape, where = array.shape, f"{function.__name__}: {name} is {array.shape}"
        if listed:
            sizes = _listed(function, *listed, values)
            if shape[len(shape) - len(sizes) :] != sizes or (
                len(shape) > len(sizes) and not axes.leading
            ):
                last = "its last axes should be" if axes.leading else "should be"
                raise ShapeError(f"{where}, but {last} {sizes}, which is {listed[0]}")
            axes = axes._replace(names=sizes)
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
