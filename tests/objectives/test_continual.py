"""The spec of refvlm/objectives/continual.py."""

import numpy as np
import pytest
from hypothesis import given

from refvlm import ops
from refvlm.autodiff import value_and_grad
from refvlm.objectives import continual

from ..spec import (
    assert_close,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
    tensors,
)


@example
def test_ewc_penalty_of_one_stiff_and_one_free_parameter():
    """Stiffness 4, moved by 1: 4/2; stiffness 0, moved by 4: nothing."""
    at, was = {"w": np.array([2.0, 5.0])}, {"w": np.array([1.0, 1.0])}
    assert continual.ewc_penalty(at, was, {"w": np.array([4.0, 0.0])}) == 2.0


@example
def test_fisher_diagonal_is_the_mean_square():
    """Gradients of 1 and 3 make (1 + 9) / 2."""
    found = continual.fisher_diagonal([{"w": np.array([1.0])}, {"w": np.array([3.0])}])
    np.testing.assert_array_equal(found["w"], [5.0])


@law
@given(tensors((4,)), tensors((4,)))
def test_ewc_penalty_is_least_at_its_anchor(at, was):
    """Zero where the first task ended, and nowhere less."""
    fisher = {"w": np.arange(4.0)}
    assert continual.ewc_penalty({"w": was}, {"w": was}, fisher) == 0
    assert continual.ewc_penalty({"w": at}, {"w": was}, fisher) >= 0


@derivative
def test_ewc_penalty_derivative():
    """The pull back is the stiffness times the way."""
    draw = random_arrays(1)
    at, was, fisher = {"w": draw(5)}, {"w": draw(5)}, {"w": draw(5) ** 2}
    penalty = value_and_grad(lambda p: continual.ewc_penalty(p, was, fisher, 3.0))
    _, gradients = penalty(at)
    assert_close(gradients["w"], 3.0 * fisher["w"] * (at["w"] - was["w"]))


@law
def test_ewc_penalty_keeps_the_first_task():
    """Two lines to learn one after the other, from points on different axes: without
    the springs the second task overwrites the first, with them both are solved."""
    draw = random_arrays(2)
    true = np.array([2.0, -3.0])
    first = draw(50, 2) * [1.0, 0.0]
    second = draw(50, 1) * [1.0, 1.0]  # sees the sum of both weights alone

    def error(weights, x):
        return ((ops.linear(x, weights["w"][None])[:, 0] - x @ true) ** 2).mean()

    def learn(weights, loss):
        for _ in range(2000):
            _, slopes = value_and_grad(loss)(weights)
            weights = {"w": weights["w"] - 0.05 * slopes["w"]}
        return weights

    after_first = learn({"w": np.zeros(2)}, lambda w: error(w, first))
    slopes_at_zero = value_and_grad(lambda w, x: error(w, x) * 0.5)
    each = [slopes_at_zero({"w": np.zeros(2)}, x[None])[1] for x in first]
    fisher = continual.fisher_diagonal(each)
    assert fisher["w"][0] > 0 and fisher["w"][1] == 0
    plain = learn(after_first, lambda w: error(w, second))

    def tied(weights):
        springs = continual.ewc_penalty(weights, after_first, fisher)
        return error(weights, second) + springs

    bound = learn(after_first, tied)
    assert error(plain, second) < 1e-6 and error(bound, second) < 1e-6
    assert error(bound, first) < 1e-6 < 0.1 < error(plain, first)


@oracle
def test_fisher_diagonal_equals_torch(compare):
    """Squared gradients of a softmax's log-likelihood, example by example."""
    draw = random_arrays(3)
    x, weight, labels = draw(6, 4), draw(3, 4), np.array([0, 1, 2, 0, 1, 2])

    def ask(torch):
        total = torch.zeros(3, 4, dtype=torch.float64)
        for features, label in zip(torch.tensor(x), labels):
            w = torch.tensor(weight, requires_grad=True)
            torch.log_softmax(w @ features, 0)[label].backward()
            total += w.grad**2
        return {"fisher": (total / 6).numpy()}

    def likelihood(features, label):
        def log_p(weights):
            scores = ops.linear(features[None], weights["w"])
            return ops.log_softmax(scores)[0, int(label)]

        return value_and_grad(log_p)({"w": weight})[1]

    ours = continual.fisher_diagonal(map(likelihood, x, labels))
    assert_close(ours["w"], compare.answers(ask, (x, weight, labels))["fisher"])


@contract
def test_ewc_penalty_names_what_is_missing():
    """A parameter that is gone, or has no Fisher, cannot be tied."""
    one = {"w": np.ones(1)}
    with pytest.raises(ValueError, match="for 'w'"):
        continual.ewc_penalty({}, one, one)
    with pytest.raises(ValueError, match="for 'w'"):
        continual.ewc_penalty(one, one, {})
    with pytest.raises(ValueError, match="nothing to average"):
        continual.fisher_diagonal([])


@contract
def test_fisher_diagonal_refuses_examples_of_other_names():
    """A mean over fewer examples would pass for one over all."""
    some = [{"w": np.ones(1), "b": np.ones(1)}, {"w": np.ones(1)}]
    for examples in (some, some[::-1]):
        with pytest.raises(ValueError, match="not every example has 'b'"):
            continual.fisher_diagonal(examples)
