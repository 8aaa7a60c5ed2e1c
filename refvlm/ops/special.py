r"""Special functions: the area under the bell curve.

$$\operatorname{erf}(x) = \frac{2}{\sqrt\pi} \int_0^x e^{-t^2} dt, \qquad
\Phi(x) = \tfrac12 \bigl(1 + \operatorname{erf}(x / \sqrt 2)\bigr).$$

NumPy has neither; Python's standard library has erf, for one number at a time. How a
model has $\Phi$ half a billion times for one picture is in `kernels/normal_tail.py`.
"""

from __future__ import annotations

import math

import numpy as np

from ..autodiff import differentiable
from ..shapes import shapes


@differentiable
@shapes(x="...", returns="...")
def erf(x):
    r"""The error function:
    $\operatorname{erf}(x) = \frac{2}{\sqrt\pi} \int_0^x e^{-t^2} dt$.

    Source: [Foundations] activations. Oracle: torch.special.erf.

    >>> erf(np.array([0.0, 0.5, 6.0]))
    array([0.        , 0.52049988, 1.        ])
    """
    return np.vectorize(math.erf, otypes=[x.dtype])(x)


@erf.vjp
def erf_vjp(d_out, x):
    r"""$\bar x = \bar y \, \frac{2}{\sqrt\pi} e^{-x^2}$."""
    return d_out * np.exp(-x * x) * (2 / math.sqrt(math.pi))


def normal_cdf(x):
    r"""The standard normal's share below x:
    $\Phi(x) = \frac12 \operatorname{erfc}(-x / \sqrt2)$.

    Where $1 + \operatorname{erf}$ would cancel, $\operatorname{erfc} = 1 -
    \operatorname{erf}$ keeps its digits.

    >>> normal_cdf(np.array([-1.0, 0.0, 1.0]))
    array([0.15865525, 0.5       , 0.84134475])
    """
    return np.vectorize(math.erfc, otypes=[x.dtype])(-x / math.sqrt(2)) / 2


def normal_pdf(x):
    r"""The standard normal's density: $\varphi(x) = e^{-x^2/2} / \sqrt{2\pi}$.

    >>> normal_pdf(np.array([0.0]))
    array([0.39894228])
    """
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
