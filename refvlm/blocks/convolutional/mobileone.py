r"""The MobileOne block: many branches while it learns, one convolution afterwards.

    training    conv_kxk.i  k x k convolution, batch norm   \
                conv_scale  1 x 1 convolution, batch norm    + -> SE -> GELU
                identity    batch norm alone                /
    inference   reparam_conv  k x k convolution with bias      -> SE -> GELU

Which branches there are is said by the weights: a branch without weights is not
there. Vasu et al., MobileOne. Oracle: timm's `MobileOneBlock`.
"""

from __future__ import annotations

import itertools

from ... import ops
from ..training_mode import Training, batch_norm, batch_norm_shapes, batch_norm_terms
from .conv_norm import conv_norm, conv_norm_shapes, fold_conv_norm, same_conv2d
from .reparameterization import fold_batch_norm, identity_kernel, merge_branches
from .squeeze_excite import squeeze_excite, squeeze_excite_shapes


def mobileone_block(
    x, weights, stride=1, activate=True, training: Training | None = None
):
    r"""The sum of the branches, reweighed by channel, through an activation:
    $\mathrm{GELU}(\mathrm{SE}(\sum_i \mathrm{BN}_i(w_i * x)))$.

    x (b, c_in, h, w), the result (b, c_out, ceil(h / stride), ceil(w / stride)).
    Source: [Kamath] stem, ViT head, P.S. Oracle: timm's `MobileOneBlock`.
    """
    if "reparam_conv.weight" in weights:
        out = same_conv2d(x, weights.scope("reparam_conv"), stride)
    else:
        out = _branches(x, weights, stride, training)
    if "se.fc1.weight" in weights:
        out = squeeze_excite(out, weights.scope("se"))
    return ops.gelu(out) if activate else out


def _branches(x, weights, stride, training):
    names = _conv_branches(weights)
    branches = [conv_norm(x, weights.scope(n), stride, training) for n in names]
    if "identity.weight" in weights:
        branches.append(batch_norm(x, weights.scope("identity"), training))
    return sum(branches[1:], start=branches[0])


def _conv_branches(weights) -> list[str]:
    """The names of the branches that have a filter."""

    def is_there(name):
        return f"{name}.conv.weight" in weights

    numbered = map("conv_kxk.{}".format, itertools.count())
    return [*itertools.takewhile(is_there, numbered), *filter(is_there, ["conv_scale"])]


def fold_mobileone(weights, kernel_size: int | None = None):
    r"""(weight, bias) of the one convolution that equals the branches:
    $w = \sum_i t_i w_i$, where the identity is the kernel that changes nothing.

    `kernel_size` says how large it is to be, where only the identity is there.
    Source: [Kamath] P.S. Oracle: timm's `MobileOneBlock.reparameterize`.
    """
    folded = [fold_conv_norm(weights.scope(name)) for name in _conv_branches(weights)]
    if "identity.weight" in weights:
        statistics = batch_norm_terms(weights.scope("identity"))
        channels, dtype = len(statistics[0]), statistics[0].dtype
        size = max([kernel.shape[-1] for kernel, _ in folded], default=kernel_size)
        if size is None:
            raise ValueError(
                "fold_mobileone: only the identity is there: say with kernel_size how "
                "large a kernel it is to be"
            )
        group = folded[0][0].shape[1] if folded else 1
        kernel = identity_kernel(channels, size, channels // group, dtype)
        folded.append(fold_batch_norm(kernel, None, *statistics))
    return merge_branches(folded)


def mobileone_shapes(
    c_in: int,
    c_out: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    scale_branch: bool = True,
    squeeze: bool = False,
    folded: bool = True,
):
    """The tensors of a MobileOne block by name, folded or with its branches."""
    if folded:
        shapes = {
            "reparam_conv.weight": (c_out, c_in // groups, kernel, kernel),
            "reparam_conv.bias": (c_out,),
        }
    else:
        branches = {"conv_kxk.0": kernel}
        if scale_branch and kernel > 1:
            branches["conv_scale"] = 1
        shapes = {
            f"{branch}.{name}": shape
            for branch, size in branches.items()
            for name, shape in conv_norm_shapes(c_in, c_out, size, groups).items()
        }
        if c_in == c_out and stride == 1:
            shapes |= {f"identity.{n}": s for n, s in batch_norm_shapes(c_in).items()}
    if squeeze:
        shapes |= {f"se.{n}": s for n, s in squeeze_excite_shapes(c_out).items()}
    return shapes
