r"""Positions: attention alone sees a set, so a token is told where it stands.

Two families share one list of frequencies. Sinusoids are added to the tokens once,
at the door; rotary positions turn queries and keys in every layer, so that their
product knows the distance between them and nothing else.
"""

from __future__ import annotations

import math

import numpy as np

from ..arguments import check_whole
from ..autodiff import differentiable, unbroadcast
from ..kernels.windows import per_axis
from ..shapes import ShapeError, shapes


def position_frequencies(dim, base=10000.0):
    r"""One frequency for each pair of features: $\omega_i = b^{-2i/d}$ for
    $0 \le i < d/2$.

    float64 (dim / 2,), falling from 1 towards 1 / base. Source: [Cortes] 2.3.

    >>> position_frequencies(4)
    array([1.  , 0.01])
    """
    check_whole("position_frequencies", least=2, dim=dim)
    if dim % 2:
        raise ValueError(f"position_frequencies: dim {dim} must be even, for pairs")
    if not base > 0:
        raise ValueError(f"position_frequencies: base must be positive, not {base}")
    return base ** (-np.arange(0, dim, 2) / dim)


def sinusoidal_positions(length, dim, base=10000.0, dtype=np.float64):
    r"""Positions as waves: $P_{p,2i} = \sin(p\,\omega_i)$ and
    $P_{p,2i+1} = \cos(p\,\omega_i)$, with $\omega_i = b^{-2i/d}$.

    (length, dim), to be added to the tokens. Source: [Cortes] 2.3, [Foundations].

    >>> sinusoidal_positions(2, 4).round(2)
    array([[0.  , 1.  , 0.  , 1.  ],
           [0.84, 0.54, 0.01, 1.  ]])
    """
    check_whole("sinusoidal_positions", length=length)
    angles = np.arange(length)[:, None] * position_frequencies(dim, base)
    waves = np.stack([np.sin(angles), np.cos(angles)], axis=-1)
    return waves.reshape(length, dim).astype(dtype, copy=False)


def position_shift_matrix(shift, dim, base=10000.0):
    r"""The one matrix that moves every position on by `shift`: $P_{p+k} = R_k P_p$.

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


@shapes(x="... t d", embedding="n d", returns="... t d")
def add_positions(x, embedding, offset=0):
    r"""Learned positions: $x_p + E_{p}$, one learned row for each place.

    x is (..., t, d); its first token stands at `offset`. embedding (n, d) is a
    weight, so it cannot say anything about places past its last row.

    Source: [Cortes] 2.3, 7.2; [MicroVLM-V] 2. Oracle: torch.nn.Embedding, added.
    """
    check_whole("add_positions", offset=offset)
    end = offset + x.shape[-2]
    if end > embedding.shape[0]:
        raise ShapeError(
            f"add_positions: tokens {offset} to {end - 1} need a position each, but "
            f"embedding {embedding.shape} has {embedding.shape[0]}"
        )
    return x + embedding[offset:end]


def rotary_angles(positions, dim, theta=10000.0, dtype=np.float64):
    r"""(cos, sin) of the angles by which rotary positions turn: $p\,\omega_i$ with
    $\omega_i = \theta^{-2i/d}$.

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
    positions = np.asarray(positions)
    if positions.dtype.kind not in "iuf":
        raise ValueError(f"rotary_angles: positions are numbers, not {positions!r}")
    angles = positions[..., None] * position_frequencies(dim, theta)
    return np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)


@differentiable
@shapes(x="... t d", cos="... t pairs", sin="... t pairs", returns="... t d")
def apply_rotary(x, cos, sin, interleaved=False):
    r"""Turn each pair of features by its angle:
    $(a, b) \mapsto (a, b) \cos\phi + (-b, a) \sin\phi$.

    x is (..., t, d), cos and sin (..., t, d / 2) from `rotary_angles`. Which
    features pair up is a convention of the checkpoint: i with i + d / 2 (LLaMA and
    Qwen2 as Hugging Face stores them), or, interleaved, 2i with 2i + 1 (RoFormer,
    GPT-J). A checkpoint read with the wrong one loads, runs and speaks nonsense.

    Source: [Cortes] 2.3. Oracle: transformers' apply_rotary_pos_emb.

    >>> quarter = np.array([[0.0]]), np.array([[1.0]])  # cos and sin of 90 degrees
    >>> apply_rotary(np.array([[3.0, 4.0]]), *quarter)
    array([[-4.,  3.]])
    """
    if x.shape[-1] != 2 * cos.shape[-1]:
        raise ShapeError(
            f"apply_rotary: x {x.shape} has {x.shape[-1]} features, but cos "
            f"{cos.shape} has angles for {2 * cos.shape[-1]}"
        )
    lead = np.broadcast_shapes(x.shape[:-1], cos.shape[:-1])
    turned = np.empty((*lead, x.shape[-1]), x.dtype)
    first, second = _pairs(turned, interleaved)
    x_first, x_second = _pairs(x, interleaved)
    np.negative(x_second, out=first)
    second[...] = x_first
    turned *= _for_both(sin, x.dtype, interleaved)
    turned += x * _for_both(cos, x.dtype, interleaved)
    return turned


@apply_rotary.vjp
def apply_rotary_vjp(d_out, x, cos, sin, interleaved):
    r"""A rotation's transpose is its inverse: turn back by the same angle."""
    return unbroadcast(apply_rotary(d_out, cos, -sin, interleaved), x.shape)


def _pairs(x, interleaved):
    """The first and the second feature of every pair, as views."""
    if interleaved:
        return x[..., 0::2], x[..., 1::2]
    half = x.shape[-1] // 2
    return x[..., :half], x[..., half:]


def _for_both(angles, dtype, interleaved):
    """(..., pairs) -> (..., d): each entry once for each feature of its pair."""
    angles = angles.astype(dtype, copy=False)
    if interleaved:
        return np.repeat(angles, 2, axis=-1)
    return np.concatenate([angles, angles], axis=-1)


@shapes(positions="... n d")
def interpolate_positions(
    positions, new_size, old_size=None, num_prefix_tokens=1, antialias=True
):
    r"""Positions learned on one grid of patches, for another: $R\,E\,C^\top$ with a
    matrix of bicubic weights for the rows and one for the columns.

    positions is (..., prefix + h w, d), the result (..., prefix + h' w', d) for
    new_size (h', w'); the prefix (a class token) has no place and stays as it is.
    old_size is a square unless given. With antialias a smaller grid averages over
    all the patches that it covers, in place of the nearest four.

    Source: [Cortes] 7.1. Oracle: torch.nn.functional.interpolate(mode="bicubic") and
    timm.layers.resample_abs_pos_embed.
    """
    *lead, count, dim = positions.shape
    name = "interpolate_positions"
    check_whole(name, num_prefix_tokens=num_prefix_tokens)
    patches = max(count - num_prefix_tokens, 0)
    old_size = math.isqrt(patches) if old_size is None else old_size
    height, width = per_axis(old_size, 2, f"{name}: old_size")
    new_size = per_axis(new_size, 2, f"{name}: new_size", least=1)
    if height * width != patches or not patches:
        raise ShapeError(
            f"{name}: positions {positions.shape} less "
            f"{num_prefix_tokens} prefix tokens are not a grid of {height} x {width}"
        )
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
