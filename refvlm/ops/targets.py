r"""What a classifier is asked: the right class of each row of scores, or all shares.

Every classification loss multiplies the log-probability of class c by a number $y_c$.
For one right class y is one-hot, class weights scale it, smoothing lifts it off zero,
and a soft target is any y at all. `Targets` answers the three questions a loss has:
what is $\sum_c y_c s_c$ (`expected`), what is $\sum_c y_c$ (`mass`), and what is
$d - g\,y$ (`subtract_from`). A one-hot row is never written out.
"""

from __future__ import annotations

import math

import numpy as np

from ..arguments import is_whole
from ..shapes import ShapeError
from .elementwise_losses import check_reduction


class Targets:
    """The rows that count, what is asked of each, and how their losses become one."""

    def __init__(
        self, function, input, target, weight, ignore_index, reduction, smoothing=0.0
    ):
        check_reduction(reduction)
        self.axis = 0 if input.ndim == 1 else 1
        self.input, self.dtype = input, np.result_type(input, np.float32)
        self.classes, self.distributions, self.kept = None, None, None
        self.reduction, self.smoothing = reduction, float(smoothing)
        if input.ndim == 0 or input.shape[self.axis] == 0:
            raise ShapeError(f"{function}: input is {input.shape} and has no classes")
        self.n_classes = input.shape[self.axis]
        self.shape = input.shape[: self.axis] + input.shape[self.axis + 1 :]
        self.weight = _as_weight(function, weight, input, self.n_classes, self.dtype)
        if target.dtype.kind == "f":
            _check_distributions(function, input, target, ignore_index)
            self.distributions = self._as_rows(target)
            self.count = self.total = len(self.distributions)
        else:
            self.classes, self.kept = _classes(
                function, input, target, ignore_index, self.shape, self.n_classes
            )
            self.count = self.total = len(self.classes)
            if weight is not None:
                self.total = float(self.weight[self.classes].sum())
        if reduction == "mean" and self.total == 0:
            raise ValueError(
                f"{function}: no row counts, and there is no mean of none: every "
                f"target is ignore_index ({ignore_index}) or has weight 0, or the "
                "batch is empty"
            )

    def rows(self):
        """The rows of the input that count, as (count, c), wide enough for a sum."""
        rows = self._as_rows(self.input)
        return rows if self.kept is None else rows[self.kept]

    def _as_rows(self, x):
        rows = np.moveaxis(x, self.axis, -1).reshape(-1, self.n_classes)
        return rows.astype(self.dtype, copy=False)

    def expected(self, scores):
        r"""$\sum_c y_c s_c$ of each row."""
        if self.classes is None:
            return (self._smoothed(self.distributions) * scores).sum(axis=-1)
        picked = scores[np.arange(self.count), self.classes] * self._of_the_right()
        if not self.smoothing:
            return picked
        weights = 1 if self.weight is None else self.weight
        return (
            picked + (scores * weights).sum(axis=-1) * self.smoothing / self.n_classes
        )

    def mass(self):
        r"""$\sum_c y_c$ of each row: 1, unless there are weights."""
        if self.classes is None:
            return self._smoothed(self.distributions).sum(axis=-1)
        if self.weight is None:
            return np.ones(self.count, self.dtype)
        share = self.smoothing / self.n_classes
        return self._of_the_right() + self.weight.sum() * share

    def subtract_from(self, d_rows, d_losses):
        r"""$d - g\,y$ for each row d and the gradient g of its loss, in place."""
        if self.classes is None:
            d_rows -= d_losses[:, None] * self._smoothed(self.distributions)
            return
        d_rows[np.arange(self.count), self.classes] -= d_losses * self._of_the_right()
        if self.smoothing:
            share = d_losses[:, None] * (self.smoothing / self.n_classes)
            d_rows -= share if self.weight is None else share * self.weight

    def _of_the_right(self):
        keep = 1 - self.smoothing
        return keep if self.weight is None else keep * self.weight[self.classes]

    def _smoothed(self, y):
        if self.smoothing:
            y = (1 - self.smoothing) * y + self.smoothing / self.n_classes
        return y if self.weight is None else y * self.weight

    def reduce(self, losses):
        """The losses of all rows (0 where ignored), their sum, or their mean."""
        if self.reduction == "none":
            return self.scattered(losses).reshape(self.shape)
        total = losses.sum() / (self.total if self.reduction == "mean" else 1)
        return np.asarray(total, self.input.dtype)

    def spread(self, d_out):
        """The gradient of each row's loss, from that of their reduction."""
        if self.reduction == "none":
            d_losses = d_out.reshape(-1).astype(self.dtype, copy=False)
            return d_losses if self.kept is None else d_losses[self.kept]
        share = d_out / self.total if self.reduction == "mean" else d_out
        return np.full(self.count, share, self.dtype)

    def scattered(self, rows):
        """What belongs to the rows that count, with zeros for those that do not."""
        rows = rows.astype(self.input.dtype, copy=False)
        if self.kept is None:
            return rows
        everywhere = np.zeros((self.kept.size, *rows.shape[1:]), rows.dtype)
        everywhere[self.kept] = rows
        return everywhere

    def like_input(self, rows):
        """Rows (count, c) in the shape of the input."""
        rows = self.scattered(rows).reshape(*self.shape, self.n_classes)
        return np.moveaxis(rows, -1, self.axis)


def _classes(function, input, target, ignore_index, shape, n_classes):
    """The classes of the rows that count, and the flags of those (None for all)."""
    if target.shape != shape:
        raise ShapeError(
            f"{function}: target is {target.shape}, but input {input.shape} asks for "
            f"classes of shape {shape}"
        )
    if not is_whole(ignore_index):
        raise ValueError(f"{function}: ignore_index is an integer, not {ignore_index}")
    classes = target.reshape(-1)
    kept = classes != ignore_index
    if kept.all():
        kept = None
    else:
        classes = classes[kept]
    if classes.size and not 0 <= classes.min() <= classes.max() < n_classes:
        wrong = classes[(classes < 0) | (classes >= n_classes)][0]
        raise ValueError(
            f"{function}: target holds the class {wrong}, but input {input.shape} has "
            f"the classes 0 to {n_classes - 1} (and {ignore_index} means: ignore)"
        )
    return classes, kept


def _check_distributions(function, input, target, ignore_index):
    if target.shape != input.shape:
        raise ShapeError(
            f"{function}: target is {target.shape} of {target.dtype}; classes are "
            f"integers, and probabilities have the shape of input, {input.shape}"
        )
    if ignore_index != -100:
        raise ValueError(f"{function}: ignore_index is for classes, not probabilities")
    if not math.isfinite(target.sum(dtype=np.float64)):
        raise ValueError(f"{function}: target holds a number that is not finite")


def _as_weight(function, weight, input, n_classes, dtype):
    if weight is None:
        return None
    if len(weight) != n_classes:
        raise ShapeError(
            f"{function}: weight is {weight.shape}, but input {input.shape} has "
            f"{n_classes} classes"
        )
    return weight.astype(dtype, copy=False)
