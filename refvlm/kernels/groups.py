"""Sums of groups of rows: the rows in the order of their groups, each group at once."""

from __future__ import annotations

import math

import numpy as np


def group_sum(x, groups, num_groups):
    """The same sums, of rows that lie side by side.

    A stable sort keeps the order of a group's rows, and with it the roundings of their
    sum.
    """
    tokens, features = x.shape[-2:]
    lead = np.broadcast_shapes(x.shape[:-2], groups.shape[:-1])
    batches = math.prod(lead)
    if not batches * tokens * features:
        return NotImplemented
    first = np.arange(batches)[:, None]  # of each batch, its own groups and rows
    apart = np.broadcast_to(groups, (*lead, tokens)).reshape(batches, tokens)
    labels = (apart + first * num_groups).ravel()
    order = np.argsort(labels, kind="stable")
    labels = labels[order]
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    rows = np.broadcast_to(x, (*lead, tokens, features)).reshape(-1, features)
    sums = np.zeros((batches * num_groups, features), x.dtype)
    sums[labels[starts]] = np.add.reduceat(rows[order], starts, axis=0)
    return sums.reshape(*lead, num_groups, features)
