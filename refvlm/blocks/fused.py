r"""Fused kernels: several steps on a piece while it is in cache, piece by piece.

Step by step, a feed-forward network writes its widened map to memory, reads it back
for the activation, writes it, and reads it again: for one block of FastViTHD that is
four times 50 MB. Piece by piece (a few hundred pixels, all channels) the widened map
never leaves the cache, and each core takes its own pieces.

These are for inference: they take arrays, and refuse a Variable. `fusible` asks.
"""

from __future__ import annotations

import numpy as np

from .. import ops
from ..autodiff import Variable
from ..kernels.normal_tail import gelu_into
from ..parallel import blocks, even_blocks, in_parallel, shares
from ..shapes import shapes

PIXELS = 256  # in a piece: fewer, and the weights are read too often
NUMBERS = 1 << 18  # in a piece of work without weights
FEW_TOKENS = 16
COLUMNS = 512  # of a widened token, in a piece


def fusible(*inputs) -> bool:
    """Whether a fused kernel may serve: nothing to trace, and no half precision,
    which BLAS cannot multiply."""
    return not any(
        isinstance(value, Variable) or value.dtype == np.float16 for value in inputs
    )


@shapes(
    x="b c h w",
    weight_1="hidden c 1 1",
    bias_1="hidden",
    weight_2="out hidden 1 1",
    bias_2="out",
    returns="b out h w",
)
def pointwise_mlp(x, weight_1, bias_1, weight_2, bias_2):
    r"""Widen, activate, narrow, at every pixel:
    $W_2\,\mathrm{GELU}(W_1 x + b_1) + b_2$.

    x is (b, c, h, w), the weights those of two 1 x 1 convolutions, (out, in, 1, 1).
    Oracle: conv2d, gelu, conv2d.
    """
    _refuse_variables(pointwise_mlp, x, weight_1, bias_1, weight_2, bias_2)
    weight_1, weight_2 = weight_1[:, :, 0, 0], weight_2[:, :, 0, 0]
    pixels = x.reshape(*x.shape[:2], -1)
    out = np.empty((len(x), len(weight_2), pixels.shape[2]), x.dtype)

    def work(piece):
        image, columns = piece
        hidden = weight_1 @ pixels[image, :, columns]
        hidden += bias_1[:, None]
        gelu_into(hidden, hidden)
        narrow = out[image, :, columns]
        np.matmul(weight_2, hidden, out=narrow)
        narrow += bias_2[:, None]

    columns = even_blocks(pixels.shape[2], PIXELS)
    in_parallel(work, [(i, part) for i in range(len(x)) for part in columns])
    return out.reshape(len(x), len(weight_2), *x.shape[2:])


@shapes(x="... n", gate="hidden n", up="hidden n", returns="... hidden")
def gated_linear(x, gate, up):
    r"""The wide half of SwiGLU, $\mathrm{SiLU}(W_{gate}\,x) \odot W_{up}\,x$, some
    columns at a time. Oracle: linear, silu, linear, and their product.
    """
    _refuse_variables(gated_linear, x, gate, up)
    rows = x.reshape(-1, x.shape[-1])
    out = np.empty((len(rows), len(gate)), x.dtype)

    def work(columns):
        gated = rows @ gate[columns].T
        with np.errstate(over="ignore"):  # x / inf is the limit, 0
            decay = np.exp(np.negative(gated))
        decay += 1
        gated /= decay
        np.multiply(gated, rows @ up[columns].T, out=out[:, columns])

    if len(rows) < FEW_TOKENS:  # they wait for the weights; BLAS shares that well
        work(slice(None))
    else:
        in_parallel(work, even_blocks(len(gate), COLUMNS))
    return out.reshape(*x.shape[:-1], len(gate))


def gelu(x):
    r"""GELU, written over x where x is an array that the caller owns."""
    if not fusible(x):
        return ops.gelu(x)
    flat = x.reshape(-1, copy=False)
    in_parallel(lambda part: gelu_into(flat[part], flat[part]), shares(flat.size))
    return x


@shapes(x="b c h w", branch="b c h w", gamma="c 1 1", returns="b c h w")
def add_scaled(x, branch, gamma):
    r"""A residual with layer scale, $x + \gamma \odot b$, written over the branch."""
    _refuse_variables(add_scaled, x, branch, gamma)
    branch = np.ascontiguousarray(branch)
    base, total = (part.reshape(-1, x.shape[2] * x.shape[3]) for part in (x, branch))
    channels = len(gamma)
    scale = np.broadcast_to(gamma.reshape(-1), (len(x), channels)).reshape(-1, 1)
    size = max(1, NUMBERS // max(base.shape[1], 1))

    def work(share):
        for part in blocks(share.stop - share.start, size):
            part = slice(share.start + part.start, share.start + part.stop)
            total[part] *= scale[part]
            total[part] += base[part]

    in_parallel(work, shares(len(base)))
    return branch


def _refuse_variables(kernel, *inputs):
    if any(isinstance(value, Variable) for value in inputs):
        raise TypeError(
            f"{kernel.__name__} is for inference and has no derivative: "
            "compose the operators instead"
        )
