r"""Activations: the bends between linear maps, each applied to every number alone.

The smooth ones multiply $x$ by a gate between 0 and 1: a logistic curve (SiLU), the
normal distribution's (GELU), or a ramp (hard swish). All are written so that no
intermediate overflows and both tails keep their digits.
"""

from __future__ import annotations

import math
from numbers import Real

import numpy as np

from ..autodiff import differentiable, unbroadcast
from ..shapes import ShapeError, shapes
from .special import normal_cdf, normal_pdf, times_normal_cdf

FAR = 24.0  # from here on every gate is 0 or 1 in float64: its argument may stop


@differentiable
@shapes(x="... of numbers", returns="...")
def relu(x):
    r"""What is positive passes: $y = \max(0, x)$.

    Source: [Foundations] convolutional networks. Oracle: torch.nn.functional.relu.

    >>> relu(np.array([-2.0, 3.0]))
    array([0., 3.])
    """
    return np.maximum(x, 0)


@relu.vjp
def relu_vjp(d_out, out):
    r"""$\bar x = \bar y$ where $x > 0$, else 0; at the corner 0 is a choice, the
    usual one."""
    return np.where(out > 0, d_out, 0)


@differentiable
@shapes(x="...", returns="...")
def sigmoid(x):
    r"""The logistic curve: $\sigma(x) = 1/(1 + e^{-x})$.

    Computed as $\max(e^{-|x|}, [x \ge 0]) / (1 + e^{-|x|})$: the same number, and the
    exponential stays between 0 and 1, so that neither tail overflows or cancels.

    Source: [Cortes] 5.5. Oracle: torch.sigmoid.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    decay = np.abs(x, out=np.empty_like(x))
    np.negative(decay, out=decay)
    np.exp(decay, out=decay)
    out = np.maximum(decay, x >= 0)
    decay += 1
    out /= decay
    return out


@sigmoid.vjp
def sigmoid_vjp(d_out, out):
    r"""$\sigma' = \sigma\,(1 - \sigma)$."""
    return d_out * out * (1 - out)


@differentiable
@shapes(x="...", returns="...")
def tanh(x):
    r"""A sigmoid from -1 to 1: $\tanh x = 2\,\sigma(2x) - 1$.

    Source: [Foundations] recurrent networks. Oracle: torch.tanh.

    >>> tanh(np.array([0.0, 100.0]))
    array([0., 1.])
    """
    return np.tanh(x)


@tanh.vjp
def tanh_vjp(d_out, out):
    r"""$\tanh' = 1 - \tanh^2$."""
    return d_out * (1 - out * out)


@differentiable
@shapes(x="...", returns="...")
def silu(x):
    r"""A soft ReLU: $y = x\,\sigma(x)$.

    Source: [MicroVLM-V] 3 (SwiGLU). Oracle: torch.nn.functional.silu.

    >>> silu(np.array([-100.0, 0.0, 100.0])).round(3)
    array([ -0.,   0., 100.])
    """
    out = sigmoid(x)
    out *= x
    return out


@silu.vjp
def silu_vjp(d_out, x):
    r"""$y' = \sigma + x\,\sigma(1 - \sigma)$."""
    gate = sigmoid(x)
    return d_out * gate * (1 + x * (1 - gate))


@differentiable
@shapes(x="...", returns="...")
def swish(x, beta=1.0):
    r"""SiLU with a temperature: $y = x\,\sigma(\beta x)$.

    beta is a number, or an array that broadcasts to x and may be learnt. 0 gives
    $x/2$, 1 SiLU, and the limit of large beta is ReLU.

    Source: [MicroVLM-V] 3. Oracle: x * torch.sigmoid(beta * x).

    >>> swish(np.array([-1.0, 1.0]), beta=0.0)
    array([-0.5,  0.5])
    """
    return x * sigmoid(_sharpened(x, beta))


@swish.vjp
def swish_vjp(d_out, x, beta):
    r"""$\partial y/\partial x = \sigma + \beta x\,\sigma(1-\sigma)$ and
    $\partial y/\partial\beta = x^2\,\sigma(1-\sigma)$, at $\beta x$."""
    gate = sigmoid(_sharpened(x, beta))
    slope = gate * (1 - gate)
    d_x = d_out * (gate + beta * x * slope)
    if not isinstance(beta, np.ndarray):
        return d_x
    return d_x, unbroadcast(d_out * x * x * slope, beta.shape)


