r"""Groups of tokens: the sum of what belongs together.

Whatever makes fewer tokens of many says which token goes where, and adds up what meets:
merged pairs, clusters, the leaves of a tree. And whatever has worked on a few tokens
only puts them back among the others by the same sum, each into a group of its own.
"""

from __future__ import annotations

import numpy as np

from ..autodiff import differentiable, unbroadcast
from ..kernels import computed_by
from ..kernels import groups as of_groups
from ..shapes import shapes
from . import demands


@differentiable
@shapes(demands.groups_are_there, x="... n d", groups="... n of integers")
@computed_by(of_groups.group_sum)
def group_sum(x, groups, num_groups):
    r"""Add up the tokens of each group: $y_g = \sum_{i:\,t_i = g} x_i$ with t the
    groups.

    x is (..., n, d), groups (..., n) with numbers from 0 to `num_groups` - 1, the
    result (..., num_groups, d). A group that nobody is in has the sum 0.

    Source: [DeepDive] token efficiency, which clusters and gives no formula.
    Oracle: torch.scatter_add.

    >>> group_sum(np.array([[1.0], [2.0], [5.0]]), np.array([1, 0, 1]), 3)
    array([[2.],
           [6.],
           [0.]])
    """
    lead = np.broadcast_shapes(x.shape[:-2], groups.shape[:-1])
    tokens, features = x.shape[-2:]
    sums = np.zeros((*lead, num_groups, features), x.dtype)
    batch = np.indices((*lead, tokens), sparse=True)[:-1]
    x = np.broadcast_to(x, (*lead, tokens, features))
    np.add.at(sums, (*batch, np.broadcast_to(groups, (*lead, tokens))), x)
    return sums


@group_sum.vjp
def group_sum_vjp(d_out, x, groups):
    r"""$\bar x_i = \bar y_{t_i}$: each token gets the gradient of its group."""
    places = groups[(None,) * (d_out.ndim - 1 - groups.ndim)]
    return unbroadcast(np.take_along_axis(d_out, places[..., None], -2), x.shape), None
