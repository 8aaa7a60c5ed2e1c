r"""Sliding windows over the last axes of an array, and their adjoint.

Convolution, pooling and unfolding all look at an image through the same window.
`geometry` says how it walks, `windows` is that look, without a copy, and `overlap_add`
sends values back through it. All work for one, two or three axes.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from ..arguments import margins, per_axis
from ..shapes import ShapeError


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
    reach = tuple([d * (k - 1) + 1 for k, d in zip(kernel, dilation)])
    padded, out = [], []
    for n, r, s, (before, after) in zip(
        size, reach, stride, margins(padding, reach, stride, name)
    ):
        steps = (n + before + after - r) // s
        if ceil_mode:
            steps = -((r - n - before - after) // s)
            if steps * s >= n + before:  # a window that begins inside, or none
                steps -= 1
            after = max(after, steps * s + r - n - before)
        padded.append((before, after))
        out.append(steps + 1)
    if min(out) < 1:
        room = tuple(n + sum(p) for n, p in zip(size, padded))
        raise ShapeError(
            f"{name}: a window of {reach} does not fit into {room} (with padding)"
        )
    return Geometry(kernel, stride, tuple(padded), dilation, tuple(size), tuple(out))


def geometry_back(
    size,
    kernel,
    stride=1,
    padding=0,
    output_padding=0,
    dilation=1,
    name="geometry_back",
) -> Geometry:
    r"""The walk that leads to `size`, over axes of
    $n = (n_{out} - 1)s - 2p + d(k - 1) + 1 + q$.

    The output padding q says which is meant of the n that a stride takes to one size.
    """
    axes = len(size)
    kernel = per_axis(kernel, axes, f"{name}: kernel_size", least=1)
    stride = per_axis(stride, axes, f"{name}: stride", least=1)
    padding = per_axis(padding, axes, f"{name}: padding")
    extra = per_axis(output_padding, axes, f"{name}: output_padding")
    dilation = per_axis(dilation, axes, f"{name}: dilation", least=1)
    if any(q >= max(s, d) for q, s, d in zip(extra, stride, dilation)):
        raise ValueError(
            f"{name}: output_padding {extra} must be smaller than the stride {stride} "
            f"or the dilation {dilation}"
        )
    before = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + 1 + q
        for n, s, p, d, k, q in zip(size, stride, padding, dilation, kernel, extra)
    )
    if min(before) < 1:
        raise ShapeError(f"{name}: padding {padding} leaves nothing of {tuple(size)}")
    # With q >= s (where d > s) the walk could take a step more: it stops at `size`.
    walk = geometry(before, kernel, stride, padding, dilation, name=name)
    return walk._replace(out=tuple(size))


def pad(x, walk: Geometry, value=0.0):
    """x with its last axes padded; x itself where there is nothing to pad."""
    if not any(map(any, walk.padding)):
        return x
    lead = x.shape[: x.ndim - len(walk.size)]
    room = [n + sum(p) for n, p in zip(walk.size, walk.padding)]
    inside = tuple(slice(p[0], p[0] + n) for n, p in zip(walk.size, walk.padding))
    padded = np.full((*lead, *room), value, x.dtype)
    padded[(slice(None),) * len(lead) + inside] = x
    return padded


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


def overlap_add(columns, walk: Geometry):
    """The adjoint of `windows`: each entry is added back to where it was read."""
    lead = columns.shape[: columns.ndim - 2 * len(walk.size)]
    room = [n + sum(p) for n, p in zip(walk.size, walk.padding)]
    inside = tuple(slice(p[0], p[0] + n) for n, p in zip(walk.size, walk.padding))
    total = np.zeros((*lead, *room), columns.dtype)
    ahead = (slice(None),) * len(lead)
    for tap, places in taps(walk):
        total[ahead + places] += columns[ahead + tap]
    return total[ahead + inside]
