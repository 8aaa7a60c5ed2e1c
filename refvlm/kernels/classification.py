"""The right class of each row, by its index; of scores, one pass over exponentials.

A one-hot row is never written out: its class is picked from the scores, and subtracted
from the gradient, by its index. The exponentials are all that the way back needs.
"""

from __future__ import annotations

import numpy as np


def cross_entropy(
    input, target, weight, ignore_index, reduction, label_smoothing, residuals
):
    """The loss of classes; smoothing and distributions are left to the definition."""
    if target.dtype.kind == "f" or label_smoothing:
        return NotImplemented
    counts = _counts(target, ignore_index)
    classes = target.reshape(-1)[counts]
    rows = _rows(input)[counts]
    scores = rows - rows.max(axis=-1, keepdims=True)
    losses = -scores[np.arange(len(classes)), classes]
    exponentials = np.exp(scores, out=scores)
    sums = exponentials.sum(axis=-1)
    losses += np.log(sums)
    count = len(classes)
    if weight is not None:
        weights = weight[classes]
        losses, count = weights * np.where(weights == 0, 0, losses), weights.sum()
    if residuals is not None:
        residuals["exponentials"] = exponentials, sums
    if reduction == "none":
        return _everywhere(losses, counts, target.size).reshape(target.shape)
    total = losses.sum()
    return np.asarray(total if reduction == "sum" else total / count)


def cross_entropy_vjp(
    d_out, input, target, weight, ignore_index, reduction, exponentials
):
    """The gradient of the scores, from the exponentials that the way out has kept."""
    if exponentials is None:
        return NotImplemented
    exponentials, sums = exponentials
    counts = _counts(target, ignore_index)
    classes = target.reshape(-1)[counts]
    weights = 1 if weight is None else weight[classes]
    if reduction == "none":
        d_losses = d_out.reshape(-1)[counts] * weights
    elif reduction == "sum" or not len(classes):
        d_losses = np.broadcast_to(d_out * weights, classes.shape)
    else:
        count = len(classes) if weight is None else np.sum(weights)
        d_losses = np.broadcast_to(d_out / count * weights, classes.shape)
    d_rows = exponentials * (d_losses / sums)[:, None]
    d_rows[np.arange(len(classes)), classes] -= d_losses
    axis = _axis(input)
    d_rows = _everywhere(d_rows, counts, target.size)
    d_rows = d_rows.reshape(*target.shape, input.shape[axis])
    return np.moveaxis(d_rows, -1, axis), None


def _axis(input):
    return 0 if input.ndim == 1 else 1


def _rows(input):
    """The scores as (rows, classes)."""
    axis = _axis(input)
    return np.moveaxis(input, axis, -1).reshape(-1, input.shape[axis])


def _counts(target, ignore_index):
    """Which rows count: all, as a slice that copies nothing, or their flags."""
    flags = target.reshape(-1) != ignore_index
    return slice(None) if flags.all() else flags


def _everywhere(rows, counts, size):
    """What belongs to the rows that count, with zeros for those that do not."""
    if len(rows) == size:
        return rows
    everywhere = np.zeros((size, *rows.shape[1:]), rows.dtype)
    everywhere[counts] = rows
    return everywhere


def nll_loss(input, target, weight, ignore_index, reduction):
    """The class of each row picked by its index."""
    counts = _counts(target, ignore_index)
    classes = target.reshape(-1)[counts]
    losses = -_rows(input)[counts][np.arange(len(classes)), classes]
    count = len(classes)
    if weight is not None:
        weights = weight[classes]
        losses, count = np.where(weights == 0, 0, losses) * weights, weights.sum()
    if reduction == "none":
        return _everywhere(losses, counts, target.size).reshape(target.shape)
    total = losses.sum()
    return np.asarray(total if reduction == "sum" else total / count)


def nll_loss_vjp(d_out, input, target, weight, ignore_index, reduction):
    """One number for each row that counts, where its class is."""
    counts = _counts(target, ignore_index)
    classes = target.reshape(-1)[counts]
    weights = np.ones(len(classes), input.dtype) if weight is None else weight[classes]
    if reduction == "none":
        d_losses = d_out.reshape(-1)[counts] * weights
    elif reduction == "sum" or not len(classes):
        d_losses = d_out * weights
    else:
        d_losses = d_out / weights.sum() * weights
    axis = _axis(input)
    d_rows = np.zeros((len(classes), input.shape[axis]), input.dtype)
    d_rows[np.arange(len(classes)), classes] = -d_losses
    d_rows = _everywhere(d_rows, counts, target.size)
    return np.moveaxis(d_rows.reshape(*target.shape, input.shape[axis]), -1, axis)
