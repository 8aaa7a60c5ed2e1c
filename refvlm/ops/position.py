r"""Positions: attention alone sees a set, so a token is told where it stands.

Two families share one list of frequencies. Sinusoids are added to the tokens once,
at the door; rotary positions turn queries and keys in every layer, so that their
product knows the distance between them and nothing else.
"""

from __future__ import annotations

import math

import numpy as np

from ..arguments import per_axis
from ..autodiff import differentiable, unbroadcast
from ..kernels import computed_by, rotary
from ..shapes import shapes
from . import demands


@shapes(demands.features_in_pairs, demands.a_positive_base)
def position_frequencies(dim, base=10000.0):
    r"""One frequency for each pair of features: $\omega_i = \Theta^{-2i/d}$ for
    $0 \le i < d/2$.

    float64 (dim / 2,), falling from 1 towards 1 / base. Source: [Cortes] 2.3.

    >>> position_frequencies(4)
    array([1.  , 0.01])
    """
    return base ** (-np.arange(0, dim, 2) / dim)


@shapes(demands.features_in_pairs, demands.length_is_a_count, demands.a_positive_base)
def sinusoidal_positions(length, dim, base=10000.0, dtype=np.float64):
    r"""Positions as waves: $\psi_{m,2i} = \sin(m\,\omega_i)$ and
    $\psi_{m,2i+1} = \cos(m\,\omega_i)$, with $\omega_i = \Theta^{-2i/d}$.

    (length, dim), to be added to the tokens. Source: [Cortes] 2.3, [Foundations].

    >>> sinusoidal_positions(2, 4).round(2)
    array([[0.  , 1.  , 0.  , 1.  ],
           [0.84, 0.54, 0.01, 1.  ]])
    """
    angles = np.arange(length)[:, None] * position_frequencies(dim, base)
    waves = np.stack([np.sin(angles), np.cos(angles)], axis=-1)
    return waves.reshape(length, dim).astype(dtype, copy=False)


@shapes(demands.features_in_pairs, demands.a_positive_base)
def position_shift_matrix(shift, dim, base=10000.0):
    r"""The one matrix that moves every position on by `shift`:
    $\psi_{m+k} = A_k \psi_m$.

    float64 (dim, dim): along the diagonal, for each frequency, the block
    $\begin{pmatrix} \cos k\omega & \sin k\omega \\ -\sin k\omega & \cos k\omega
    \end{pmatrix}$. Source: [Foundations] positional encoding.

    >>> (position_shift_matrix(3, 4) @ sinusoidal_positions(3, 4)[2]).round(4)
    array([-0.9589,  0.2837,  0.05  ,  0.9988])
    >>> sinusoidal_positions(6, 4)[5].round(4)
    array([-0.9589,  0.2837,  0.05  ,  0.9988])
    """
    angles = shift * position_frequencies(dim, base)
    even = np.arange(0, dim, 2)
    matrix = np.zeros((dim, dim))
    matrix[even, even] = matrix[even + 1, even + 1] = np.cos(angles)
    matrix[even, even + 1] = np.sin(angles)
    matrix[even + 1, even] = -np.sin(angles)
    return matrix


@shapes(demands.places_are_learnt, x="... t d", embedding="n d", returns="... t d")
def add_positions(x, embedding, offset=0):
    r"""Learnt positions: $x_m + \psi_m$, one learnt row for each place.

    x is (..., t, d); its first token stands at `offset`. embedding (n, d) is a
    weight, so it cannot say anything about places past its last row.

    Source: [Cortes] 2.3, 7.2; [MicroVLM-V] 2. Oracle: torch.nn.Embedding, added.
    """
    return x + embedding[offset : offset + x.shape[-2]]


@shapes(
    demands.features_in_pairs, demands.positions_are_numbers, demands.a_positive_theta
)
def rotary_angles(positions, dim, theta=10000.0, dtype=np.float64):
    r"""(cos, sin) of the angles by which rotary positions turn: $m\,\omega_i$ with
    $\omega_i = \Theta^{-2i/d}$.

    positions is a vector of whole numbers, or (..., t); each result is (..., t,
    dim / 2), one angle for each pair of features. The angles are computed in
    float64: in float32, as transformers has them, the cosines of position 30000 are
    off by up to 2e-4.

    Source: [Cortes] 2.3. Oracle: transformers' Qwen2RotaryEmbedding.

    >>> cos, sin = rotary_angles(np.array([0, 1]), 2)
    >>> sin.round(4)
    array([[0.    ],
           [0.8415]])
    """
    angles = np.asarray(positions)[..., None] * position_frequencies(dim, theta)
    return np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)


