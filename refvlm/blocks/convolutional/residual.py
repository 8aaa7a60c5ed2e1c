r"""Residual blocks: convolutions that learn what to add to their input.

    basic        3 x 3 -> ReLU -> 3 x 3
    bottleneck   1 x 1, to a quarter -> ReLU -> 3 x 3 -> ReLU -> 1 x 1, back
                 each with its batch norm; + shortcut, -> ReLU

Both are one function. The shortcut is the input itself, or a 1 x 1 convolution of it
where a block changes the size or the number of channels.

    layer.{i}.convolution.weight, layer.{i}.normalization.{weight, bias, ...}
    shortcut.convolution.weight, shortcut.normalization.{weight, bias, ...}

Once folded, `convolution.bias` stands where the normalisation was.
"""

from __future__ import annotations

from ... import ops
from ..training_mode import Training, batch_norm, batch_norm_shapes, batch_norm_terms
from .conv_norm import same_conv2d
from .reparameterization import fold_batch_norm

REDUCTION = 4  # of a bottleneck's channels


def residual_block(x, weights, strides, training: Training | None = None):
    r"""What is there, and what is to be changed about it:
    $y = \mathrm{ReLU}(S(x) + F(x))$ with
    $F = \mathrm{BN}\,w_n * \mathrm{ReLU}(\cdots \mathrm{BN}\,w_1 * x)$.

    x (b, c_in, h, w); strides say how far each convolution steps, and how many there
    are: two in a basic block, three in a bottleneck. S is the identity where the
    weights have no `shortcut`.

    Source: [Cortes] 3.2; [He2016].
    Oracle: transformers' ResNetBasicLayer and ResNetBottleNeckLayer.
    """
    change = x
    for i, stride in enumerate(strides):
        change = ops.relu(change) if i else change
        change = normed_conv2d(change, weights.scope(f"layer.{i}"), stride, training)
    shortcut = weights.scope("shortcut")
    if "convolution.weight" in shortcut:
        stride = max(strides)
        x = normed_conv2d(x, shortcut, stride, training)
    return ops.relu(x + change)


def normed_conv2d(x, weights, stride=1, training: Training | None = None):
    """Convolution, then batch normalisation, unless that is folded into the filter."""
    out = same_conv2d(x, weights.scope("convolution"), stride)
    if "normalization.weight" not in weights:
        return out
    return batch_norm(out, weights.scope("normalization"), training)


def fold_normed_conv2d(weights):
    """(weight, bias) of the one convolution that equals this `normed_conv2d`."""
    terms = batch_norm_terms(weights.scope("normalization"))
    return fold_batch_norm(weights["convolution.weight"], None, *terms)


def basic_block_shapes(c_in: int, c_out: int, stride: int = 1):
    """The tensors of two 3 x 3 convolutions, by name."""
    return _shapes(((c_in, c_out, 3), (c_out, c_out, 3)), stride)


def bottleneck_block_shapes(c_in: int, c_out: int, stride: int = 1):
    """The tensors of 1 x 1, 3 x 3 and 1 x 1 convolutions, by name."""
    narrow = c_out // REDUCTION
    layers = (c_in, narrow, 1), (narrow, narrow, 3), (narrow, c_out, 1)
    return _shapes(layers, stride)


def normed_conv2d_shapes(c_in: int, c_out: int, kernel: int):
    """The tensors of a convolution without bias and its normalisation, by name."""
    norm = batch_norm_shapes(c_out)
    return {
        "convolution.weight": (c_out, c_in, kernel, kernel),
        **{f"normalization.{name}": shape for name, shape in norm.items()},
    }


def _shapes(layers, stride):
    parts = {f"layer.{i}": normed_conv2d_shapes(*each) for i, each in enumerate(layers)}
    c_in, c_out = layers[0][0], layers[-1][1]
    if stride > 1 or c_in != c_out:
        parts["shortcut"] = normed_conv2d_shapes(c_in, c_out, 1)
    return {
        f"{part}.{name}": shape
        for part, tensors in parts.items()
        for name, shape in tensors.items()
    }
