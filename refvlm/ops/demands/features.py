"""Of activations, linear maps, tables and norms."""

from __future__ import annotations

import math

import numpy as np

from ...arguments import check_whole, is_number
from ...shapes import ShapeError

# Activations


def beta_that_fits(x, beta):
    """A number, or an array that broadcasts to x."""
    if is_number(beta):
        return
    try:
        fits = np.broadcast_shapes(beta.shape, x.shape) == x.shape
    except (AttributeError, ValueError):
        fits = False
    if not fits:
        given = beta.shape if isinstance(beta, np.ndarray) else repr(beta)
        raise ShapeError(
            f"swish: beta {given} is no number and does not broadcast to x {x.shape}"
        )


def a_form_of_gelu(approximate):
    """One of the two that there are."""
    if approximate not in ("none", "tanh"):
        raise ValueError(f'gelu: approximate is "none" or "tanh", not {approximate!r}')


# Linear maps and tables


def sides_that_fit(a, b):
    """The columns of the left side are the rows of the right one."""
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError(f"matmul: {a.shape} @ {b.shape} has a side without axes")
    summed = b.shape[max(b.ndim - 2, 0)]
    if a.shape[-1] != summed:
        raise ShapeError(
            f"matmul: {a.shape} @ {b.shape} sums over {a.shape[-1]} columns on the "
            f"left and {summed} rows on the right"
        )
    try:
        np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ShapeError(
            f"matmul: the leading axes of {a.shape} @ {b.shape} do not broadcast"
        ) from None


def ids_of_rows(input, weight):
    """From 0 to the last row; NumPy would count -1 from the end."""
    if input.size and not 0 <= input.min() <= input.max() < len(weight):
        wrong = input[(input < 0) | (input >= len(weight))].flat[0]
        raise ValueError(
            f"embedding: id {wrong} is not in a table of {len(weight)} rows, "
            f"0 to {len(weight) - 1}"
        )


def padding_of_a_row(weight, padding_idx):
    """One of the table's, counted from the end where negative, as PyTorch does."""
    if padding_idx is None:
        return
    if not -len(weight) <= padding_idx < len(weight):
        raise ValueError(
            f"embedding: padding_idx {padding_idx} is not in a table of "
            f"{len(weight)} rows"
        )


# Norms


def eps_is_a_size(function, eps):
    """A number from 0: below, it would take the place of what it is to make room for,
    and of a negative number there is no root."""
    if type(eps) is float and 0 <= eps < math.inf:
        return  # nearly always; what is a number asks longer
    if not is_number(eps) or not 0 <= eps < math.inf:
        raise ValueError(f"{function}: eps is a number from 0, not {eps!r}")


def eps_is_a_size_or_none(function, eps):
    """None stands for the machine's."""
    if eps is not None:
        eps_is_a_size(function, eps)


def groups_of_channels(x, num_groups):
    """Every group has as many channels, and none is empty."""
    check_whole("group_norm", least=1, num_groups=num_groups)
    if x.shape[1] % num_groups or 0 in x.shape[1:]:
        raise ShapeError(
            f"group_norm: x is {x.shape}, whose {x.shape[1]} channels do not make "
            f"{num_groups} equal groups"
        )


def channels_with_spread(x, use_input_stats):
    """More than one number in the picture of a channel."""
    if use_input_stats and (x.ndim < 3 or math.prod(x.shape[2:]) < 2):
        raise ShapeError(
            f"instance_norm: x is {x.shape}, but a channel of one value has no spread"
        )


def a_source_of_statistics(x, running_mean, running_var, training):
    """From a batch with more than one value a channel, or from before."""
    if training:
        _check_spread("batch_norm", x)
    elif running_mean is None or running_var is None:
        raise ValueError("batch_norm: needs running statistics, or training=True")


def a_step_of_statistics(x, momentum):
    """Some part of the way, to the statistics of more than one value a channel."""
    if not is_number(momentum) or not 0 <= momentum <= 1:
        raise ValueError("batch_norm_statistics: momentum is a number from 0 to 1")
    _check_spread("batch_norm_statistics", x)


def _check_spread(function, x):
    if x.size < 2 * x.shape[1] or not x.size:
        raise ShapeError(
            f"{function}: needs more than one value a channel, but x is {x.shape}"
        )