@differentiable
@shapes(
    demands.every_pair_has_an_angle,
    x="... t d",
    cos="... t pairs of anything",
    sin="... t pairs of anything",
    returns="... t d",
)
@computed_by(rotary.apply_rotary)
def apply_rotary(x, cos, sin, interleaved=False):
    r"""Turn each pair of features by its angle:
    $(a, b) \mapsto (a \cos\phi - b \sin\phi,\; b \cos\phi + a \sin\phi)$.

    x is (..., t, d), cos and sin (..., t, d / 2) from `rotary_angles`, of any dtype.
    **The pairing is by halves**: feature i turns with feature i + d / 2, and not with
    its neighbour. So LLaMA and Qwen2 are stored by Hugging Face. With `interleaved`,
    2i turns with 2i + 1, as in RoFormer and GPT-J. It is a convention of the
    checkpoint: read with the wrong one, it loads, runs and speaks nonsense.

    Source: [Cortes] 2.3. Oracle: transformers' apply_rotary_pos_emb.

    >>> quarter = np.array([[0.0]]), np.array([[1.0]])  # cos and sin of 90 degrees
    >>> apply_rotary(np.array([[3.0, 4.0]]), *quarter)
    array([[-4.,  3.]])
    """
    cos, sin = cos.astype(x.dtype), sin.astype(x.dtype)
    if interleaved:
        a, b = x[..., 0::2], x[..., 1::2]
    else:
        a, b = np.split(x, 2, axis=-1)
    turned = a * cos - b * sin, b * cos + a * sin
    if interleaved:
        pairs = np.stack(turned, axis=-1)
        return pairs.reshape(*pairs.shape[:-2], x.shape[-1])
    return np.concatenate(turned, axis=-1)


@apply_rotary.vjp
def apply_rotary_vjp(d_out, x, cos, sin, interleaved):
    r"""A rotation's transpose is its inverse: turn back by the same angle."""
    return unbroadcast(apply_rotary(d_out, cos, -sin, interleaved), x.shape)


@shapes(demands.positions_are_a_grid, positions="... n d")
def interpolate_positions(
    positions, new_size, old_size=None, num_prefix_tokens=1, antialias=True
):
    r"""Positions learnt on one grid of patches, for another: $R\,\Psi\,C^\top$ with a
    matrix of bicubic weights for the rows and one for the columns.

    positions is (..., prefix + h w, d), the result (..., prefix + h' w', d) for
    new_size (h', w'); the prefix (a class token) has no place and stays as it is.
    old_size is a square unless given. With antialias a smaller grid averages over
    all the patches that it covers, in place of the nearest four.

    Source: [Cortes] 7.1. Oracle: torch.nn.functional.interpolate(mode="bicubic") and
    timm.layers.resample_abs_pos_embed.
    """
    *lead, count, dim = positions.shape
    if old_size is None:
        old_size = math.isqrt(count - num_prefix_tokens)
    height, width = per_axis(old_size, 2, "old_size")
    new_size = per_axis(new_size, 2, "new_size")
    rows = cubic_matrix(height, new_size[0], antialias, positions.dtype)
    columns = cubic_matrix(width, new_size[1], antialias, positions.dtype)
    grid = positions[..., num_prefix_tokens:, :].reshape(*lead, height, width * dim)
    grid = (rows @ grid).reshape(*lead, new_size[0], width, dim)
    grid = (columns @ grid).reshape(*lead, new_size[0] * new_size[1], dim)
    return np.concatenate([positions[..., :num_prefix_tokens, :], grid], axis=-2)


def cubic_matrix(old, new, antialias=False, dtype=np.float64):
    r"""The (new, old) matrix that resamples a line of `old` cells into `new`.

    Cell i of the new line has its centre at $(i + \tfrac12)\,n/n' - \tfrac12$ on the
    old one; the weight of old cell j is the cubic kernel of their distance. PyTorch
    bends the kernel by $a = -0.75$ without antialiasing, where cells beyond the edge
    repeat it, and by $a = -0.5$ with it, where they are left out.
    """
    scale = max(old / new, 1.0) if antialias else 1.0
    centers = (np.arange(new) + 0.5) * (old / new) - 0.5
    cells = np.arange(-2, old + 2)
    distance = np.abs(centers[:, None] - cells) / scale
    weights = _cubic(distance, -0.5 if antialias else -0.75)
    inside = weights[:, 2:-2].copy()
    if antialias:
        inside /= inside.sum(axis=1, keepdims=True)
    else:
        inside[:, 0] += weights[:, :2].sum(axis=1)
        inside[:, -1] += weights[:, -2:].sum(axis=1)
    return inside.astype(dtype, copy=False)


def _cubic(x, a):
    r"""Keys' kernel: $(a+2)x^3 - (a+3)x^2 + 1$ up to 1, then $a(x^3-5x^2+8x-4)$ up
    to 2, then nothing."""
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
