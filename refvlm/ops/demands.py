"""Demands: what an operator asks of its arguments beyond what shapes can say.

Each is a check that names the arguments it needs, and raises an error that a student
can act on: `@shapes(demands.heads_fit, query="... q d", ...)`. Bodies and kernels take
for granted what is checked here. A demand that several operators make is told the name
of each, for the message: `@shapes(demands.same_shapes("mse_loss"), ...)`.
"""

from __future__ import annotations

import math
from numbers import Real

import numpy as np

from ..arguments import check_whole, is_whole, per_axis
from ..kernels.windows import geometry, geometry_back
from ..shapes import ShapeError

# Activations


def beta_that_fits(x, beta):
    """A number, or an array that broadcasts to x."""
    if isinstance(beta, Real):
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
    if not isinstance(momentum, Real) or not 0 <= momentum <= 1:
        raise ValueError("batch_norm_statistics: momentum is a number from 0 to 1")
    _check_spread("batch_norm_statistics", x)


def _check_spread(function, x):
    if x.size < 2 * x.shape[1] or not x.size:
        raise ShapeError(
            f"{function}: needs more than one value a channel, but x is {x.shape}"
        )


# Convolution, patches, pooling


def convolution(name):
    """Groups of channels as the weight reads them, and a window that fits."""

    def check(x, weight, stride, padding, dilation, groups):
        axes = weight.ndim - 2
        c_in, (c_out, c_group) = x.shape[-axes - 1], weight.shape[:2]
        check_whole(name, least=1, groups=groups)
        if not c_out or c_out % groups or c_group * groups != c_in:
            raise ShapeError(
                f"{name}: weight {weight.shape} in {groups} groups reads "
                f"{c_group * groups} channels and makes {c_out}, "
                f"but x {x.shape} has {c_in}"
            )
        walk = stride, padding, dilation
        geometry(x.shape[-axes:], weight.shape[2:], *walk, name=name)

    return check


def a_mode_of_overlap(mode):
    """One of the three sizes that a convolution can have."""
    if mode not in ("full", "same", "valid"):
        raise ValueError(f'convolve2d: mode is "full", "same" or "valid", not {mode!r}')


def a_way_back(x, weight, bias, stride, padding, output_padding, groups, dilation):
    """Groups that divide the channels, a bias for each that is made, some result."""
    name, c_in, c_out = "conv_transpose2d", len(weight), weight.shape[1] * groups
    check_whole(name, least=1, groups=groups)
    if not c_in or c_in % groups:
        raise ShapeError(
            f"{name}: {c_in} channels of x do not divide into {groups} groups"
        )
    if bias is not None and bias.shape != (c_out,):
        raise ShapeError(
            f"{name}: bias is {bias.shape}, but weight {weight.shape} in {groups} "
            f"groups makes {c_out} channels"
        )
    walk = stride, padding, output_padding, dilation
    geometry_back(x.shape[-2:], weight.shape[2:], *walk, name=name)


def windows_that_fit(x, kernel_size, dilation, padding, stride):
    """A window, with the room that it needs."""
    geometry(x.shape[-2:], kernel_size, stride, padding, dilation, name="unfold")


def columns_of_windows(columns, output_size, kernel_size, dilation, padding, stride):
    """As many columns as places, of as many rows as windows have."""
    size = per_axis(output_size, 2, "fold: output_size", least=1)
    walk = geometry(size, kernel_size, stride, padding, dilation, name="fold")
    rows, places = columns.shape[-2:]
    (kh, kw), (height, width) = walk.kernel, walk.out
    if rows % (kh * kw) or places != height * width:
        raise ShapeError(
            f"fold: columns is {columns.shape}, but windows of {walk.kernel} over "
            f"{size} have a multiple of {kh * kw} rows and {height * width} places"
        )


def window_of_max(x, kernel_size, stride, padding, dilation, ceil_mode):
    """A window that fits, and nowhere lies wholly in the padding."""
    walk = kernel_size if stride is None else stride, padding, dilation, ceil_mode
    _pooling_window("max_pool2d", x, kernel_size, *walk)


def window_of_mean(x, kernel_size, stride, padding, ceil_mode, divisor_override):
    """The same, and something to divide by."""
    walk = kernel_size if stride is None else stride, padding, 1, ceil_mode
    _pooling_window("avg_pool2d", x, kernel_size, *walk)
    if divisor_override == 0:
        raise ValueError("avg_pool2d: divisor_override must not be 0")


