r"""Patch embedding by a large kernel: halve the picture, double the channels.

    training    large_conv 7 x 7 + batch norm  \
                small_conv 3 x 3 + batch norm   + -> GELU -> 1 x 1 MobileOne
    inference   reparam_conv 7 x 7 with bias      -> GELU -> 1 x 1 MobileOne

Ding et al., RepLKNet: a large kernel learns better with a small one beside it.
"""

from __future__ import annotations

from ... import ops
from ..training_mode import Training
from .conv_norm import conv_norm, conv_norm_shapes, fold_conv_norm, same_conv2d
from .mobileone import mobileone_block, mobileone_shapes
from .reparameterization import merge_branches

BRANCHES = ("large_conv", "small_conv")


def large_kernel_conv(
    x, weights, stride=2, activate=True, training: Training | None = None
):
    r"""A large filter, a small one beside it:
    $\mathrm{GELU}(\mathrm{BN}(w_7 * x) + \mathrm{BN}(w_3 * x))$.

    x (b, c, h, w), the result (b, 2c, ceil(h / 2), ceil(w / 2)): each channel makes
    two, output channel j reads input channel $\lfloor j / 2 \rfloor$.
    Source: [Kamath] stages 1-5. Oracle: timm's `ReparamLargeKernelConv`.
    """
    if "reparam_conv.weight" in weights:
        out = same_conv2d(x, weights.scope("reparam_conv"), stride)
    else:
        large, small = (
            conv_norm(x, weights.scope(name), stride, training) for name in BRANCHES
        )
        out = large + small
    return ops.gelu(out) if activate else out


def fold_large_kernel(weights):
    r"""(weight, bias) of the one convolution: the 3 x 3 kernel in the middle of the
    7 x 7 one. Source: [Kamath] P.S. Oracle: timm's `ReparamLargeKernelConv`."""
    return merge_branches(fold_conv_norm(weights.scope(name)) for name in BRANCHES)


def patch_embed(x, weights, stride=2, activate=True, training: Training | None = None):
    r"""A large-kernel convolution, channel by channel, then a 1 x 1 that mixes them.

    x (b, c, h, w), the result (b, 2c, ceil(h / 2), ceil(w / 2)). `activate` is whether
    a GELU stands between the two: in FastViTHD it does, in FastViT it does not.
    Source: [Kamath] stages 1-5. Oracle: timm's `PatchEmbed`.
    """
    x = large_kernel_conv(x, weights.scope("proj.0"), stride, activate, training)
    return mobileone_block(x, weights.scope("proj.1"), training=training)


def patch_embed_shapes(c_in: int, c_out: int, kernel: int = 7, folded: bool = True):
    """The tensors by name, folded or with their branches."""
    if folded:
        spatial = {
            "reparam_conv.weight": (c_out, 1, kernel, kernel),
            "reparam_conv.bias": (c_out,),
        }
    else:
        spatial = {
            f"{branch}.{name}": shape
            for branch, size in zip(BRANCHES, (kernel, 3))
            for name, shape in conv_norm_shapes(c_in, c_out, size, c_in).items()
        }
    pointwise = mobileone_shapes(c_out, c_out, 1, folded=folded)
    return {
        **{f"proj.0.{name}": shape for name, shape in spatial.items()},
        **{f"proj.1.{name}": shape for name, shape in pointwise.items()},
    }
