r"""RepMixer: tokens mixed by a 3 x 3 depthwise convolution, the skip folded into it.

    training    x + scale * (mixer(x) - norm(x))
    inference   reparam_conv(x)

The skip connection is a kernel too (the identity), so nothing of it is left at
inference: the convolution *replaces* x. Vasu et al., FastViT.
"""

from __future__ import annotations

from ..training_mode import Training, batch_norm_shapes
from .conv_ffn import conv_ffn, conv_ffn_shapes
from .conv_norm import same_conv2d
from .layer_scale import add_residual, layer_scale
from .mobileone import fold_mobileone, mobileone_block, mobileone_shapes
from .reparameterization import identity_kernel


def repmixer(x, weights, training: Training | None = None):
    r"""Mix neighbouring tokens, channel by channel:
    $x + \lambda \odot (\mathrm{mixer}(x) - \mathrm{BN}(x))$, or $w * x + b$ if folded.

    x (b, c, h, w); the mixer is a MobileOne block without activation.
    Source: [Kamath] stages 1-5. Oracle: timm's `RepMixer`.
    """
    if "reparam_conv.weight" in weights:
        return same_conv2d(x, weights.scope("reparam_conv"))
    mixed, normed = (
        mobileone_block(x, weights.scope(name), activate=False, training=training)
        for name in ("mixer", "norm")
    )
    return x + layer_scale(mixed - normed, weights["layer_scale.gamma"])


def fold_repmixer(weights):
    r"""(weight, bias) of the one depthwise convolution:
    $w = I + \lambda (w_{mixer} - w_{norm})$ and $b = \lambda (b_{mixer} - b_{norm})$.

    Source: [Kamath] P.S. Oracle: timm's `RepMixer.reparameterize`.
    """
    mixer, mixer_bias = fold_mobileone(weights.scope("mixer"))
    channels, size = len(mixer), mixer.shape[-1]
    norm, norm_bias = fold_mobileone(weights.scope("norm"), size)
    scale = weights["layer_scale.gamma"]
    weight = identity_kernel(channels, size, channels, mixer.dtype)
    weight += scale[..., None] * (mixer - norm)
    return weight, scale[:, 0, 0] * (mixer_bias - norm_bias)


def repmixer_block(x, weights, drop_rate=0.0, training: Training | None = None):
    r"""Mix tokens, then channels: $t = \mathrm{RepMixer}(x)$ and
    $y = t + \lambda \odot \mathrm{ConvFFN}(t)$.

    Source: [Kamath] stages 1-5. Oracle: timm's `RepMixerBlock`.
    """
    x = repmixer(x, weights.scope("token_mixer"), training)
    branch = conv_ffn(x, weights.scope("mlp"), training)
    return add_residual(x, branch, weights["layer_scale.gamma"], drop_rate, training)


def repmixer_block_shapes(dim: int, hidden: int, kernel: int = 3, folded: bool = True):
    """The tensors of a block by name."""
    if folded:
        mixer = mobileone_shapes(dim, dim, kernel, groups=dim)
    else:
        branches = mobileone_shapes(dim, dim, kernel, groups=dim, folded=False)
        mixer = {
            **{f"mixer.{name}": shape for name, shape in branches.items()},
            **{f"norm.identity.{n}": s for n, s in batch_norm_shapes(dim).items()},
            "layer_scale.gamma": (dim, 1, 1),
        }
    return {
        **{f"token_mixer.{name}": shape for name, shape in mixer.items()},
        **{
            f"mlp.{name}": shape for name, shape in conv_ffn_shapes(dim, hidden).items()
        },
        "layer_scale.gamma": (dim, 1, 1),
    }