def _pooling_window(name, x, kernel_size, stride, padding, dilation, ceil_mode):
    options = stride, padding, dilation, ceil_mode
    walk = geometry(x.shape[-2:], kernel_size, *options, name)
    widths = per_axis(padding, 2, f"{name}: padding")
    reach = tuple(d * (k - 1) + 1 for k, d in zip(walk.kernel, walk.dilation))
    if any(2 * width > r for width, r in zip(widths, reach)):
        raise ValueError(
            f"{name}: padding {widths} is more than half of the window {reach}, "
            "which could then lie wholly outside the picture"
        )


def a_grid_of_windows(x, output_size):
    """Pixels, and at least one window for them along each axis."""
    name = "adaptive_avg_pool2d"
    if 0 in x.shape[-2:]:
        raise ShapeError(f"{name}: a picture without pixels has no mean")
    sizes = (output_size,) * 2
    if isinstance(output_size, (tuple, list)):
        sizes = output_size
    if len(sizes) != 2:
        raise ValueError(f"{name}: output_size must be one number or 2: {output_size}")
    sizes = [1 if size is None else size for size in sizes]
    per_axis(sizes, 2, f"{name}: output_size", least=1)


def pixels_to_average(x):
    """At least one."""
    if 0 in x.shape[-2:]:
        raise ShapeError(f"global_avg_pool2d: x {x.shape} has no pixels to average")


# Losses


def known_reduction(function, *more):
    """A misspelt reduction must not pass for another."""
    allowed = ("none", "mean", "sum", *more)

    def check(reduction):
        if reduction not in allowed:
            raise ValueError(
                f"{function}: reduction is one of {', '.join(allowed)}, "
                f"not {reduction!r}"
            )

    return check


def same_shapes(function):
    """Each entry has its own target: nothing broadcasts."""

    def check(input, target):
        if input.shape != target.shape:
            raise ShapeError(
                f"{function}: input is {input.shape} and target {target.shape}; each "
                "entry needs its own target"
            )

    return check


def mean_of_something(function):
    """Where a mean is asked for, there are entries to average."""

    def check(input, reduction):
        if reduction == "mean" and input.size == 0:
            raise ValueError(
                f"{function}: there is no mean of no losses; reduction='sum' gives 0"
            )

    return check


def weights_repeat_over_scores(input, weight, pos_weight):
    """A weight may repeat itself over the scores, not the scores over it."""
    for name, factor in (("weight", weight), ("pos_weight", pos_weight)):
        if factor is None:
            continue
        wide = np.broadcast_shapes(input.shape, factor.shape)
        if wide != input.shape:
            raise ShapeError(
                f"binary_cross_entropy_with_logits: {name} {factor.shape} makes {wide} "
                f"of input {input.shape}; it has to broadcast to that shape"
            )


def border_is_a_size(beta):
    """beta is a size of error."""
    if not isinstance(beta, Real) or not 0 <= beta < math.inf:
        raise ValueError(f"smooth_l1_loss: beta is a number from 0, not {beta!r}")


def batch_of_something(input, reduction):
    """Where the losses are divided by the rows, there are rows."""
    if reduction == "batchmean" and (input.ndim == 0 or len(input) == 0):
        raise ValueError(
            f"kl_div: reduction='batchmean' needs a batch, not {input.shape}"
        )


def smoothing_is_a_share(label_smoothing):
    """A share of the target that is spread over all classes."""
    if not 0 <= label_smoothing <= 1:
        raise ValueError(
            f"cross_entropy: label_smoothing is from 0 to 1, not {label_smoothing!r}"
        )


def rows_have_targets(function):
    """Each row of scores has a class that there is, or a share for every class."""

    def check(input, target, ignore_index):
        axis = 0 if input.ndim == 1 else 1
        if input.ndim == 0 or input.shape[axis] == 0:
            raise ShapeError(f"{function}: input is {input.shape} and has no classes")
        if target.dtype.kind == "f":
            _shares_fit(function, input, target, ignore_index)
        else:
            _classes_fit(function, input, target, ignore_index, axis)

    return check


def _classes_fit(function, input, target, ignore_index, axis):
    shape = input.shape[:axis] + input.shape[axis + 1 :]
    if target.shape != shape:
        raise ShapeError(
            f"{function}: target is {target.shape}, but input {input.shape} asks for "
            f"classes of shape {shape}"
        )
    if not is_whole(ignore_index):
        raise ValueError(f"{function}: ignore_index is an integer, not {ignore_index}")
    last = input.shape[axis] - 1
    wrong = target[((target < 0) | (target > last)) & (target != ignore_index)]
    if wrong.size:
        raise ValueError(
            f"{function}: target holds the class {wrong[0]}, but input {input.shape} "
            f"has the classes 0 to {last} (and {ignore_index} means: ignore)"
        )


