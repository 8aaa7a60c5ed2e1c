r"""Sliding windows over the last axes of an array, and their adjoint.

Convolution, pooling and unfolding all look at an image through the same window.
`windows` is that look, without a copy; `overlap_add` sends values back through it.
Both work for one, two or three axes.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from ..arguments import is_whole
from ..shapes import ShapeError


def per_axis(value, axes: int, name: str, least: int = 0) -> tuple[int, ...]:
    """A number or a tuple, one of at least `least` for each axis: 2 -> (2, 2)."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if len(values) == 1:
        values *= axes
    if len(values) != axes or not all(map(is_whole, values)):
        raise ValueError(f"{name} must be a whole number or {axes} of them: {value!r}")
    if min(values) < least:
        raise ValueError(f"{name} must be at least {least}: {value!r}")
    return tuple(int(v) for v in values)


class Geometry(NamedTuple):
    r"""How a window walks: $n_{out} = \lfloor (n + 2p - d(k-1) - 1) / s \rfloor + 1$.

    One tuple of sizes for each quantity, with one entry for each axis walked; the
    padding is (before, after).
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    size: tuple[int, ...]
    out: tuple[int, ...]


def geometry(
    size, kernel, stride=1, padding=0, dilation=1, ceil_mode=False, name="geometry"
) -> Geometry:
    """The walk of a window of `kernel` over axes of `size`.

    `padding` is a number, one for each axis, pairs (before, after), "valid" or
    "same" (as much as keeps the size; stride 1 only; an odd one goes after).
    With `ceil_mode` a last window may lie partly outside: padding is added for it.
    `name` is the function that errors speak of.
    """
    axes = len(size)
    kernel = per_axis(kernel, axes, f"{name}: kernel_size", least=1)
    stride = per_axis(stride, axes, f"{name}: stride", least=1)
    dilation = per_axis(dilation, axes, f"{name}: dilation", least=1)
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
    padding = _padding(padding, reach, stride, name)
    if ceil_mode:
        padding = tuple(map(_room_for_last, size, padding, reach, stride))
    out = tuple(
        (n + before + after - r) // s + 1
        for n, (before, after), r, s in zip(size, padding, reach, stride)
    )
    if min(out) < 1:
        padded = tuple(n + sum(p) for n, p in zip(size, padding))
        raise ShapeError(
            f"{name}: a window of {tuple(reach)} does not fit into {padded} "
            "(with padding)"
        )
    return Geometry(kernel, stride, padding, dilation, tuple(size), out)


def _padding(padding, reach, stride, name):
    if padding == "valid":
        return tuple((0, 0) for _ in reach)
    if padding == "same":
        if any(s != 1 for s in stride):
            raise ValueError(f'{name}: padding "same" needs stride 1, not {stride}')
        return tuple(((r - 1) // 2, r - 1 - (r - 1) // 2) for r in reach)
    if isinstance(padding, str):
        raise ValueError(
            f'{name}: padding is a number, "same" or "valid", not {padding!r}'
        )
    if isinstance(padding, tuple) and any(isinstance(p, tuple) for p in padding):
        if len(padding) != len(reach):
            raise ValueError(f"{name}: padding is a pair for each axis: {padding}")
        return tuple(per_axis(pair, 2, f"{name}: padding") for pair in padding)
    return tuple((p, p) for p in per_axis(padding, len(reach), f"{name}: padding"))


def _room_for_last(n, padding, reach, stride):
    """More padding after, where a last window begins inside and ends outside."""
    before, after = padding
    last = -(-(n + before + after - reach) // stride) * stride
    if last >= n + before:
        last -= stride
    return before, max(after, last + reach - n - before)


def pad(x, walk: Geometry, value=0.0):
    """x with its last axes padded; x itself where there is nothing to pad."""
    if not any(map(any, walk.padding)):
        return x
    lead = x.ndim - len(walk.size)
    shape = x.shape[:lead] + tuple(n + sum(p) for n, p in zip(walk.size, walk.padding))
    padded = np.full(shape, value, x.dtype)
    padded[_inside(walk, lead)] = x
    return padded


def _inside(walk, lead):
    return (slice(None),) * lead + tuple(
        slice(before, before + n) for n, (before, _) in zip(walk.size, walk.padding)
    )


def unpad(padded, walk: Geometry):
    """What `pad` put inside: the view of the last axes without their padding."""
    return padded[_inside(walk, padded.ndim - len(walk.size))]


def windows(x, walk: Geometry, value=0.0):
    """A view (..., *kernel, *out): entry [u, v, i, j] is x[i s + u d, j s + v d]."""
    padded = pad(x, walk, value)
    lead = x.ndim - len(walk.size)
    strides = padded.strides[lead:]
    return np.lib.stride_tricks.as_strided(
        padded,
        x.shape[:lead] + walk.kernel + walk.out,
        padded.strides[:lead]
        + tuple(d * step for d, step in zip(walk.dilation, strides))
        + tuple(s * step for s, step in zip(walk.stride, strides)),
        writeable=False,
    )


def taps(walk: Geometry):
    """(tap, places): each entry of the kernel and, as slices of the padded axes,
    all that it looks at while the window walks.

    A loop over the few taps of a kernel, in place of one over the many windows.
    """
    for tap in itertools.product(*map(range, walk.kernel)):
        yield (
            tap,
            tuple(
                slice(u * d, u * d + s * (n - 1) + 1, s)
                for u, d, s, n in zip(tap, walk.dilation, walk.stride, walk.out)
            ),
        )


def padded_zeros(lead, walk: Geometry, dtype):
    """Zeros (*lead, *padded axes), to add into tap by tap; then `unpad`."""
    size = (n + sum(p) for n, p in zip(walk.size, walk.padding))
    return np.zeros((*lead, *size), dtype)


def overlap_add(columns, walk: Geometry):
    """The adjoint of `windows`: each entry is added back to where it was read."""
    lead = columns.shape[: columns.ndim - 2 * len(walk.size)]
    total = padded_zeros(lead, walk, columns.dtype)
    ahead = (slice(None),) * len(lead)
    for tap, places in taps(walk):
        total[ahead + places] += columns[ahead + tap]
    return unpad(total, walk)
