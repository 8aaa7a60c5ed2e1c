r"""Rounding that a network can learn under: a staircase forward, a ramp backward.

    value      s (clip(round(x (1/s)) + z, q_min, q_max) - z)    flat between its steps
    gradient   1 inside the range, 0 outside                     that of clip alone

The true derivative of a staircase is zero wherever there is one, and nothing would be
learnt from it. The straight-through estimator takes the rounding for the identity on
the way back, and keeps the derivative of what can have one: of the clipping, and in LSQ
of the size of the step itself.
"""

from __future__ import annotations

import math

import numpy as np

from ..autodiff import differentiable, unbroadcast
from ..kernels.code_geometry import along
from ..shapes import shapes
from . import demands


@differentiable
@shapes(
    demands.numbers_are_finite,
    demands.levels_are_a_range,
    demands.one_step_for_each,
    demands.steps_have_a_size,
    demands.zero_is_a_level,
    x="...",
    axis="axis of x",
    returns="...",
)
def fake_quantize(x, scale, zero_point, quant_min, quant_max, axis=None):
    r"""The number that is left of x on a grid: $\tilde x = s\,(q - z)$ with
    $q = \operatorname{clip}(\operatorname{round}(x \cdot \tfrac1s) + z,\, q_\min,\,
    q_\max)$.

    quantize_linear and dequantize_linear in one, in floating numbers throughout; but
    PyTorch, which this follows, multiplies by 1/s where ONNX divides. In the middle
    between two levels the two may take another one: of -2.25 in steps of 0.3 in float32
    this leaves -2.4, the other -2.1. scale and zero_point are one number, or one for
    each index along `axis`.

    Source: [Cortes] 9.5, [Jacob2018]. Oracle: torch.fake_quantize_per_tensor_affine,
    torch.fake_quantize_per_channel_affine.

    >>> fake_quantize(np.array([-9.0, 0.2, 0.3, 0.75, 9.0]), 0.5, 0, -2, 2)
    array([-1. ,  0. ,  0.5,  1. ,  1. ])
    """
    scale, zero_point = _beside(x, axis, scale, zero_point)
    levels = _levels(x, scale, zero_point)
    return (np.clip(levels, quant_min, quant_max) - zero_point) * scale


@fake_quantize.vjp
def fake_quantize_vjp(d_out, x, scale, zero_point, quant_min, quant_max, axis):
    r"""Straight through, where nothing was clipped: $\bar x = \bar y$ where
    $q_\min \le \operatorname{round}(x \cdot \tfrac1s) + z \le q_\max$, and 0 elsewhere.

    The range reaches half a step beyond its last levels: what is rounded into it is in
    it. Steps and zero points are given, not learnt: they have no gradient here.
    """
    levels = _levels(x, *_beside(x, axis, scale, zero_point))
    return np.where((levels >= quant_min) & (levels <= quant_max), d_out, 0)


def _levels(x, scale, zero_point):
    """On which level each number would be, were there levels enough."""
    return np.rint(x * (1 / scale)) + zero_point


def _beside(x, axis, *numbers):
    """Steps and zero points in the dtype of x, in a shape that broadcasts along it."""
    return [along(np.asarray(each, x.dtype), x.shape, axis) for each in numbers]


@differentiable
@shapes(
    demands.each_with_its_rounding,
    x="...",
    rounded="...",
    returns="...",
    as_stored=True,
)
def straight_through(x, rounded):
    r"""What was rounded, as if it had not been: the value of `rounded`, the gradient of
    x.

    Any rounding becomes learnable by it: a code book, a sign, three values. As a line
    of PyTorch it is `x + (rounded - x).detach()`, which rounds twice more on the way;
    here the value is `rounded` to the bit.

    Source: [Cortes] 9.5, [MicroVLM-V] 8, [Bengio2013].
    Oracle: x + (rounded - x).detach().

    >>> from refvlm.autodiff import grad
    >>> signs = np.array([1.0, -1.0])
    >>> grad(lambda x: straight_through(x, signs).sum())(np.array([0.2, -3.0]))
    array([1., 1.])
    """
    return rounded


