r"""A picture as a row of tokens: cut into patches, each a vector, with others before.

    x (c, h, w) --patchify--> (n, c P P) --linear--> (n, d) --prefix--> (m + n, d)

Two orders of a patch's numbers are about: by channel, then row, then column, as the
weight of a convolution has them, and with the channels last, as the vision transformer
was written down. A matrix learnt for one is wrong for the other, and has its shape.
"""

from __future__ import annotations

import math

import numpy as np

from ..arguments import per_axis
from ..autodiff import differentiable
from ..shapes import shapes
from . import demands
from .affine import linear


@differentiable
@shapes(
    *(demands.patches_that_fit, demands.an_order_of_patches),
    x="... c h w of numbers",
    returns="... n d",
    as_stored=True,
)
def patchify(x, patch_size, order="chw"):
    r"""Cut a picture into squares, and lay each out as a row:
    $p_{(i,j),\,(c,u,v)} = x_{c,\,iP+u,\,jP+v}$.

    x is (..., c, h, w), the result (..., places, c P P): places row by row, and within
    a patch channel, row, column; with order "hwc" row, column, channel. patch_size is a
    number or (height, width). What is left over at the edges belongs to no patch, as in
    a convolution whose stride is its width.

    Source: [Cortes] 3.1, 7.2. Oracle: torch.nn.functional.unfold, transposed.

    >>> patchify(np.array([[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]]), 2)
    array([[1., 2., 5., 6.],
           [3., 4., 7., 8.]])
    """
    *lead, channels, height, width = x.shape
    high, wide = per_axis(patch_size, 2, "patch_size")
    rows, columns = height // high, width // wide
    whole = x[..., : rows * high, : columns * wide]
    split = whole.reshape(*lead, channels, rows, high, columns, wide)
    cells = np.moveaxis(split, *MOVES[order])  # (..., i, j) before a patch's three
    return cells.reshape(*lead, rows * columns, channels * high * wide)


@patchify.vjp
def patchify_vjp(d_out, x, patch_size, order):
    r"""Each number goes back to where it came from; what no patch holds gets zero."""
    return unpatchify(d_out, x.shape[-2:], patch_size, order)


@differentiable
@shapes(
    *(demands.rows_of_patches, demands.an_order_of_patches),
    patches="... n d of numbers",
    as_stored=True,
)
def unpatchify(patches, output_size, patch_size, order="chw"):
    r"""Patches laid back into a picture: $x_{c,\,iP+u,\,jP+v} = p_{(i,j),\,(c,u,v)}$.

    patches is (..., places, c P P), the result (..., c, h, w) with (h, w) =
    output_size, zero where no whole patch lies.

    Source: [Cortes] 3.1, backwards. Oracle: torch.nn.functional.fold, transposed.

    >>> unpatchify(np.array([[1.0, 2.0, 5.0, 6.0], [3.0, 4.0, 7.0, 8.0]]), (2, 4), 2)
    array([[[1., 2., 3., 4.],
            [5., 6., 7., 8.]]])
    """
    *lead, _, numbers = patches.shape
    height, width = per_axis(output_size, 2, "output_size")
    high, wide = per_axis(patch_size, 2, "patch_size")
    rows, columns, channels = height // high, width // wide, numbers // (high * wide)
    inside = (channels, high, wide) if order == "chw" else (high, wide, channels)
    cells = patches.reshape(*lead, rows, columns, *inside)
    split = np.moveaxis(cells, *reversed(MOVES[order]))
    whole = split.reshape(*lead, channels, rows * high, columns * wide)
    margins = (0, height - rows * high), (0, width - columns * wide)
    return np.pad(whole, [(0, 0)] * (len(lead) + 1) + list(margins))


@unpatchify.vjp
def unpatchify_vjp(d_out, patch_size, order):
    r"""Cut the gradient as the picture is cut."""
    return patchify(d_out, patch_size, order)


# Axes c, i, u, j, v of a picture that is split -> where they go among i, j, c, u, v
# or i, j, u, v, c; counted from the end.
MOVES = {
    "chw": ((-5, -4, -3, -2, -1), (-3, -5, -2, -4, -1)),
    "hwc": ((-5, -4, -3, -2, -1), (-1, -5, -3, -4, -2)),
}


@shapes(
    demands.a_filter_that_fits,
    x="... c h w",
    weight="d c p q",
    bias="d",
    returns="... n d",
)
def patch_embedding(x, weight, bias=None):
    r"""One linear map of every patch: $z_i = E\,p_i + b$.

    x is (..., c, h, w), the result (..., places, d). weight (d, c, P, P) is $E$ as
    checkpoints have it, the filters of a convolution whose stride is their width: that
    convolution puts out the same numbers, as a map of d channels.

    Source: [Cortes] 3.1, 7.2; [MicroVLM-V] 2. Oracle: torch.nn.functional.conv2d.

    >>> x = np.array([[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]])
    >>> patch_embedding(x, np.ones((1, 1, 2, 2)))
    array([[14.],
           [22.]])
    """
    rows = weight.reshape(len(weight), math.prod(weight.shape[1:]))
    return linear(patchify(x, weight.shape[2:]), rows, bias)


@shapes(maps="... c h w of numbers", returns="... n c", as_stored=True)
def flatten_maps(maps):
    r"""Every place of a feature map as a token: $t_{(i,j)} = F_{:,i,j}$.

    maps is (..., c, h, w), the result (..., h w, c), row by row: a patch of one pixel.

    Source: [Cortes] 3.2, [Kamath] projector.
    Oracle: torch's maps.flatten(-2).transpose(-1, -2).

    >>> flatten_maps(np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]]))
    array([[1, 5],
           [2, 6],
           [3, 7],
           [4, 8]])
    """
    return maps.reshape(*maps.shape[:-2], math.prod(maps.shape[-2:])).swapaxes(-1, -2)


@shapes(tokens="... n d", prefix="m d", returns="... t d")
def prepend_tokens(tokens, prefix):
    r"""Learnt tokens before those that were seen: $[\pi_1; \dots; \pi_m; z_1; \dots]$.

    tokens is (..., n, d) and prefix (m, d), the same for every picture: a class token,
    one for a teacher. The result is (..., m + n, d).

    Source: [Cortes] 3.1, [MicroVLM-V] 2. Oracle: torch.cat.

    >>> prepend_tokens(np.array([[3.0, 4.0]]), np.array([[1.0, 2.0]]))
    array([[1., 2.],
           [3., 4.]])
    """
    first = np.broadcast_to(prefix, (*tokens.shape[:-2], *prefix.shape))
    return np.concatenate([first, tokens], axis=-2)
