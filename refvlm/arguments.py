"""Arguments that are not arrays: whole numbers and axes, refused by their names."""

from __future__ import annotations

import numpy as np


def is_whole(value) -> bool:
    """Whether value is a whole number; True and False are not."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def check_whole(function: str, least: int = 0, **numbers):
    """Refuse what is not a whole number of at least `least`.

    >>> check_whole("topk", least=1, k=0)
    Traceback (most recent call last):
    ValueError: topk: k must be a whole number of at least 1, not 0
    """
    for name, number in numbers.items():
        if not is_whole(number) or number < least:
            raise ValueError(
                f"{function}: {name} must be a whole number of at least {least}, "
                f"not {number!r:.60}"
            )


def check_axes(function: str, name: str, dim, array: str, shape, several=False):
    """Refuse a dim that is no axis of the array, nor, where several, a tuple of them.

    >>> check_axes("softmax", "dim", 2, "scores", (3, 5))
    Traceback (most recent call last):
    ValueError: softmax: dim is 2, but scores (3, 5) has 2 axes
    """
    axes = dim if several and isinstance(dim, tuple) else (dim,)
    if not all(map(is_whole, axes)):
        what = "a whole number or a tuple of them" if several else "a whole number"
        raise ValueError(f"{function}: {name} must be {what}, not {dim!r}")
    if not all(-len(shape) <= axis < len(shape) for axis in axes):
        raise ValueError(
            f"{function}: {name} is {dim}, but {array} {shape} has {len(shape)} axes"
        )
    if len({axis % len(shape) for axis in axes}) < len(axes):
        raise ValueError(f"{function}: {name} {dim} names an axis twice")