def _shares_fit(function, input, target, ignore_index):
    if target.shape != input.shape:
        raise ShapeError(
            f"{function}: target is {target.shape} of {target.dtype}; classes are "
            f"integers, and probabilities have the shape of input, {input.shape}"
        )
    if ignore_index != -100:
        raise ValueError(f"{function}: ignore_index is for classes, not probabilities")
    if not np.isfinite(target).all():
        raise ValueError(f"{function}: target holds a number that is not finite")


def classes_have_weights(function):
    """There is one weight for each class."""

    def check(input, weight):
        n_classes = input.shape[0 if input.ndim == 1 else 1]
        if weight is not None and len(weight) != n_classes:
            raise ShapeError(
                f"{function}: weight is {weight.shape}, but input {input.shape} has "
                f"{n_classes} classes"
            )

    return check


def some_row_counts(function):
    """No number is the mean of no numbers: one row at least is to be learnt."""

    def check(input, target, weight, ignore_index, reduction):
        if reduction != "mean":
            return
        if target.dtype.kind == "f":
            mean_exists = input.size > 0
        else:
            counts = target != ignore_index
            mean_exists = counts.any()
            if mean_exists and weight is not None:
                mean_exists = weight[target[counts]].sum() != 0
        if not mean_exists:
            raise ValueError(
                f"{function}: no row counts, and there is no mean of none: every "
                f"target is ignore_index ({ignore_index}) or has weight 0, or the "
                "batch is empty"
            )

    return check


# Similarity and selection


def length_has_a_power(p):
    """p is a number: 2 for the usual length, infinity for the largest entry."""
    if not isinstance(p, Real) or math.isnan(p):
        raise ValueError(f"normalize: p is a number, not {p!r}")


def entries_to_choose_from(x, dim):
    """Of no entries none is the largest."""
    if (x.size if dim is None else x.shape[dim]) == 0:
        raise ShapeError(f"argmax: x is {x.shape} and has no largest entry")


def as_many_as_there_are(x, k, dim):
    """k is a number of entries along dim."""
    check_whole("topk", least=1, k=k)
    if k > x.shape[dim]:
        raise ValueError(f"topk: k is {k}, but there are {x.shape[dim]} entries")


def places_are_there(x, dim, index):
    """The index has the shape of x but along dim, and points into x."""
    size, along = x.shape[dim], dim % x.ndim
    around = index.shape[:along] + x.shape[along : along + 1] + index.shape[along + 1 :]
    if index.ndim != x.ndim or around != x.shape:
        raise ShapeError(
            f"gather: x is {x.shape} and index {index.shape}; they may differ along "
            f"dim {dim} only"
        )
    if index.size and not 0 <= index.min() <= index.max() < size:
        raise ValueError(f"gather: an index is outside 0 to {size - 1} (x {x.shape})")


def mask_flags_entries(x, mask, dim):
    """The mask holds one flag for each entry along dim, and keeps some of them."""
    axes = range(x.ndim)[dim] + 1
    if mask.shape != x.shape[:axes]:
        raise ShapeError(
            f"masked_mean: mask is {mask.shape}, but x {x.shape} has "
            f"{x.shape[:axes]} entries to keep or not, along dim {dim}"
        )
    if not np.isin(mask, (0, 1)).all():
        raise ValueError(f"masked_mean: a mask of tokens holds 0 and 1, not {mask!r}")
    if not mask.any(axis=-1).all():
        raise ValueError("masked_mean: a mask keeps nothing, and that has no mean")


# Randomness


def probability(function):
    """p is a probability."""

    def check(p):
        if not isinstance(p, Real) or not 0 <= p <= 1:
            raise ValueError(f"{function}: p is a probability, not {p!r}")

    return check


def generator(rng):
    """There is no hidden generator: one is given."""
    if not isinstance(rng, np.random.Generator):
        raise ValueError("dropout_mask: needs rng, a numpy.random.Generator")


def noise_has_a_source(function):
    """Where something is to be dropped, there is a generator that says what."""

    def check(p, training, rng):
        if training and p > 0 and not isinstance(rng, np.random.Generator):
            raise ValueError(f"{function}: needs rng, a numpy.random.Generator")

    return check


def floating_dtype(dtype):
    """A mask that is multiplied in holds floating numbers."""
    if np.dtype(dtype).kind != "f":
        raise ValueError(f"dropout_mask: dtype is a floating one, not {dtype}")
