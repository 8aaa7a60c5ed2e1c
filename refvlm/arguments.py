"""Arguments that are not arrays: whole numbers, axes and paddings, refused by name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Set
from numbers import Real
from typing import TypeGuard

import numpy as np


def is_whole(value) -> TypeGuard[int]:
    """Whether value is a whole number, NumPy's too; True and False are not."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_number(value) -> TypeGuard[float]:
    """Whether value is one real number, NumPy's too."""
    return isinstance(value, Real)


def check_whole(function: str, least: int = 0, most: float = np.inf, **numbers):
    """Refuse what is not a whole number of at least `least`, and at most `most`.

    >>> check_whole("topk", least=1, k=0)
    Traceback (most recent call last):
    ValueError: topk: k must be a whole number of at least 1, not 0
    """
    for name, number in numbers.items():
        if not is_whole(number) or not least <= number <= most:
            bound = "" if most == np.inf else f" and at most {most}"
            raise ValueError(
                f"{function}: {name} must be a whole number of at least {least}"
                f"{bound}, not {number!r:.60}"
            )


def check_generator(function: str, rng, otherwise: str = "") -> None:
    """Refuse what is no generator of noise; `otherwise` says what else would do.

    >>> check_generator("draw", 0)
    Traceback (most recent call last):
    ValueError: draw: rng must be a numpy.random.Generator, not int
    """
    if not isinstance(rng, np.random.Generator):
        others = f" {otherwise}," if otherwise else ""
        raise ValueError(
            f"{function}: rng must be a numpy.random.Generator,{others} not "
            f"{type(rng).__name__}"
        )


def several(function: str, name: str, items) -> list:
    """A list of what was given as several: a list, a tuple, a generator, a batch.

    One thing alone is easily given by mistake, and many can be walked through: a text
    by its letters, a picture by its rows.

    >>> several("answers", "pictures", (picture for picture in ("a.png", "b.png")))
    ['a.png', 'b.png']
    >>> several("answers", "pictures", "a.png")
    Traceback (most recent call last):
    ValueError: answers: pictures is a list, even of one, [picture], not one str alone
    """
    alone = isinstance(items, (str, bytes, bytearray, os.PathLike, Mapping, Set))
    rows = isinstance(items, np.ndarray) and not (
        items.ndim == 4 or (items.ndim == 1 and items.dtype.kind in "OUS")
    )
    if alone or rows or hasattr(items, "read") or not isinstance(items, Iterable):
        what = f"an array of shape {items.shape}" if rows else type(items).__name__
        raise ValueError(
            f"{function}: {name} is a list, even of one, [{name[:-1]}], not "
            f"{what if rows else f'one {what}'} alone"
        )
    return list(items)


def per_axis(value, axes: int, name: str, least: int = 0) -> tuple[int, ...]:
    """A number or a tuple, one of at least `least` for each axis.

    >>> per_axis(2, axes=2, name="conv2d: stride")
    (2, 2)
    """
    if type(value) is int and value >= least:
        return (value,) * axes
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if len(values) == 1:
        values *= axes
    if len(values) != axes or not all(map(is_whole, values)):
        raise ValueError(f"{name} must be a whole number or {axes} of them: {value!r}")
    if min(values) < least:
        raise ValueError(f"{name} must be at least {least}: {value!r}")
    return tuple([int(v) for v in values])


def margins(padding, reach, stride, function: str) -> tuple[tuple[int, int], ...]:
    """A padding as (before, after) for each axis, for a window of `reach`.

    It is a number, one for each axis, a pair for each axis, "valid" for none, or "same"
    for as much as keeps the size.

    >>> margins("same", reach=(3, 4), stride=(1, 1), function="conv2d")
    ((1, 1), (1, 2))
    """
    if isinstance(padding, str) and padding == "same":
        if any(s != 1 for s in stride):
            raise ValueError(
                f'{function}: padding "same" needs stride 1, not {tuple(stride)}'
            )
        return tuple([((r - 1) // 2, r // 2) for r in reach])
    if isinstance(padding, str) and padding != "valid":
        raise ValueError(
            f'{function}: padding is a number, "same" or "valid", not {padding!r}'
        )
    padding = 0 if isinstance(padding, str) else padding
    if isinstance(padding, tuple) and any(isinstance(p, tuple) for p in padding):
        if len(padding) != len(reach):
            raise ValueError(f"{function}: padding is a pair for each axis: {padding}")
        pairs = [per_axis(pair, 2, f"{function}: padding") for pair in padding]
        return tuple([(before, after) for before, after in pairs])
    widths = per_axis(padding, len(reach), f"{function}: padding")
    return tuple([(width, width) for width in widths])


def check_axes(function: str, name: str, dim, array: str, shape, several=False):
    """Refuse a dim that is no axis of the array, nor, where several, a tuple of them.

    A number without axes counts as having one, as in PyTorch.

    >>> check_axes("softmax", "dim", 2, "scores", (3, 5))
    Traceback (most recent call last):
    ValueError: softmax: dim is 2, but scores (3, 5) has 2 axes
    """
    axes = dim if several and isinstance(dim, tuple) else (dim,)
    if not all(map(is_whole, axes)):
        what = "a whole number or a tuple of them" if several else "a whole number"
        raise ValueError(f"{function}: {name} must be {what}, not {dim!r}")
    if not axes:
        raise ValueError(f"{function}: {name} is () and names no axis, nor all of them")
    count = len(shape) or 1
    if not all(-count <= axis < count for axis in axes):
        raise ValueError(
            f"{function}: {name} is {dim}, but {array} {shape} has {len(shape)} axes"
        )
    if len({axis % count for axis in axes}) < len(axes):
        raise ValueError(f"{function}: {name} {dim} names an axis twice")
