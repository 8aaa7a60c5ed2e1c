r"""The exponential: what makes a positive number of any number.

A temperature, a variance, a scale must be positive, and an optimiser knows no such
rule. So it learns the logarithm, and the model takes the exponential of that.
"""

from __future__ import annotations

import numpy as np

from ..autodiff import differentiable
from ..shapes import shapes


@differentiable
@shapes(input="...", returns="...")
def exp(input):
    r"""$y = e^x$. What is too large for the dtype is inf, as in PyTorch.

    Source: [Cortes] 6.6, whose variances have to be positive. Oracle: torch.exp.

    >>> exp(np.array([0.0, np.log(2.0)]))
    array([1., 2.])
    """
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(input))


@exp.vjp
def exp_vjp(d_out, out):
    r"""$\bar x = y\,\bar y$: the exponential is its own slope."""
    return np.asarray(d_out * out)
