r"""Structural reparameterisation: several linear branches become one convolution.

A convolution is linear in its input, and so is a batch normalisation whose statistics
stand still. Branches that see the same map and are added up can therefore be added up
*as kernels*, once and for all, before any picture comes:
$w_1 * x + w_2 * x = (w_1 + w_2) * x$.

Training keeps the branches, because they learn better; inference keeps the sum.
Source: [Kamath] P.S.; Vasu et al., FastViT. Oracle: timm's `reparameterize_model`.
"""

from __future__ import annotations

import numpy as np

from ...autodiff import value_of
from ...checkpoint import CheckpointError, Weights
from ...shapes import ShapeError, shapes

EPS = 1e-5  # of every normalisation in FastViTHD


@shapes(
    kernel="c_out c_group kh kw",
    conv_bias="c_out or None",
    running_mean="c_out",
    running_var="c_out",
    weight="c_out",
    bias="c_out",
)
def fold_batch_norm(
    kernel, conv_bias, running_mean, running_var, weight, bias, eps=EPS
):
    r"""The convolution that equals a convolution and a batch normalisation at rest:
    $w' = t\,w$ and $b' = \beta + t\,(b - \mu)$ with
    $t = \gamma / \sqrt{\sigma^2 + \epsilon}$.

    kernel (c_out, c_in / groups, kh, kw); conv_bias may be None. Returns (w', b').
    Source: [Kamath] where does the efficiency come from.
    Oracle: torch.nn.utils.fusion.fuse_conv_bn_weights.
    """
    scale = weight / np.sqrt(running_var + eps)
    offset = -running_mean if conv_bias is None else conv_bias - running_mean
    return kernel * scale[:, None, None, None], bias + scale * offset


def identity_kernel(channels: int, kernel_size: int, groups: int = 1, dtype=np.float32):
    r"""The kernel that changes nothing:
    $w_{i,c,u,v} = 1$ where $c = i \bmod (C/G)$ and $u, v$ are the centre.

    (C, C / G, k, k) for C channels in G groups and an odd k. Source: [Kamath] P.S.
    Oracle: torch.nn.init.dirac_.

    >>> identity_kernel(1, 3)[0, 0]
    array([[0., 0., 0.],
           [0., 1., 0.],
           [0., 0., 0.]], dtype=float32)
    """
    if kernel_size % 2 == 0:
        raise ValueError(f"a kernel of {kernel_size} x {kernel_size} has no centre")
    if groups < 1 or channels % groups:
        raise ValueError(f"{channels} channels cannot be cut into {groups} groups")
    group, center = channels // groups, kernel_size // 2
    kernel = np.zeros((channels, group, kernel_size, kernel_size), dtype)
    channel = np.arange(channels)
    kernel[channel, channel % group, center, center] = 1
    return kernel


def pad_kernel(kernel, kernel_size: int):
    r"""The same kernel in the centre of a larger one, zeros around it.

    (..., k, k) -> (..., kernel_size, kernel_size), both sizes odd or both even. A
    convolution by it, padded accordingly, gives the same map.
    Source: [Kamath] P.S. Oracle: torch.nn.functional.pad.

    >>> pad_kernel(np.array([[5.0]]), 3)
    array([[0., 0., 0.],
           [0., 5., 0.],
           [0., 0., 0.]])
    """
    margin, odd = divmod(kernel_size - kernel.shape[-1], 2)
    if margin < 0 or odd or kernel.shape[-1] != kernel.shape[-2]:
        raise ShapeError(
            f"pad_kernel: {kernel.shape} cannot be centred in "
            f"{kernel_size} x {kernel_size}"
        )
    around = [(0, 0)] * (kernel.ndim - 2) + [(margin, margin)] * 2
    return np.pad(kernel, around)


def merge_branches(branches):
    r"""One convolution from several that see the same map and are added up:
    $w = \sum_i w_i$ and $b = \sum_i b_i$.

    `branches` are (kernel, bias) pairs; smaller kernels are centred in the largest.
    Source: [Kamath] P.S. Oracle: timm's `MobileOneBlock.reparameterize`.
    """
    branches = list(branches)
    if not branches:
        raise ValueError("merge_branches needs at least one branch")
    size = max(kernel.shape[-1] for kernel, _ in branches)
    kernels = [pad_kernel(kernel, size) for kernel, _ in branches]
    if len({kernel.shape for kernel in kernels}) > 1:
        raise ShapeError(
            "merge_branches: the branches make different maps: "
            f"{[kernel.shape for kernel, _ in branches]}"
        )
    return sum(kernels), sum(bias for _, bias in branches)


def exchanged(weights: Weights, prefix: str, gone, new) -> Weights:
    """The weights without some names of the tower, and with others, all finite.

    `prefix` says where the tower is among the weights; the others stay.
    """
    before = f"{prefix}." if prefix else ""
    for name, value in new.items():
        if not np.isfinite(value_of(value)).all():
            raise CheckpointError(
                f"{weights.origin}: folding makes {before}{name} infinite or NaN: a "
                "running_var below zero, or numbers too large, went into it"
            )
    gone = {before + name for name in gone}
    kept = weights.rename(lambda name: None if name in gone else name)
    return kept.add({before + name: value for name, value in new.items()})
