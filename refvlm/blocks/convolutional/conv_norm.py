r"""A convolution and the batch normalisation that follows it.

    conv.weight (c_out, c_in / groups, k, k), conv.bias where it has one
    bn.{weight, bias, running_mean, running_var} (c_out), until it is folded

Groups are not written down anywhere: a filter that reads $c$ of the $C$ channels says
that there are $C / c$ groups.
"""

from __future__ import annotations

from ... import ops
from ..training_mode import Training, batch_norm, batch_norm_shapes, batch_norm_terms
from .reparameterization import fold_batch_norm


def same_conv2d(x, weights, stride=1):
    """Convolution padded by half a kernel, so that stride 1 keeps the size."""
    weight = weights["weight"]
    return ops.conv2d(
        x,
        weight,
        weights.get("bias"),
        stride=stride,
        padding=weight.shape[-1] // 2,
        groups=x.shape[1] // weight.shape[1],
    )


def conv_norm(x, weights, stride=1, training: Training | None = None):
    r"""Convolution, then batch normalisation: $\mathrm{BN}(w * x)$.

    x (b, c_in, h, w). Weights whose normalisation has been folded into the filter
    have no `bn` any more, and a bias instead. Source: [Kamath] stages 1-5. Oracle:
    timm.layers.ConvNormAct.
    """
    out = same_conv2d(x, weights.scope("conv"), stride)
    if "bn.weight" not in weights:
        return out
    return batch_norm(out, weights.scope("bn"), training)


def conv_norm_shapes(c_in: int, c_out: int, kernel: int, groups: int = 1):
    """The tensors of a `conv_norm`, by name."""
    return {
        "conv.weight": (c_out, c_in // groups, kernel, kernel),
        **{f"bn.{name}": shape for name, shape in batch_norm_shapes(c_out).items()},
    }


def fold_conv_norm(weights):
    """(weight, bias) of the one convolution that equals this `conv_norm`."""
    weight, bias = weights["conv.weight"], weights.get("conv.bias")
    if "bn.weight" not in weights:
        return weight, bias
    return fold_batch_norm(weight, bias, *batch_norm_terms(weights.scope("bn")))
