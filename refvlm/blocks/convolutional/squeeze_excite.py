r"""Squeeze and excitation: see the whole picture, then turn each channel up or down.

Hu et al., Squeeze-and-Excitation Networks.
"""

from __future__ import annotations

from ... import ops


def squeeze_excite(x, weights):
    r"""Scale each channel by what all channels say on average:
    $y_c = x_c \, s_c$ with $s = \sigma(W_2 \max(0, W_1 \bar x + b_1) + b_2)$,
    where $\bar x$ is the mean of each channel over the picture.

    x (b, c, h, w); fc1 maps c channels to c / 16, fc2 back; both are stored as 1 x 1
    convolutions. Source: [Kamath] ViT head. Oracle: timm.layers.SEModule.
    """
    squeezed = x.mean(axis=(2, 3))
    reduced = ops.relu(_pointwise(squeezed, weights.scope("fc1")))
    scale = ops.sigmoid(_pointwise(reduced, weights.scope("fc2")))
    return x * scale.reshape(*scale.shape, 1, 1)


def _pointwise(vectors, weights):
    """A 1 x 1 convolution of a map of one pixel is a matrix product."""
    weight = weights["weight"]
    return ops.linear(vectors, weight.reshape(weight.shape[:2]), weights["bias"])


def squeeze_excite_shapes(channels: int, ratio: int = 16):
    """The tensors by name; the narrow side has a sixteenth of the channels, rounded."""
    narrow = max(1, int(channels / ratio + 0.5))
    return {
        "fc1.weight": (narrow, channels, 1, 1),
        "fc1.bias": (narrow,),
        "fc2.weight": (channels, narrow, 1, 1),
        "fc2.bias": (channels,),
    }
