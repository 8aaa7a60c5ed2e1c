"""The spec of refvlm/quantize/widths.py."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import quantize
from refvlm.checkpoint import Weights
from refvlm.shapes import ShapeError

from ..spec import contract, example, law

RULES = ["assign_widths", "assign_by_greed"]


@st.composite
def problems(draw):
    """(costs, sizes, budget) of a few layers, with ties, free widths and dear ones."""
    layers, widths = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    row = st.lists(st.integers(0, 12), min_size=widths, max_size=widths)
    table = st.lists(row, min_size=layers, max_size=layers)
    costs, sizes = np.array(draw(table)) - 3.0, np.array(draw(table))
    least, most = sizes.min(1).sum(), sizes.max(1).sum()
    return costs, sizes, draw(st.integers(int(least), int(most) + 2))


def by_brute_force(costs, sizes, budget):
    """The least cost of all assignments within the budget."""
    rows = range(len(costs))
    every = itertools.product(range(costs.shape[1]), repeat=len(costs))
    return min(
        sum(costs[i, w] for i, w in zip(rows, each))
        for each in every
        if sum(sizes[i, w] for i, w in zip(rows, each)) <= budget
    )


def large(kind, seed=0):
    """200 layers of hundreds of megabytes in five widths, with costs of a kind."""
    state = np.random.RandomState(seed)
    bits = np.array([2, 3, 4, 6, 8])
    numbers = state.randint(10_000, 5_000_000, 200)
    if kind == "network":  # layers of few shapes, errors that fall fourfold a bit
        numbers = state.choice([896 * 896, 896 * 4864, 896 * 128], 200)
    sizes = numbers[:, None] * bits // 8 + numbers[:, None] // 64 * 2
    costs = {
        "network": state.lognormal(0, 1.5, 200)[:, None]
        * numbers[:, None]
        * 4.0**-bits,
        "random": -np.sort(-state.rand(200, 5), axis=1),
        "by the byte": (sizes.max() - sizes).astype(float),
    }[kind]
    return costs, sizes


@example
def test_assign_widths_gives_bytes_to_whom_they_help():
    """Ten bytes for two layers: the first gains 8 by two bytes more, the second 3 by
    four more."""
    costs, sizes = [[9.0, 1.0, 0.0], [4.0, 3.0, 0.0]], [[2, 4, 8], [2, 4, 8]]
    best = quantize.assign_widths(costs, sizes, 12)
    assert best.choices.tolist() == [1, 2]
    assert best[1:] == (1.0, 12, 1.0)


@example
def test_assign_by_greed_can_be_worse():
    """3 by two bytes is a better bargain than 5 by four, but then four are not left."""
    costs, sizes = [[3.0, 0.0], [5.0, 0.0]], [[0, 2], [0, 4]]
    assert quantize.assign_by_greed(costs, sizes, 4).cost == 5
    assert quantize.assign_widths(costs, sizes, 4).cost == 3
    assert quantize.assign_by_greed(costs, sizes, 6).cost == 0  # to the last byte


@example
def test_assign_of_two_widths_with_as_many_bytes():
    """The cheaper one counts, in whatever order they stand."""
    for name in RULES:
        with np.errstate(all="raise"):
            best = getattr(quantize, name)([[5.0, 3.0, 4.0]], [[2, 2, 3]], 9)
        assert best.choices.tolist() == [1] and best.bound == 3


@example
def test_sensitivities_of_a_sum():
    """0.75 becomes 1 and 2 stays 2, each while the other is left alone."""
    lost = quantize.sensitivities(
        lambda weights: sum(array.sum() for array in weights.values()),
        {"a": np.array([0.75]), "b": np.array([2.0])},
        {"A": ["a"], "B": ["b"]},
        {"whole": np.rint, "none": np.zeros_like},
    )
    assert lost == {
        "A": {"whole": 0.25, "none": -0.75},
        "B": {"whole": 0.0, "none": -2.0},
    }


@law
@given(problems())
def test_assign_widths_equals_every_assignment(problem):
    """No other within the budget costs less; and what it says of itself is so."""
    costs, sizes, budget = problem
    best = quantize.assign_widths(*problem)
    rows = np.arange(len(costs))
    assert best.cost == by_brute_force(*problem) == best.bound
    assert best.cost == costs[rows, best.choices].sum()
    assert best.bytes == sizes[rows, best.choices].sum() <= budget


@law
@given(problems())
def test_assign_by_greed_is_within_the_budget_and_never_better(problem):
    """And no change of one layer alone would still help."""
    costs, sizes, budget = problem
    greedy, best = quantize.assign_by_greed(*problem), quantize.assign_widths(*problem)
    assert greedy.bytes <= budget
    assert greedy.bound - 1e-9 <= best.cost <= greedy.cost
    for layer, width in np.ndindex(costs.shape):
        other = greedy.choices.copy()
        other[layer] = width
        rows = np.arange(len(costs))
        fits = sizes[rows, other].sum() <= budget
        assert not fits or costs[rows, other].sum() >= greedy.cost - 1e-9


@law
@given(problems(), st.integers(1, 3))
def test_assign_widths_of_a_thin_front_knows_how_far_off_it_may_be(problem, front):
    """With room for a few states only, the best lies between bound and cost."""
    thin = quantize.assign_widths(*problem, largest_front=front)
    best = by_brute_force(*problem)
    assert thin.bound - 1e-9 <= best <= thin.cost
    assert thin.bytes <= problem[2]


@law
@given(problems(), st.integers(1, 5))
def test_assign_widths_with_more_bytes_costs_no_more(problem, more):
    """A larger budget allows all that a smaller one did."""
    costs, sizes, budget = problem
    richer = quantize.assign_widths(costs, sizes, budget + more)
    assert richer.cost <= quantize.assign_widths(*problem).cost


@law
@pytest.mark.parametrize("kind", ["network", "random"])
def test_assign_widths_of_a_large_network_is_exact_and_small(kind):
    """200 layers of hundreds of megabytes: 5^200 assignments, a few megabytes of
    states."""
    costs, sizes = large(kind)
    least, most = int(sizes.min(1).sum()), int(sizes.max(1).sum())
    budget = least + (most - least) // 3
    tracemalloc.start()
    best = quantize.assign_widths(costs, sizes, budget)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert best.cost == best.bound and best.bytes <= budget
    assert best.cost <= quantize.assign_by_greed(costs, sizes, budget).cost
    assert peak < 16e6


@law
def test_assign_widths_of_the_hardest_kind_stays_within_its_room():
    """Where every byte is worth the same, all sums differ and none is better than
    another: the front is thinned, and the answer is off by a few bytes of millions."""
    costs, sizes = large("by the byte")
    budget = int(sizes.min(1).sum() * 1.5)
    best = quantize.assign_widths(costs, sizes, budget, largest_front=2000)
    assert best.bound <= best.cost <= best.bound * (1 + 1e-5)
    assert best.bytes <= budget


@law
def test_sensitivities_of_a_quadratic_are_its_curvature():
    """Of sum k x^2 at its minimum 0, a layer moved by d loses k d^2; tensors of one
    layer are moved together, and Weights stay Weights."""
    curvature = {"x.weight": 3.0, "x.bias": 1.0, "y": 5.0}
    weights = Weights({name: np.zeros(2) for name in curvature})

    def loss(weights):
        assert isinstance(weights, Weights)
        return sum(k * np.square(weights[name]).sum() for name, k in curvature.items())

    lost = quantize.sensitivities(
        loss,
        weights,
        {"x": ["x.weight", "x.bias"], "y": ["y"]},
        {"half": lambda x: x + 0.5, "one": lambda x: x + 1},
    )
    assert lost == {"x": {"half": 2.0, "one": 8.0}, "y": {"half": 2.5, "one": 10.0}}
    assert not weights["y"].any()


@contract
@pytest.mark.parametrize("name", RULES)
def test_assign_refuses_a_budget_that_cannot_be_met(name):
    """And says the smallest that can."""
    function = getattr(quantize, name)
    with pytest.raises(ValueError, match="no widths fit into 5 bytes: the least is 6"):
        function(np.zeros((3, 2)), [[2, 4]] * 3, 5)
    assert function(np.zeros((3, 2)), [[2, 4]] * 3, 6).bytes == 6


@contract
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(
    "costs, sizes, budget, message",
    [
        ([[1.0, 2.0]], [[1]], 9, r"costs are \(1, 2\) and sizes \(1, 1\)"),
        (np.zeros((0, 2)), np.zeros((0, 2), int), 9, "with one at least"),
        ([1.0], [1], 9, r"costs are \(1,\)"),
        ([[np.nan]], [[1]], 9, "costs hold NaN"),
        ([[1.0]], [[0.5]], 9, "sizes are whole bytes"),
        ([[1.0]], [[-1]], 9, "sizes are whole bytes"),
        ([[1.0]], [[2**60]], 9, "sizes are whole bytes"),
        ([[1.0, 2.0], [3.0]], [[1, 2], [3, 4]], 9, "^assign.* as many widths"),
        ([[1.0, 2.0]], [[1, 2], [3]], 9, "^assign.* as many widths"),
        ([["a"]], [[1]], 9, "^assign.* tables of numbers"),
        ([[1.0]], [[1]], 1.5, "a budget is whole bytes, not 1.5"),
        ([[1.0]], [[1]], -1, "a budget is whole bytes, not -1"),
    ],
)
def test_assign_refuses_what_is_no_problem(name, costs, sizes, budget, message):
    """Each with what it should have been."""
    with pytest.raises((ValueError, ShapeError), match=message):
        getattr(quantize, name)(costs, sizes, budget)


@contract
def test_sensitivities_refuses_a_lost_loss_and_a_lost_tensor():
    """A NaN would be the dearest or the cheapest layer, as comparisons have it."""
    weights, layers = {"a": np.ones(1)}, {"A": ["a"]}
    with pytest.raises(ValueError, match="there is no tensor 'b' to round"):
        quantize.sensitivities(float, weights, {"A": ["b"]}, {"one": np.rint})
    with pytest.raises(ValueError, match="the loss with A in none is nan"):
        quantize.sensitivities(
            *(lambda weights: weights["a"].sum(), weights, layers),
            {"none": lambda x: x * np.nan},
        )
    with pytest.raises(ValueError, match="the loss as it is is inf"):
        quantize.sensitivities(lambda _: np.inf, weights, layers, {"one": np.rint})
