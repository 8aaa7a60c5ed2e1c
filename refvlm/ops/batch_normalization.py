r"""Batch normalisation: mean 0 and variance 1 for each channel, over batch and picture.

The only norm that looks at other samples, and so the only one with a memory: while
training it uses this batch's statistics, afterwards the average of those it saw.
"""

from __future__ import annotations

import numpy as np

from ..autodiff import differentiable
from ..kernels import computed_by, pictures
from ..shapes import shapes
from ..sums import mean_and_variance, total
from . import demands
from .scale_and_shift import affine, per_channel


@differentiable
@shapes(
    demands.a_source_of_statistics,
    demands.eps_is_a_size,
    x="b c ...",
    running_mean="c or None",
    running_var="c or None",
    weight="c",
    bias="c",
    returns="b c ...",
)
@computed_by(pictures.batch_norm)
def batch_norm(
    x,
    running_mean,
    running_var,
    weight=None,
    bias=None,
    training=False,
    momentum=0.1,
    eps=1e-5,
):
    r"""Normalise each channel over the batch and the picture:
    $y = \gamma\,(x - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta$.

    x is (b, c, ...). In training, $\mu$ and the biased $\sigma^2$ are this batch's;
    otherwise the running statistics. The running statistics are never written to:
    `batch_norm_statistics` returns the new ones, and `momentum` is its business,
    accepted here so that a call reads like PyTorch's.

    Source: [Kamath] where does the efficiency come from.
    Oracle: torch.nn.functional.batch_norm.
    """
    mean, variance = running_mean, running_var
    if training:
        axes = (0, *range(2, x.ndim))  # all but that of the channels
        mean, variance = mean_and_variance(x, axes)
    normal = (x - per_channel(mean, x)) / np.sqrt(per_channel(variance, x) + eps)
    return affine(normal, per_channel(weight, x), per_channel(bias, x))


@batch_norm.vjp
@computed_by(pictures.batch_norm_vjp)
def batch_norm_vjp(d_out, x, running_mean, running_var, weight, bias, training, eps):
    r"""With $\hat x = (x - \mu)/\sigma$: $\bar\gamma = \sum \bar y\,\hat x$,
    $\bar\beta = \sum \bar y$ and $\bar x = \frac{\gamma}{\sigma}\bar y$; in training
    $\bar y$ is taken less $\frac{1}{n}(\bar\beta + \hat x\,\bar\gamma)$, which the
    batch's own mean and variance absorb.
    """
    axes = (0, *range(2, x.ndim))  # all but that of the channels
    mean, variance = running_mean, running_var
    if training:
        mean, variance = mean_and_variance(x, axes)
    deviation = np.sqrt(per_channel(variance, x) + eps)
    normal = (x - per_channel(mean, x)) / deviation
    d_weight, d_bias = total(d_out * normal, axes), total(d_out, axes)
    d_normal = d_out
    if training:
        absorbed = per_channel(d_bias, x) + normal * per_channel(d_weight, x)
        d_normal = d_out - absorbed / (x.size // x.shape[1])
    d_x = affine(d_normal, per_channel(weight, x)) / deviation
    return (
        d_x,
        None,
        None,
        None if weight is None else d_weight,
        None if bias is None else d_bias,
    )


@shapes(demands.a_step_of_statistics, x="b c ...", running_mean="c", running_var="c")
@computed_by(pictures.batch_norm_statistics)
def batch_norm_statistics(x, running_mean, running_var, momentum=0.1):
    r"""The running statistics after one more batch:
    $m \leftarrow (1 - \alpha)\,m + \alpha\,\mu$ and
    $v \leftarrow (1 - \alpha)\,v + \alpha\,\frac{n}{n-1}\sigma^2$.

    Returns (mean, variance). The running variance is unbiased, the one that
    normalises the batch is not. Oracle: torch.nn.functional.batch_norm.
    """
    count = x.size // x.shape[1]
    mean, variance = mean_and_variance(x, (0, *range(2, x.ndim)))
    return (
        (1 - momentum) * running_mean + momentum * mean,
        (1 - momentum) * running_var + momentum * variance * (count / (count - 1)),
    )
