r"""ConvNeXt's block: a transformer's block whose attention is a depthwise filter.

7 x 7 depthwise -> layer norm -> 1 x 1, C to 4C -> GELU -> 1 x 1, 4C to C -> scale, + x

    dwconv.{weight, bias} (c, 1, 7, 7)       pwconv1.{weight, bias} (4c, c)
    layernorm.{weight, bias} (c)             pwconv2.{weight, bias} (c, 4c)
    layer_scale_parameter (c), where it is learnt
"""

from __future__ import annotations

from ... import ops
from ..training_mode import Training, drop_path
from .conv_norm import same_conv2d
from .layer_scale import add_residual

EPS = 1e-6  # of every norm inside a stage
EXPANSION = 4


def convnext_block(x, weights, drop_rate=0.0, training: Training | None = None):
    r"""Look around, norm each pixel, widen, activate, narrow, and add:
    $y = x + \gamma \odot W_2\,\mathrm{GELU}(W_1\,\mathrm{LN}(w_{7\times7} * x))$.

    x (b, c, h, w). The 1 x 1 convolutions are stored as matrices.

    Source: [Cortes] 3.2; [Liu2022].
    Oracle: transformers' ConvNextLayer.
    """
    around = same_conv2d(x, weights.scope("dwconv"))
    normed = pixel_norm(around, weights.scope("layernorm"))
    widen, narrow = weights.scope("pwconv1"), weights.scope("pwconv2")
    branch = ops.pointwise_mlp(
        normed,
        as_filters(widen["weight"]),
        widen["bias"],
        as_filters(narrow["weight"]),
        narrow["bias"],
    )
    scale = weights.get("layer_scale_parameter")
    if scale is None:
        return x + drop_path(branch, drop_rate, training)
    return add_residual(x, branch, scale.reshape(-1, 1, 1), drop_rate, training)


def pixel_norm(x, weights, eps=EPS):
    """Layer norm over the channels of each pixel, by its weights."""
    return ops.channel_layer_norm(x, weights["weight"], weights["bias"], eps)


def as_filters(matrix):
    """A matrix (out, in) as a 1 x 1 convolution, (out, in, 1, 1)."""
    return matrix.reshape(*matrix.shape, 1, 1)


def downsample(x, weights):
    """Norm each pixel, then patches of 2 x 2 by a convolution in steps of 2:
    (b, c, h, w) -> (b, c', h // 2, w // 2). Oracle: transformers' ConvNextStage."""
    normed, conv = pixel_norm(x, weights.scope("0")), weights.scope("1")
    return ops.conv2d(normed, conv["weight"], conv["bias"], stride=2)


def convnext_block_shapes(dim: int, scaled: bool = True):
    """The tensors of a block by name, with its layer scale or without."""
    hidden = EXPANSION * dim
    shapes = {
        "layer_scale_parameter": (dim,),
        "dwconv.weight": (dim, 1, 7, 7),
        "dwconv.bias": (dim,),
        "layernorm.weight": (dim,),
        "layernorm.bias": (dim,),
        "pwconv1.weight": (hidden, dim),
        "pwconv1.bias": (hidden,),
        "pwconv2.weight": (dim, hidden),
        "pwconv2.bias": (dim,),
    }
    return shapes if scaled else dict(list(shapes.items())[1:])


def downsample_shapes(c_in: int, c_out: int):
    """The tensors by name: the norm of what comes in, and the 2 x 2 convolution."""
    return {
        "0.weight": (c_in,),
        "0.bias": (c_in,),
        "1.weight": (c_out, c_in, 2, 2),
        "1.bias": (c_out,),
    }
