r"""Clusters: k centres, each the mean of the tokens that are nearest to it.

    each token to its nearest centre --> each centre to the mean of its tokens --> again

Both steps make the sum of squared distances, the inertia, smaller or leave it, so it
ends; in a valley, not in the deepest. A centre that nobody is nearest to is given the
token that is worst off, so that k tokens come out. Source: [DeepDive] semantic
clustering; [Lloyd1982].
"""

from __future__ import annotations

import numpy as np

from ... import ops
from ...arguments import check_generator, check_whole
from ...shapes import ShapeError, shapes
from ...variable import value_of
from .merging import merge_tokens
from .pruning import check_kept


@shapes(x="... n d", start="... k d")
def kmeans(x, start, iterations: int = 20):
    r"""Lloyd's two steps, again and again: $t_i = \operatorname{argmin}_g \lVert x_i -
    c_g \rVert^2$, then $c_g = \langle x_i \rangle_{t_i = g}$.

    x is (..., n, d), start (..., k, d). Returns centres (..., k, d) and groups (...,
    n), each group with a token at least. It ends before `iterations` if nothing moves.

    Source: [DeepDive] semantic clustering. Oracle: scipy.cluster.vq.kmeans2.

    >>> x = np.array([[0.0], [1.0], [9.0]])
    >>> kmeans(x, start=np.array([[0.0], [1.0]]))
    (array([[0.5],
           [9. ]]), array([0, 0, 1]))
    """
    x, centers = value_of(x), value_of(start)
    count = centers.shape[-2]
    _check_tokens("kmeans", x, count)
    if not np.isfinite(centers).all():
        raise ValueError(
            "kmeans: start holds numbers that are not finite, to which nobody is near"
        )
    check_whole("kmeans", least=1, iterations=iterations)
    groups = None
    for _ in range(iterations):
        before, groups = groups, _filled(x, centers, nearest(x, centers))
        if before is not None and np.array_equal(before, groups):
            break
        centers, _ = merge_tokens(x, groups, count)
    return centers, groups


@shapes(x="... n d")
def kmeans_tokens(x, k: int, rng: np.random.Generator, iterations: int = 20):
    r"""k tokens for n, each the mean of a cluster: $y_g = \langle x_i \rangle_{t_i =
    g}$.

    x is (..., n, d); the k tokens that it starts from are drawn by the generator.
    Returns tokens (..., k, d), sizes (..., k) and groups (..., n). The groups are
    numbered by their first tokens, so that the order of places is kept. The gradient
    goes through the means; the assignment has none.

    Source: [DeepDive] semantic clustering. Oracle: scipy.cluster.vq.kmeans2.
    """
    _check_tokens("kmeans_tokens", value_of(x), k)
    check_generator("kmeans_tokens", rng)
    shuffled = rng.random(x.shape[:-1]).argsort(axis=-1)
    places = np.sort(shuffled[..., :k], axis=-1)
    start = np.take_along_axis(value_of(x), places[..., None], -2)
    _, groups = kmeans(x, start, iterations)
    groups = in_order(groups, k)
    return *merge_tokens(x, groups, k), groups


@shapes(x="... n d", centers="... k d")
def nearest(x, centers):
    """The nearest centre of each token, the first of equals: (..., n).

    The square of a token's length is the same for all centres, and left out.
    """
    middle = x.mean(axis=-2, keepdims=True)  # large common parts would eat the digits
    x, centers = x - middle, centers - middle
    lengths = np.square(centers).sum(axis=-1)[..., None, :]
    return (lengths - 2 * (x @ centers.swapaxes(-1, -2))).argmin(axis=-1)


@shapes(x="... n d", centers="... k d", groups="... n of integers", returns="...")
def inertia(x, centers, groups):
    r"""What the clusters leave unsaid: $\sum_i \lVert x_i - c_{t_i} \rVert^2$.

    Source: [DeepDive] semantic clustering. Oracle: numpy arithmetic.
    """
    count = centers.shape[-2]
    _check_groups("inertia", groups, count)
    return np.square(_differences(x, centers, groups)).sum(axis=(-2, -1))


@shapes(groups="... n of integers", returns="... n")
def in_order(groups, count: int):
    """The same groups, numbered by the place of their first token.

    >>> in_order(np.array([2, 0, 2, 1]), 3)
    array([0, 1, 0, 2])
    """
    check_whole("in_order", least=1, count=count)
    _check_groups("in_order", groups, count)
    first = (groups[..., None] == np.arange(count)).argmax(axis=-2)
    rank = first.argsort(axis=-1).argsort(axis=-1)
    return np.take_along_axis(rank, groups, -1)


def _differences(x, centers, groups):
    return x - np.take_along_axis(centers, groups[..., None], -2)


def _filled(x, centers, groups):
    """The groups with a token in each: the worst off of those that are not alone moves
    to a centre that nobody is nearest to. That is rare, so the loop is short."""
    count = centers.shape[-2]
    ones = np.ones((*groups.shape, 1), x.dtype)
    counts = ops.group_sum(ones, groups, count)[..., 0]
    if counts.all():
        return groups
    distances = np.square(_differences(x, centers, groups)).sum(axis=-1)
    for *batch, empty in np.argwhere(counts == 0):
        row = tuple(batch)
        alone = counts[row][groups[row]] < 2
        worst = np.where(alone, -1, distances[row]).argmax()
        counts[row][groups[row][worst]] -= 1
        counts[row][empty] = 1
        groups[row][worst] = empty
        distances[row][worst] = 0
    return groups


def _check_groups(function, groups, count):
    if ((groups < 0) | (groups >= count)).any():
        raise ValueError(
            f"{function}: groups should be from 0 to {count - 1}, for {count} of them, "
            f"but are from {groups.min()} to {groups.max()}"
        )


def _check_tokens(function, x, count):
    check_kept(function, "k", count, x.shape[-2])
    if not x.shape[-1]:
        raise ShapeError(f"{function}: x {x.shape} has no features")
    if not np.isfinite(x).all():
        raise ValueError(f"{function}: x holds numbers that are not finite")
