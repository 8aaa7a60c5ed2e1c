r"""Operators made of operators: one after the other, quick only together.

Each body composes operators, so it has their derivatives and needs none of its own: a
Variable goes through the body, step by step. For plain arrays a kernel takes all the
steps on one piece before it turns to the next, and the wide map between them is never
written to memory.
"""

from __future__ import annotations

from ..kernels import computed_by, fused
from ..shapes import shapes
from .activation import gelu, silu
from .affine import linear
from .convolution import conv2d


@shapes(x="... n", gate="hidden n", up="hidden n", returns="... hidden")
@computed_by(fused.gated_linear)
def gated_linear(x, gate, up):
    r"""The wide half of SwiGLU:
    $y = \mathrm{SiLU}(W_{gate}\,x) \odot W_{up}\,x$.

    x is (..., n), gate and up (hidden, n), the result (..., hidden). What one product
    says is let through as far as the other, by its size, opens the gate.

    Source: [MicroVLM-V] 3; Shazeer, GLU variants improve transformer.
    Oracle: the same of PyTorch's linear and silu.

    >>> identity = np.eye(2)
    >>> gated_linear(np.array([0.0, 9.0]), identity, 2 * identity)
    array([  0.        , 161.98001008])
    """
    return silu(linear(x, gate)) * linear(x, up)


@shapes(
    x="b c h w",
    weight_1="hidden c 1 1",
    bias_1="hidden",
    weight_2="out hidden 1 1",
    bias_2="out",
    returns="b out h w",
)
@computed_by(fused.pointwise_mlp)
def pointwise_mlp(x, weight_1, bias_1, weight_2, bias_2):
    r"""Widen, activate, narrow, at every pixel:
    $y = W_2\,\mathrm{GELU}(W_1 x + b_1) + b_2$.

    x is (b, c, h, w), the weights those of two 1 x 1 convolutions, (out, in, 1, 1).

    Source: [Kamath] stages 1-5. Oracle: the same of PyTorch's conv2d and gelu.

    >>> weight = np.ones((1, 1, 1, 1))
    >>> pointwise_mlp(np.ones((1, 1, 1, 2)), weight, np.zeros(1), weight, np.ones(1))
    array([[[[1.84134475, 1.84134475]]]])
    """
    hidden = conv2d(x, weight_1, bias_1)
    return conv2d(gelu(hidden), weight_2, bias_2)


@shapes(x="b c h w", branch="b c h w", gamma="c 1 1", returns="b c h w")
@computed_by(fused.add_scaled)
def add_scaled(x, branch, gamma):
    r"""A residual with layer scale: $y = x + \gamma \odot b$.

    x and branch b are (b, c, h, w), gamma (c, 1, 1) has one number for each channel.

    Source: [Kamath] stages 1-5; Touvron et al., Going deeper with image transformers.
    Oracle: timm's `LayerScale2d`, added to x.

    >>> ones = np.ones((1, 1, 1, 2))
    >>> add_scaled(ones, ones, np.full((1, 1, 1), 3.0))
    array([[[[4., 4.]]]])
    """
    return x + gamma * branch


@shapes(
    x="b c h w",
    weight_1="mid c k_1 k_1",
    bias_1="mid",
    weight_2="mid 1 k_2 k_2",
    bias_2="mid",
    weight_3="out mid 1 1",
    bias_3="out",
)
@computed_by(fused.convolutional_stem)
def convolutional_stem(x, weight_1, bias_1, weight_2, bias_2, weight_3, bias_3):
    r"""Pixels to the first map, a quarter as high and as wide, with
    $\rho = \mathrm{GELU}$: $y = \rho(W_3\,\rho(w_2 *_2 \rho(w_1 *_2 x)))$.

    Each $*_2$ is a convolution in steps of 2, padded by half its kernel: the first over
    all channels, (mid, c, k, k), the second channel by channel, (mid, 1, k, k). The
    last, (out, mid, 1, 1), mixes the channels. Each adds its bias.

    Source: [Kamath] stem. Oracle: the same of PyTorch's conv2d and gelu.
    """
    half = len(weight_1[0, 0]) // 2, len(weight_2[0, 0]) // 2
    x = gelu(conv2d(x, weight_1, bias_1, stride=2, padding=half[0]))
    x = gelu(conv2d(x, weight_2, bias_2, 2, padding=half[1], groups=x.shape[1]))
    return gelu(conv2d(x, weight_3, bias_3))
