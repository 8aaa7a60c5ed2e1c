"""Calls of every operator with something special in them, for test_every_special.py.

Numbers that are none (NaN, the infinities), the largest, whole rows of them, zeros; an
axis without entries, an array without axes.
"""

import inspect
from typing import NamedTuple

import numpy as np

from refvlm import ops

from ..spec import call, random_arrays
from .test_every_call import ours
from .test_every_operator import CALLS

MOST_CALLS, MOST_NUMBERS = 2, 64  # of an operator, and in all arrays of one call
LARGEST = float(np.finfo(np.float64).max)

draw, see = random_arrays(2024), random_arrays(7)

# Calls for those whose own are too large to be recorded a few dozen times.
SMALL = {
    "add_scaled": [call(draw(1, 2, 2, 3), draw(1, 2, 2, 3), draw(2, 1, 1))],
    "adaptive_avg_pool2d": [call(draw(1, 4, 5), (3, 2)), call(draw(1, 2, 3), 4)],
    "apply_rotary": [
        call(draw(3, 4), draw(3, 2), draw(3, 2)),
        call(draw(3, 4), draw(3, 2), draw(3, 2), True),
    ],
    "avg_pool2d": [call(draw(1, 4, 5), 2), call(draw(1, 4, 5), 3, 2, 1, True, False)],
    "channel_layer_norm": [call(draw(1, 5, 2, 2), draw(5), draw(5))],
    "conv2d": [
        call(draw(2, 3, 3), draw(3, 2, 2, 2), draw(3), padding=1),
        call(draw(2, 4, 4), draw(4, 1, 3, 2), draw(4), groups=2, padding=1),
        call(draw(4, 2, 3), draw(2, 2, 1, 1), groups=2),
    ],
    "conv3d": [call(draw(2, 2, 2, 3), draw(2, 1, 2, 1, 2), draw(2), padding=(1, 0, 0))],
    "conv_transpose2d": [
        call(draw(1, 2, 2, 2), draw(2, 3, 2, 1), draw(3), stride=2),
        call(draw(2, 3, 2), draw(2, 1, 2, 3), draw(2), groups=2),
    ],
    "gated_linear": [call(draw(2, 3), draw(4, 3), draw(4, 3))],
    "global_avg_pool2d": [call(draw(2, 3, 4))],
    "layer_norm": [
        call(draw(2, 5), (5,)),
        call(draw(2, 3, 2), (3, 2), draw(3, 2), draw(3, 2), eps=1e-3),
    ],
    "max_pool2d": [call(draw(1, 4, 5), 2), call(draw(1, 4, 5), 3, 2, 1, 1, True)],
    "pointwise_mlp": [
        call(draw(1, 2, 3, 2), draw(3, 2, 1, 1), draw(3), draw(2, 3, 1, 1), draw(2))
    ],
    "scaled_dot_product_attention": [
        call(see(3, 2), see(4, 2), see(4, 3)),
        call(see(3, 2), see(5, 2), see(5, 3), is_causal=True),
        call(see(2, 3, 2), see(1, 3, 2), see(1, 3, 2), enable_gqa=True),
        call(see(3, 2), see(4, 2), see(4, 3), np.tri(3, 4, 1, dtype=bool)),
        call(see(3, 2), see(4, 2), see(4, 3), see(3, 4)),
    ],
}


class Special(NamedTuple):
    """A call with something special in it: of which kind, in which argument, and of
    which of the calls."""

    kind: str
    where: str
    number: int
    args: tuple
    options: dict


def one_number(value):
    """In the middle."""

    def put(array):
        array = array.copy()
        array.reshape(-1)[array.size // 2] = value
        return array

    return put


def one_row(value):
    """The last one."""

    def put(array):
        array = array.copy()
        array[(-1,) * (array.ndim - 1)] = value
        return array

    return put


KINDS = {
    "nan": one_number(np.nan),
    "inf": one_number(np.inf),
    "-inf": one_number(-np.inf),
    "largest": one_number(LARGEST),
    "a row of -inf": one_row(-np.inf),
    "a row of nan": one_row(np.nan),
    "all of -inf": lambda array: np.full_like(array, -np.inf),
    "zeros": np.zeros_like,
}


def without(length, array):
    """The array with nothing along its axes of that length."""
    axes = [slice(0) if size == length else slice(None) for size in array.shape]
    return array[tuple(axes)]


def small_calls(name):
    """A few calls, none of them large: their leading axes are cut to 1."""
    if name in SMALL:
        return SMALL[name]
    calls = [cut_down(name, case) for case in CALLS[name]]
    sizes = [sum(array.size for array in arrays_of(case).values()) for case in calls]
    empty = [any(not a.size for a in arrays_of(case).values()) for case in calls]
    calls = [
        case
        for case, size, none in zip(calls, sizes, empty)
        if size <= MOST_NUMBERS and not none
    ]
    return calls[:MOST_CALLS]


def arrays_of(case):
    """place or name -> array."""
    given = {**dict(enumerate(case.args)), **case.options}
    return {key: a for key, a in given.items() if isinstance(a, np.ndarray)}


def changed(case, arrays):
    """The case with other arrays at some of its places."""
    args = tuple(arrays.get(place, value) for place, value in enumerate(case.args))
    options = {name: arrays.get(name, value) for name, value in case.options.items()}
    return case._replace(args=args, options=options)


def cut_down(name, case):
    """Its first sample, where the arrays have leading axes that broadcast."""
    contracts = getattr(ours(name), "contract", {}).values()
    if {each.leading for each in contracts} - {"", "..."}:
        return case
    arrays = arrays_of(case)
    for each in contracts:
        key = each.position if each.position in arrays else each.name
        if key in arrays and each.leading and each.names:
            leading = arrays[key].ndim - len(each.names)
            arrays[key] = arrays[key][(slice(1),) * leading]
    return changed(case, arrays)


def specials(name):
    """All that is asked of an operator."""
    names = list(inspect.signature(getattr(ops, name)).parameters)
    for number, case in enumerate(small_calls(name)):
        for key, array in arrays_of(case).items():
            where = names[key] if isinstance(key, int) else key
            if array.dtype.kind == "f" and array.ndim:
                for kind, put in KINDS.items():
                    yield Special(
                        kind, where, number, *changed(case, {key: put(array)})
                    )
            if number:
                continue
            if array.dtype.kind == "f" and array.ndim:
                alone = changed(case, {key: np.array(0.5)})
                yield Special("no axes", where, number, *alone)
            for axis, length in enumerate(array.shape):
                arrays = {k: without(length, a) for k, a in arrays_of(case).items()}
                empty = changed(case, arrays)
                if "normalized_shape" in names:
                    empty = normalized_as(empty)
                yield Special(f"no axis {axis}", where, number, *empty)


def normalized_as(case):
    """The shape that a norm is told has to be that of its array."""
    x, shape, *rest = case.args
    shape = x.shape[x.ndim - np.size(shape) :]
    return case._replace(args=(x, shape, *rest))