@straight_through.vjp
def straight_through_vjp(d_out, rounded):
    r"""$\bar x = \bar y$, and nothing to `rounded`, however it was computed: a scale
    that was taken from x on the way there does not learn in secret."""
    return d_out, np.zeros_like(rounded)


@differentiable
@shapes(
    demands.numbers_are_finite,
    demands.levels_are_a_range,
    demands.one_step_for_each,
    demands.steps_have_a_size,
    demands.zero_and_factor_are_finite,
    x="...",
    scale="...s",
    zero_point="...z of numbers",
    axis="axis of x",
    returns="...",
)
def learnable_fake_quantize(
    x, scale, zero_point, quant_min, quant_max, axis=None, grad_factor=1.0
):
    r"""`fake_quantize` whose steps are learnt: $\tilde x = s\,(q - z)$.

    scale and zero_point are arrays of one number, or of one for each index along
    `axis`, and have gradients, multiplied by grad_factor (`step_grad_factor`: the step
    is one number with the gradients of many). A zero point between two levels is
    rounded, and one beyond the range counts as its end.

    Source: [Esser2020], which has no zero point. Oracle:
    torch._fake_quantize_learnable_per_channel_affine, and ..._per_tensor_affine where
    no zero point is negative: of those PyTorch 2.13 takes another level backward
    (-1 for -2) than forward.

    >>> x, step = np.array([-9.0, 0.2, 0.3, 9.0]), np.array(0.5)
    >>> learnable_fake_quantize(x, step, np.array(0), -2, 1)
    array([-1. ,  0. ,  0.5,  0.5])
    """
    zero_point = np.clip(np.rint(zero_point), quant_min, quant_max)
    scale, zero_point = _beside(x, axis, scale, zero_point)
    levels = _levels(x, scale, zero_point)
    return (np.clip(levels, quant_min, quant_max) - zero_point) * scale


@learnable_fake_quantize.vjp
def learnable_fake_quantize_vjp(
    d_out, x, scale, zero_point, quant_min, quant_max, axis, grad_factor
):
    r"""To x as without learning. To the step, with the rounding as the identity:
    $\partial\tilde x/\partial s = (\tilde x - x)/s$ inside the range and
    $q - z$ at the end where it was clipped: a step learns from both kinds of error.
    To the zero point: $-s$ where it was clipped, since inside it cancels.
    """
    zeros = np.clip(np.rint(zero_point), quant_min, quant_max)
    step, zero = _beside(x, axis, scale, zeros)
    levels = _levels(x, step, zero)
    inside = (levels >= quant_min) & (levels <= quant_max)
    on_grid = np.clip(levels, quant_min, quant_max) - zero
    d_step = d_out * np.where(inside, on_grid - x * (1 / step), on_grid)
    d_zero = d_out * np.where(inside, 0, -step)
    return (
        np.where(inside, d_out, 0),
        grad_factor * unbroadcast(d_step, step.shape).reshape(scale.shape),
        grad_factor * unbroadcast(d_zero, step.shape).reshape(np.shape(zero_point)),
    )


def step_grad_factor(count, quant_max):
    r"""What keeps a step from running ahead of the weights that share it:
    $g = 1/\sqrt{n\,q_\max}$, with n numbers for each step.

    Source: [Esser2020] 2.2.

    >>> step_grad_factor(64, 4)
    0.0625
    """
    demands.a_count_and_levels("step_grad_factor", count, quant_max)
    return 1 / math.sqrt(count * quant_max)


@shapes(demands.numbers_to_begin_with, x="...", axis="axis of x", as_stored=True)
def first_step(x, quant_max, axis=None):
    r"""Where a step may begin to learn: $s_0 = 2\,\overline{|x|}/\sqrt{q_\max}$, over
    all of x or over each index along `axis`.

    Source: [Esser2020] 2.1.

    >>> first_step(np.array([-3.0, 1.0]), 4)
    array(2.)
    """
    others = tuple(i for i in range(x.ndim) if axis is None or i != axis % x.ndim)
    size = np.abs(x).mean(others, dtype=np.float64)
    step = np.maximum(2 * size / math.sqrt(quant_max), np.finfo(np.float32).tiny)
    return np.asarray(step, x.dtype)
