r"""How far a feature sees: its receptive field by counting, and by measuring.

Counting follows the kernels and strides and says which pixels *could* matter.
Measuring asks the derivative which pixels *do*, and how much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ..autodiff import grad


def receptive_fields(layers: Iterable[tuple[int, ...]]) -> list[int]:
    r"""Pixels across that one feature can see, after each layer:
    $r_l = r_{l-1} + d_l (k_l - 1) \prod_{i<l} s_i$, from $r_0 = 1$.

    A layer is (kernel_size, stride) or (kernel_size, stride, dilation). The product
    of strides is the step between neighbouring features, in pixels of the picture.

    Source: [Foundations] limitations; [Kamath] receptive field.
    Oracle: `influence`, the support of the gradient.

    >>> receptive_fields([(3, 1), (3, 2), (3, 1)])
    [3, 5, 9]
    """
    fields, seen, step = [], 1, 1
    for layer in layers:
        kernel, stride, *dilation = map(int, layer)  # NumPy's overflow
        seen += (dilation[0] if dilation else 1) * (kernel - 1) * step
        step *= stride
        fields.append(seen)
    return fields


def influence(function: Callable, x, place: tuple[int, int] | None = None):
    r"""How much each pixel moves one feature:
    $\sum_c |\partial y_{i,j} / \partial x_c|$.

    function takes x (c, h, w) to (c', h', w'); its channels at `place` (the middle,
    unless given) are added up. The result is (h, w): zero outside the receptive
    field, and inside it the effective one.

    Source: [Kamath] receptive field. Oracle: torch.autograd.
    """

    def feature(x):
        out = function(x)
        row, column = place or (out.shape[-2] // 2, out.shape[-1] // 2)
        return out[..., row, column].sum()

    return np.abs(grad(feature)(x)).sum(axis=-3)