def _sharpened(x, beta):
    """beta x, once beta is known to be a number or to broadcast to x."""
    beta = float(beta) if isinstance(beta, Real) else beta
    try:
        sharpened = np.multiply(beta, x)
    except (TypeError, ValueError):
        sharpened = None
    if sharpened is None or sharpened.shape != x.shape:
        given = beta.shape if isinstance(beta, np.ndarray) else repr(beta)
        raise ShapeError(
            f"swish: beta {given} is no number and does not broadcast to x {x.shape}"
        )
    return sharpened


@differentiable
@shapes(x="...", returns="...")
def hardsigmoid(x):
    r"""A ramp instead of a curve: $y = \min(\max(x + 3, 0), 6) / 6$.

    No exponential, for small machines. Source: [Howard2019].
    Oracle: torch.nn.functional.hardsigmoid.

    >>> hardsigmoid(np.array([-4.0, 0.0, 1.5, 4.0]))
    array([0.  , 0.5 , 0.75, 1.  ])
    """
    out = np.clip(x + 3, 0, 6)
    out /= 6
    return out


@hardsigmoid.vjp
def hardsigmoid_vjp(d_out, x):
    r"""$y' = 1/6$ on the ramp, where $|x| < 3$, and 0 beside it."""
    return np.where(np.abs(x) < 3, d_out / 6, 0)


@differentiable
@shapes(x="...", returns="...")
def hardswish(x):
    r"""SiLU with the ramp as its gate: $y = x \min(\max(x + 3, 0), 6) / 6$.

    Source: [Howard2019]. Oracle: torch.nn.functional.hardswish.

    >>> hardswish(np.array([-4.0, 0.0, 1.0, 4.0])).round(3)
    array([-0.   ,  0.   ,  0.667,  4.   ])
    """
    out = hardsigmoid(x)
    out *= x
    return out


@hardswish.vjp
def hardswish_vjp(d_out, x):
    r"""$y' = x/3 + 1/2$ where $|x| < 3$; beside it 0 on the left, 1 on the right."""
    slope = np.where(np.abs(x) < 3, x / 3 + 0.5, x > 0)
    return d_out * slope.astype(d_out.dtype, copy=False)


@differentiable
@shapes(x="...", returns="...")
def gelu(x, approximate="none"):
    r"""x times the share of a normal distribution that lies below x:
    $y = x\,\Phi(x) = \frac{x}{2}\bigl(1 + \operatorname{erf}(x/\sqrt 2)\bigr)$.

    approximate="tanh" is the older form $\frac{x}{2}(1 + \tanh u)$ with
    $u = \sqrt{2/\pi}\,(x + 0.044715\,x^3)$, which GPT-2 was trained with; it is
    computed as the equal $x\,\sigma(2u)$, and nowhere 5e-4 from the exact one.

    Source: [Cortes] 2.1. Oracle: torch.nn.functional.gelu.

    >>> gelu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """
    if _is_exact(approximate):
        return times_normal_cdf(x)
    out, _ = _tanh_gate(x)
    out *= x
    return out


@gelu.vjp
def gelu_vjp(d_out, x, approximate):
    r"""$y' = \Phi(x) + x\,\varphi(x)$, with $\varphi$ the normal density; of the other
    form $\sigma + x\,\sigma(1-\sigma)\,2u'$, at $2u$."""
    near = np.clip(x, -FAR, FAR)
    if _is_exact(approximate):
        return d_out * (normal_cdf(x) + near * normal_pdf(near))
    gate, slope = _tanh_gate(near)
    return d_out * (gate + near * gate * (1 - gate) * slope)


def _is_exact(approximate):
    if approximate not in ("none", "tanh"):
        raise ValueError(f'gelu: approximate is "none" or "tanh", not {approximate!r}')
    return approximate == "none"


def _tanh_gate(x):
    """(1 + tanh u) / 2 and the derivative of 2u."""
    near, factor = np.clip(x, -FAR, FAR), math.sqrt(8 / math.pi)
    square = near * near
    gate = sigmoid(factor * near * (1 + 0.044715 * square))
    return gate, factor * (1 + 3 * 0.044715 * square)
