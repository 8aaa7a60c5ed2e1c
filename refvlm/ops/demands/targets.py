"""Of losses: a target for every score, and something to average."""

from __future__ import annotations

import math

import numpy as np

from ...arguments import is_number, is_whole
from ...shapes import ShapeError


def known_reduction(function, reduction, *more):
    """A misspelt reduction must not pass for another."""
    allowed = "none", "mean", "sum", *more
    if reduction not in allowed:
        raise ValueError(
            f"{function}: reduction is one of {', '.join(allowed)}, not {reduction!r}"
        )


def a_target_for_each(function, input, target, reduction):
    """Each entry has its own target, none is repeated, and a mean is of something."""
    known_reduction(function, reduction)
    _same_shapes(function, input, target)
    _something_to_average(function, input, reduction)


def _same_shapes(function, input, target):
    if input.shape != target.shape:
        raise ShapeError(
            f"{function}: input is {input.shape} and target {target.shape}; each entry "
            "needs its own target"
        )


def _something_to_average(function, input, reduction):
    if reduction == "mean" and input.size == 0:
        raise ValueError(
            f"{function}: there is no mean of no losses; reduction='sum' gives 0"
        )


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
    if not is_number(beta) or not 0 <= beta < math.inf:
        raise ValueError(f"smooth_l1_loss: beta is a number from 0, not {beta!r}")


def a_probability_for_each(function, input, target, reduction):
    """The same of distributions, whose losses may be divided by the rows."""
    known_reduction(function, reduction, "batchmean")
    _same_shapes(function, input, target)
    _something_to_average(function, input, reduction)
    if reduction == "batchmean" and (input.ndim == 0 or len(input) == 0):
        raise ValueError(
            f"{function}: reduction='batchmean' needs a batch, not {input.shape}"
        )


def smoothing_is_a_share(label_smoothing):
    """A share of the target that is spread over all classes."""
    if not is_number(label_smoothing) or not 0 <= label_smoothing <= 1:
        raise ValueError(
            f"cross_entropy: label_smoothing is from 0 to 1, not {label_smoothing!r}"
        )


def a_target_for_each_row(function, input, target, weight, ignore_index, reduction):
    """Each row of scores has a class that there is, or a share for every class; there
    is a weight for each class, and a mean is of one row at least."""
    known_reduction(function, reduction)
    axis = 0 if input.ndim == 1 else 1
    if input.ndim == 0 or input.shape[axis] == 0:
        raise ShapeError(f"{function}: input is {input.shape} and has no classes")
    if target.dtype.kind == "f":
        _shares_fit(function, input, target, ignore_index)
    else:
        _classes_fit(function, input, target, ignore_index, axis)
    if weight is not None and len(weight) != input.shape[axis]:
        raise ShapeError(
            f"{function}: weight is {weight.shape}, but input {input.shape} has "
            f"{input.shape[axis]} classes"
        )
    if reduction == "mean":
        _some_row_counts(function, input, target, weight, ignore_index)


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


def _some_row_counts(function, input, target, weight, ignore_index):
    """No number is the mean of no numbers."""
    if target.dtype.kind == "f":
        mean_exists = input.size > 0
    else:
        counts = target != ignore_index
        mean_exists = counts.any()
        if mean_exists and weight is not None:
            mean_exists = weight[target[counts]].sum() != 0
    if not mean_exists:
        raise ValueError(
            f"{function}: no row counts, and there is no mean of none: every target is "
            f"ignore_index ({ignore_index}) or has weight 0, or the batch is empty"
        )
