r"""Activations: the bends between linear maps, each applied to every number alone.

The smooth ones multiply $x$ by a gate between 0 and 1: a logistic curve (SiLU), the
normal distribution's (GELU), or a ramp (hard swish). All are written so that no
intermediate overflows and both tails keep their digits.
"""

from __future__ import annotations

import math

import numpy as np

from ..autodiff import differentiable, unbroadcast
from ..kernels import computed_by, gates, normal_tail
from ..shapes import shapes
from . import demands
from .special import normal_cdf, normal_pdf

FAR = 24.0  # from here on every gate is 0 or 1 in float64: its argument may stop


@differentiable
@shapes(x="... of numbers", returns="...", as_stored=True)
def relu(x):
    r"""What is positive passes: $y = \max(0, x)$.

    Source: [Foundations] convolutional networks. Oracle: torch.nn.functional.relu.

    >>> relu(np.array([-2.0, 3.0]))
    array([0., 3.])
    """
    return np.maximum(x, 0)


@relu.vjp
def relu_vjp(d_out, out):
    r"""$\bar x = \bar y$, and 0 where $x \le 0$; at the corner 0 is a choice, the
    usual one."""
    return np.where(out <= 0, 0, d_out)


@differentiable
@shapes(x="...", returns="...")
@computed_by(gates.sigmoid)
def sigmoid(x):
    r"""The logistic curve: $\sigma(x) = 1/(1 + e^{-x})$.

    Computed as $\max(e^{-|x|}, [x \ge 0]) / (1 + e^{-|x|})$: the same number, and the
    exponential stays between 0 and 1, so that neither tail overflows or cancels.

    Source: [Cortes] 5.5. Oracle: torch.sigmoid.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    decay = np.exp(-np.abs(x))
    return np.maximum(decay, x >= 0) / (1 + decay)


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
@computed_by(gates.silu)
def silu(x):
    r"""A soft ReLU: $y = x\,\sigma(x)$.

    Source: [MicroVLM-V] 3 (SwiGLU). Oracle: torch.nn.functional.silu.

    >>> silu(np.array([-100.0, 0.0, 100.0])).round(3)
    array([ -0.,   0., 100.])
    """
    return x * sigmoid(x)


@silu.vjp
@computed_by(gates.silu_vjp)
def silu_vjp(d_out, x):
    r"""$y' = \sigma + x\,\sigma(1 - \sigma)$."""
    gate = sigmoid(x)
    return d_out * gate * (1 + x * (1 - gate))


@differentiable
@shapes(demands.beta_that_fits, x="...", returns="...")
def swish(x, beta=1.0):
    r"""SiLU with a temperature: $y = x\,\sigma(\beta x)$.

    beta is a number, or an array that broadcasts to x and may be learnt. 0 gives
    $x/2$, 1 SiLU, and the limit of large beta is ReLU.

    Source: [MicroVLM-V] 3. Oracle: x * torch.sigmoid(beta * x).

    >>> swish(np.array([-1.0, 1.0]), beta=0.0)
    array([-0.5,  0.5])
    """
    return x * sigmoid(beta * x)


@swish.vjp
def swish_vjp(d_out, x, beta):
    r"""$\partial y/\partial x = \sigma + \beta x\,\sigma(1-\sigma)$ and
    $\partial y/\partial\beta = x^2\,\sigma(1-\sigma)$, at $\beta x$."""
    gate = sigmoid(beta * x)
    slope = gate * (1 - gate)
    d_x = d_out * (gate + beta * x * slope)
    if not isinstance(beta, np.ndarray):
        return d_x
    return d_x, unbroadcast(d_out * x * x * slope, beta.shape)


@differentiable
@shapes(x="...", returns="...")
def hardsigmoid(x):
    r"""A ramp instead of a curve: $y = \min(\max(x + 3, 0), 6) / 6$.

    No exponential, for small machines. Source: [Howard2019].
    Oracle: torch.nn.functional.hardsigmoid.

    >>> hardsigmoid(np.array([-4.0, 0.0, 1.5, 4.0]))
    array([0.  , 0.5 , 0.75, 1.  ])
    """
    return np.clip(x + 3, 0, 6) / 6


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
    return x * hardsigmoid(x)


@hardswish.vjp
def hardswish_vjp(d_out, x):
    r"""$y' = x/3 + 1/2$ where $|x| < 3$; beside it 0 on the left, 1 on the right."""
    return d_out * np.where(np.abs(x) >= 3, x > 0, x / 3 + 0.5)


@differentiable
@shapes(demands.a_form_of_gelu, x="...", returns="...")
@computed_by(normal_tail.gelu)
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
    if approximate == "tanh":
        return x * sigmoid(2 * tanh_argument(x))
    return x * normal_cdf(x)


@gelu.vjp
@computed_by(normal_tail.gelu_vjp)
def gelu_vjp(d_out, x, approximate):
    r"""$y' = \Phi(x) + x\,\varphi(x)$, with $\varphi$ the normal density; of the other
    form $\sigma + x\,\sigma(1-\sigma)\,2u'$, at $2u$."""
    if approximate == "tanh":
        gate, near = sigmoid(2 * tanh_argument(x)), np.clip(x, -FAR, FAR)
        slope = 2 * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * near**2)
        return d_out * (gate + x * gate * (1 - gate) * slope)
    return d_out * (normal_cdf(x) + x * normal_pdf(x))


def tanh_argument(x):
    r"""$u = \sqrt{2/\pi}\,(x + 0.044715\,x^3)$, of an x whose cube is finite."""
    near = np.clip(x, -FAR, FAR)
    return math.sqrt(2 / math.pi) * (near + 0.044715 * near**3)
