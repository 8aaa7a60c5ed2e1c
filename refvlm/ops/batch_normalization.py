r"""Batch normalisation: mean 0 and variance 1 for each channel, over batch and picture.

The only norm that looks at other samples, and so the only one with a memory: while
training it uses this batch's statistics, afterwards the average of those it saw.
"""

from __future__ import annotations

from numbers import Real

import numpy as np

from ..autodiff import differentiable
from ..shapes import ShapeError, shapes


@differentiable
@shapes(
    x="b c ...",
    running_mean="c or None",
    running_var="c or None",
    weight="c",
    bias="c",
    returns="b c ...",
)
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
    mean, scale = _batch_norm_terms(x, running_mean, running_var, training, eps)
    if weight is not None:
        scale = scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    out = x * _per_channel(scale, x)
    out += _per_channel(shift, x)
    return out


@batch_norm.vjp
def batch_norm_vjp(d_out, x, running_mean, running_var, weight, bias, training, eps):
    r"""With $\hat x = (x - \mu)/\sigma$: $\bar\gamma = \sum \bar y\,\hat x$,
    $\bar\beta = \sum \bar y$ and $\bar x = \frac{\gamma}{\sigma}\bar y$, less, in
    training, its projections $\frac{\gamma}{\sigma n}(\bar\beta + \hat x\,\bar\gamma)$
    on what the batch's own mean and variance absorb.
    """
    axes = _all_but_channel(x)
    mean, scale = _batch_norm_terms(x, running_mean, running_var, training, eps)
    normal = (x - _per_channel(mean, x)) * _per_channel(scale, x)
    d_weight, d_bias = (d_out * normal).sum(axis=axes), d_out.sum(axis=axes)
    d_x = d_out
    if training:
        count = x.size // x.shape[1]
        d_x = d_x - _per_channel(d_bias / count, x)
        d_x -= normal * _per_channel(d_weight / count, x)
    d_x = d_x * _per_channel(scale if weight is None else scale * weight, x)
    return (
        d_x,
        None,
        None,
        None if weight is None else d_weight,
        None if bias is None else d_bias,
    )


@shapes(x="b c ...", running_mean="c", running_var="c")
def batch_norm_statistics(x, running_mean, running_var, momentum=0.1):
    r"""The running statistics after one more batch:
    $m \leftarrow (1 - \alpha)\,m + \alpha\,\mu$ and
    $v \leftarrow (1 - \alpha)\,v + \alpha\,\frac{n}{n-1}\sigma^2$.

    Returns (mean, variance). The running variance is unbiased, the one that
    normalises the batch is not. Oracle: torch.nn.functional.batch_norm.
    """
    if not isinstance(momentum, Real) or not 0 <= momentum <= 1:
        raise ValueError("batch_norm_statistics: momentum is a number from 0 to 1")
    _check_spread("batch_norm_statistics", x)
    axes = _all_but_channel(x)
    return (
        (1 - momentum) * running_mean + momentum * x.mean(axis=axes),
        (1 - momentum) * running_var + momentum * x.var(axis=axes, ddof=1),
    )


def _batch_norm_terms(x, running_mean, running_var, training, eps):
    """The mean and 1 / standard deviation of each channel."""
    if training:
        _check_spread("batch_norm", x)
        axes = _all_but_channel(x)
        wide = np.result_type(x, np.float32)  # half precision holds few squares
        mean, variance = x.mean(axis=axes, dtype=wide), x.var(axis=axes, dtype=wide)
    elif running_mean is None or running_var is None:
        raise ValueError("batch_norm: needs running statistics, or training=True")
    else:
        mean, variance = running_mean, running_var
    scale = 1 / np.sqrt(variance + eps)
    return mean.astype(x.dtype, copy=False), scale.astype(x.dtype, copy=False)


def _check_spread(function, x):
    if x.size < 2 * x.shape[1] or not x.size:
        raise ShapeError(
            f"{function}: needs more than one value a channel, but x is {x.shape}"
        )


def _all_but_channel(x):
    return (0, *range(2, x.ndim))


def _per_channel(values, x):
    return values.reshape(-1, *(1,) * (x.ndim - 2))
