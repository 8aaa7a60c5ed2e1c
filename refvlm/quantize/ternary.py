r"""Three values: $\hat W = s\, Q$ with $Q \in \{-1, 0, 1\}$ and $s = \overline{|W|}$.

A product with such a matrix needs no multiplication but one at the end: what it adds,
takes away or leaves out. Log2 3 = 1.585 bits are what three values hold.
"""

from __future__ import annotations

import numpy as np

from .. import ops
from ..autodiff import value_of
from ..shapes import shapes
from . import demands
from .fake import straight_through


@shapes(demands.weights_have_a_mean, w="...")
def ternary_quantize(w, eps=1e-5):
    r"""$Q = \operatorname{clip}(\operatorname{round}(W/s), -1, 1)$ with the scale
    $s = \max(\overline{|W|}, \epsilon)$.

    w of any shape -> values int8 of that shape, and the scale, an array of one number,
    in w's dtype. What is within half a scale of 0 becomes 0; of exactly half, too. All
    of a matrix share the scale.

    Source: [MicroVLM-V] 8, [Ma2024]. Oracle: weight_quant of BitNet b1.58, in torch.

    >>> values, scale = ternary_quantize(np.array([0.5, -3.0, 1.0, 0.1]))
    >>> values, scale  # 4.6 / 4 = 1.15: 0.5 is less than half of it
    (array([ 0, -1,  1,  0], dtype=int8), array(1.15))
    """
    scale = np.asarray(np.maximum(np.abs(w).mean(dtype=np.float64), eps), w.dtype)
    values = np.rint(w / scale).clip(-1, 1)
    return values.astype(np.int8), scale


@shapes(demands.three_values_and_a_scale, values="... of integers", scale="...s")
def ternary_dequantize(values, scale):
    r"""$\hat W = s\, Q$, in the dtype of the scale.

    Source: [MicroVLM-V] 8. Oracle: weight_quant of BitNet b1.58, in torch.

    >>> ternary_dequantize(np.array([0, -1, 1], np.int8), np.array(1.15))
    array([ 0.  , -1.15,  1.15])
    """
    return values.astype(scale.dtype) * scale.reshape(())


@shapes(
    demands.a_weight_to_round,
    x="... n_in",
    weight="n_out n_in",
    bias="n_out",
    returns="... n_out",
)
def ternary_linear(x, weight, bias=None):
    r"""A linear map that computes with three values and learns with all of them:
    $y = x\, \hat W^\top + b$, and $\bar W = \bar y^\top x$, that of $\hat W$.

    x (..., n_in), weight (n_out, n_in), bias (n_out) or None. The weight is rounded
    anew at each call. Straight through the rounding, nothing else: that the scale is a
    mean of the weights is not seen on the way back.

    Source: [MicroVLM-V] 8, which leaves that way open.
    Oracle: F.linear(x, w + (weight_quant(w) - w).detach(), b) in torch.

    >>> ternary_linear(np.array([[1.0, 1.0]]), np.array([[0.5, -3.0]]))
    array([[-1.75]])
    """
    rounded = ternary_dequantize(*ternary_quantize(value_of(weight)))
    return ops.linear(x, straight_through(weight, rounded), bias)
