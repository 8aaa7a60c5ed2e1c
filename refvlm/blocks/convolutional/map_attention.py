r"""Attention on a map: every pixel is a token, and looks at all the others.

    x = x + scale_1 * attention(layer_norm(x))
    x = x + scale_2 * ConvFFN(x)

There is no second norm: ConvFFN begins with a normalisation of its own.
"""

from __future__ import annotations

from ... import ops
from ..training_mode import Training
from .conv_ffn import conv_ffn, conv_ffn_shapes
from .layer_scale import add_residual
from .reparameterization import EPS

HEAD_DIM = 32


def map_attention(x, weights, head_dim: int = HEAD_DIM):
    r"""Multi-head self-attention between the pixels of a map:
    $\mathrm{softmax}(QK^\top/\sqrt{d})\,V$ in every head, then a projection.

    x (b, c, h, w), with c / head_dim heads. `qkv` is one matrix without bias, whose
    3c rows are queries, keys, values, in this order, head by head.
    Source: [Kamath] stages 4-5. Oracle: timm's `fastvit.Attention`.
    """
    batch, channels = x.shape[:2]
    qkv = _at_each_pixel(x, weights["qkv.weight"])
    qkv = qkv.reshape(batch, 3, channels // head_dim, head_dim, -1)
    queries, keys, values = (qkv[:, i].swapaxes(-1, -2) for i in range(3))
    attended = ops.scaled_dot_product_attention(queries, keys, values)
    merged = attended.swapaxes(-1, -2).reshape(x.shape)
    return _at_each_pixel(merged, weights["proj.weight"], weights["proj.bias"])


def _at_each_pixel(x, weight, bias=None):
    """A linear map of the channels: a 1 x 1 convolution, so that the map stays one."""
    return ops.conv2d(x, weight.reshape(*weight.shape, 1, 1), bias)


def attention_block(x, weights, drop_rate=0.0, training: Training | None = None):
    r"""Mix tokens, then channels:
    $x \leftarrow x + \lambda_1 \mathrm{MHSA}(\mathrm{LN}(x))$, then
    $x \leftarrow x + \lambda_2 \mathrm{ConvFFN}(x)$.

    x (b, c, h, w). LN runs over the channels of each pixel.

    Source: [Kamath] stages 4-5. Oracle: timm's `fastvit.AttentionBlock`.
    """
    norm = weights.scope("norm")
    normed = ops.channel_layer_norm(x, norm["weight"], norm["bias"], EPS)
    branch = map_attention(normed, weights.scope("token_mixer"))
    scale = weights["layer_scale_1.gamma"]
    x = add_residual(x, branch, scale, drop_rate, training)
    branch = conv_ffn(x, weights.scope("mlp"), training)
    scale = weights["layer_scale_2.gamma"]
    return add_residual(x, branch, scale, drop_rate, training)


def attention_block_shapes(dim: int, hidden: int):
    """The tensors of a block by name: nothing here is folded."""
    return {
        "norm.weight": (dim,),
        "norm.bias": (dim,),
        "token_mixer.qkv.weight": (3 * dim, dim),
        "token_mixer.proj.weight": (dim, dim),
        "token_mixer.proj.bias": (dim,),
        "layer_scale_1.gamma": (dim, 1, 1),
        **{
            f"mlp.{name}": shape for name, shape in conv_ffn_shapes(dim, hidden).items()
        },
        "layer_scale_2.gamma": (dim, 1, 1),
    }
