r"""Conditional position encoding: where a token is, said by what is around it.

Attention sees a set. A 7 x 7 depthwise convolution before it, zero-padded at the
border, tells each token about its neighbours and its distance to the edge, at any
picture size. Chu et al., Conditional Positional Encodings.
"""

from __future__ import annotations

from .conv_norm import same_conv2d
from .reparameterization import identity_kernel


def conditional_position(x, weights):
    r"""$x + w * x + b$, a depthwise convolution added to what it saw; once folded,
    $w' * x + b$.

    x (b, c, h, w). Source: [Kamath] stages 4-5. Oracle: timm's `RepConditionalPosEnc`.
    """
    if "reparam_conv.weight" in weights:
        return same_conv2d(x, weights.scope("reparam_conv"))
    return x + same_conv2d(x, weights.scope("pos_enc"))


def fold_conditional_position(weights):
    r"""(weight, bias) with the skip folded in: 1 is added at the centre, $w' = I + w$.

    Source: [Kamath] P.S. Oracle: timm's `RepConditionalPosEnc.reparameterize`.
    """
    weight = weights["pos_enc.weight"]
    channels, size = len(weight), weight.shape[-1]
    identity = identity_kernel(channels, size, channels, weight.dtype)
    return weight + identity, weights["pos_enc.bias"]


def conditional_position_shapes(dim: int, kernel: int = 7, folded: bool = True):
    """The tensors by name."""
    name = "reparam_conv" if folded else "pos_enc"
    return {f"{name}.weight": (dim, 1, kernel, kernel), f"{name}.bias": (dim,)}
