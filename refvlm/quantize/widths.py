r"""A width for each layer: which may have few bits, and which should not.

    sensitivities        what the loss loses when one layer alone is rounded
    assign_widths        of all assignments within a budget of bytes, the cheapest
    assign_by_greed      one layer at a time, the best bargain first

With L layers of W widths there are W^L assignments, and the best is found without
trying them: of two ways to choose for the first layers, one that takes more bytes and
costs more will never be the beginning of the best. What is left is a front, few enough
to go through layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from ..arguments import is_whole
from ..shapes import ShapeError

LARGEST_FRONT = 50_000


class Assignment(NamedTuple):
    """The column of the width of each layer, what that costs and how many bytes it
    takes; and `bound`: no assignment within the budget costs less."""

    choices: np.ndarray
    cost: float
    bytes: int
    bound: float


def sensitivities(
    loss: Callable[[Mapping], float],
    weights: Mapping[str, np.ndarray],
    layers: Mapping[str, Iterable[str]],
    roundings: Mapping[str, Callable[[np.ndarray], np.ndarray]],
) -> dict[str, dict[str, float]]:
    r"""What is lost when one layer alone is rounded:
    $\Delta_{\ell w} = L(\theta \text{ with layer } \ell \text{ in width } w) -
    L(\theta)$, as layer -> width -> number.

    `layers` names the tensors of each layer, `roundings` how each width rounds one.
    `loss` is called once for each pair and once more. That all layers together lose the
    sum is an assumption, the first order of a Taylor series, and worth a look.

    Source: [DeepDive] quantization-aware training. Oracle: a quadratic loss by hand.

    >>> loss = lambda weights: float(sum(array.sum() for array in weights.values()))
    >>> weights = {"a": np.array([0.75]), "b": np.array([2.0])}
    >>> sensitivities(loss, weights, {"A": ["a"], "B": ["b"]}, {"whole": np.rint})
    {'A': {'whole': 0.25}, 'B': {'whole': 0.0}}
    """
    layers = {layer: list(names) for layer, names in layers.items()}
    if unknown := [n for names in layers.values() for n in names if n not in weights]:
        raise ValueError(f"sensitivities: there is no tensor {unknown[0]!r} to round")
    whole = _finite_loss(loss(weights), "as it is")

    def lost(layer, width):
        rounded = {name: roundings[width](weights[name]) for name in layers[layer]}
        replace = getattr(weights, "replace", None)
        changed = replace(rounded) if replace else {**weights, **rounded}
        return _finite_loss(loss(changed), f"with {layer} in {width}") - whole

    return {
        layer: {width: lost(layer, width) for width in roundings} for layer in layers
    }


def assign_widths(costs, sizes, budget, largest_front=LARGEST_FRONT) -> Assignment:
    r"""A width for each layer: $\arg\min_w \sum_\ell c_{\ell w_\ell}$ where
    $\sum_\ell b_{\ell w_\ell} \le$ budget.

    costs and sizes are (layers, widths), sizes in whole bytes of any size. Layer by
    layer the choices so far are kept as a front: none takes more bytes and costs more
    than another, and none whose rest, were widths divisible, would already cost more
    than a known assignment. The best is in it, so the answer is exact: bound = cost. A
    front of more than `largest_front` is thinned to the cheapest of each of as many
    even parts of the budget; then bound may be lower, by what the answer may be off.

    Source: [DeepDive] quantization-aware training ("adaptive scaling").
    Oracle: every assignment.

    >>> costs = [[9.0, 1.0, 0.0], [4.0, 3.0, 0.0]]  # of 2, 4 and 8 bits
    >>> assign_widths(costs, [[2, 4, 8], [2, 4, 8]], 12)
    Assignment(choices=array([1, 2]), cost=1.0, bytes=12, bound=1.0)
    """
    costs, sizes, budget = _problem("assign_widths", costs, sizes, budget)
    hulls = _lower_hulls(costs, sizes)
    rests = [_relaxed(hulls[layer:]) for layer in range(len(hulls) + 1)]
    bound = float(_least(rests[0], budget))
    known = _by_greed(costs, sizes, budget)
    # Sums in another order differ by roundings: nothing is given up for those.
    slack = 1e-12 * np.abs(costs).max() * len(costs)
    taken, cost, exact = np.zeros(1, np.int64), np.zeros(1), True
    trace = []  # of each state of each front: its width, and the state it came from
    for layer, rest in enumerate(rests[1:]):
        states = len(taken)
        taken = np.add.outer(sizes[layer], taken).ravel()
        cost = np.add.outer(costs[layer], cost).ravel()
        hope = np.flatnonzero(cost + _least(rest, budget - taken) <= known.cost + slack)
        front = hope[_front(taken[hope], cost[hope])]
        if len(front) > largest_front:
            exact = False
            front = front[_last_of_each(taken[front] // (budget // largest_front + 1))]
        trace.append(np.divmod(front.astype(np.int32), states))
        taken, cost = taken[front], cost[front]
    if not exact and not len(cost):
        return known
    choices = _walked_back(trace, int(cost.argmin()))
    best = min(known, _assignment(choices, costs, sizes, bound), key=_cost)
    return best._replace(bound=best.cost) if exact else best


def assign_by_greed(costs, sizes, budget) -> Assignment:
    r"""The rule of thumb: from the fewest bytes on, take the one change of a layer that
    saves most for each byte, $\max\,(c_{\ell w} - c_{\ell w'})/(b_{\ell w'} -
    b_{\ell w})$, as long as one fits.

    Quick, and close where layers are many and small. It may buy a good bargain that
    leaves no room for a better whole. Arguments as of `assign_widths`.

    Source: [DeepDive] quantization-aware training. Oracle: `assign_widths`.

    >>> costs, sizes = [[3.0, 0.0], [5.0, 0.0]], [[0, 2], [0, 4]]
    >>> assign_by_greed(costs, sizes, 4).cost, assign_widths(costs, sizes, 4).cost
    (5.0, 3.0)
    """
    return _by_greed(*_problem("assign_by_greed", costs, sizes, budget))


def _by_greed(costs, sizes, budget):
    bound = float(_least(_relaxed(_lower_hulls(costs, sizes)), budget))
    layers = np.arange(len(costs))
    choices = np.lexsort((costs, sizes))[:, 0]
    while True:
        extra = sizes - sizes[layers, choices][:, None]
        saved = costs[layers, choices][:, None] - costs
        left = budget - sizes[layers, choices].sum()
        good = (saved > 0) & (extra <= left)
        if not good.any():
            return _assignment(choices, costs, sizes, bound)
        # What takes no byte more is the best of bargains.
        rate = np.where(good, saved / np.maximum(extra, 1e-9), -np.inf)
        layer, width = np.unravel_index(rate.argmax(), rate.shape)
        choices[layer] = width


def _front(taken, cost):
    """Places, by bytes, of those that cost less than all that take as many or fewer."""
    order = np.lexsort((cost, taken))
    least = np.minimum.accumulate(cost[order])
    falls = np.ones(len(least), bool)
    falls[1:] = least[1:] < least[:-1]
    return order[falls]


def _last_of_each(parts):
    """Places of the last of each part, which costs least in it."""
    return np.flatnonzero(np.append(parts[1:] != parts[:-1], True))


def _walked_back(trace, state):
    """The widths that led to a state of the last front."""
    choices = []
    for widths, parents in reversed(trace):
        choices.append(int(widths[state]))
        state = parents[state]
    return np.array(choices[::-1], np.intp)


def _relaxed(hulls):
    """What layers cost at least, were widths divisible: (bytes, costs) of the corners
    of a line that falls ever slower.

    Each layer goes down along its lower hull; together they take the steepest piece
    first, whichever layer it belongs to.
    """
    start = sum((hull[0] for hull in hulls), np.zeros(2))
    pieces = np.vstack([np.zeros((0, 2)), *[np.diff(hull, axis=0) for hull in hulls]])
    steepest = np.argsort(pieces[:, 1] / pieces[:, 0], kind="stable")
    return np.cumsum(np.vstack([start, pieces[steepest]]), axis=0).T


def _lower_hulls(costs, sizes):
    """Of each layer the corners (bytes, cost) between which a straight line is below
    all its points, by bytes, from where costs only fall."""
    return [_lower_hull(points) for points in np.stack([sizes, costs], -1)]


def _lower_hull(points):
    points = points[_front(*points.T)]
    corners = [points[0]]
    for point in points[1:]:
        while len(corners) > 1 and _slope(corners[-2], point) <= _slope(*corners[-2:]):
            corners.pop()
        corners.append(point)
    return np.array(corners)


def _slope(start, end):
    return (end[1] - start[1]) / (end[0] - start[0])


def _least(relaxed, budget):
    """The cost at that many bytes: infinite where they do not do."""
    sizes, costs = relaxed
    return np.interp(budget, sizes, costs, left=np.inf)


def _assignment(choices, costs, sizes, bound):
    layers = np.arange(len(costs))
    taken = int(sizes[layers, choices].sum())
    return Assignment(choices, float(costs[layers, choices].sum()), taken, bound)


def _cost(assignment):
    return assignment.cost


def _finite_loss(value, which):
    value = float(value)
    if not np.isfinite(value):
        raise ValueError(f"sensitivities: the loss {which} is {value}, no number")
    return value


def _problem(function, costs, sizes, budget):
    try:
        costs, sizes = np.asarray(costs, np.float64), np.asarray(sizes)
    except (TypeError, ValueError):  # ragged lists, or no numbers
        raise ShapeError(
            f"{function}: costs and sizes are tables of numbers, (layers, widths), in "
            "which each layer has as many widths as every other"
        ) from None
    if costs.ndim != 2 or costs.shape != sizes.shape or not costs.size:
        raise ShapeError(
            f"{function}: costs are {costs.shape} and sizes {sizes.shape}, but both "
            "need to be (layers, widths), with one at least"
        )
    if not np.isfinite(costs).all():
        raise ValueError(f"{function}: costs hold NaN or infinity")
    if sizes.dtype.kind not in "iu" or sizes.min() < 0 or sizes.max() > 2**52:
        raise ValueError(f"{function}: sizes are whole bytes from 0 to 2**52")
    if not is_whole(budget) or budget < 0:
        raise ValueError(f"{function}: a budget is whole bytes, not {budget!r:.40}")
    sizes = sizes.astype(np.int64)
    least, most = (int(each.sum()) for each in (sizes.min(1), sizes.max(1)))
    if budget < least:
        raise ValueError(
            f"{function}: no widths fit into {budget} bytes: the least is {least}"
        )
    return costs, sizes, min(int(budget), most)
