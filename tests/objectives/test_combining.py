"""The spec of refvlm/objectives/combining.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.autodiff import grad
from refvlm.objectives import combining
from refvlm.shapes import ShapeError

from ..spec import (
    check_dtype,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
    tensors,
)

positive = tensors(3, 0.1, 10.0)


def unstacked(function):
    """The same, of one array that holds the losses."""
    return lambda losses, weights: function([losses[i] for i in range(3)], weights)


@example
def test_weighted_sum_by_hand():
    """1 times 2 and a half times 10."""
    assert combining.weighted_sum([np.array(2.0), np.array(10.0)], [1.0, 0.5]) == 7


@example
def test_uncertainty_weighting_starts_at_half_the_sum():
    """With all variances 1 there is no price, and each loss counts half."""
    total = combining.uncertainty_weighting([np.array(2.0), np.array(4.0)], np.zeros(2))
    assert total == 3


@law
@given(positive, tensors(3, 0, 2), st.floats(0, 5))
def test_weighted_sum_is_linear(losses, weights, factor):
    """Twice the weights, twice the sum."""
    function = unstacked(combining.weighted_sum)
    total = function(losses, weights)
    assert abs(total - losses @ weights) < 1e-9
    assert abs(function(losses, factor * weights) - factor * total) < 1e-9


@law
@given(positive)
def test_uncertainty_weighting_is_best_at_the_losses_themselves(losses):
    """sigma^2 = L: there the gradient is zero, and every other choice is dearer."""
    function = unstacked(combining.uncertainty_weighting)
    best = np.log(losses)
    assert np.abs(grad(function, wrt=1)(losses, best)).max() < 1e-12
    least = function(losses, best)
    assert abs(least - (1 + np.log(losses)).sum() / 2) < 1e-12
    for step in (-0.5, 0.5):
        assert function(losses, best + step) > least


@law
@given(positive, st.floats(0.1, 10))
def test_uncertainty_weighting_at_its_best_forgets_the_unit(losses, factor):
    """A loss in other units moves the optimum by a constant: no loss is favoured."""
    function = unstacked(combining.uncertainty_weighting)
    moved = function(losses * factor, np.log(losses * factor))
    before = function(losses, np.log(losses))
    assert abs(moved - before - 1.5 * np.log(factor)) < 1e-9


@law
def test_weighted_sum_and_uncertainty_weighting_keep_the_dtype():
    """float16 in, float16 out; and nothing that came in was written to."""
    draw = random_arrays(1)
    losses = np.abs(draw(3))
    check_dtype(lambda x: unstacked(combining.weighted_sum)(x, [1.0, 0.5, 0.1]), losses)
    check_dtype(unstacked(combining.uncertainty_weighting), losses, draw(3))


@oracle
def test_weighted_sum_equals_torch(compare):
    """Arithmetic, and the gradient of each loss is its weight."""
    weights = [1.0, 0.02, 0.005]
    compare(
        lambda losses: unstacked(combining.weighted_sum)(losses, weights),
        lambda torch: lambda losses: sum(w * x for w, x in zip(weights, losses)),
        np.abs(random_arrays(2)(3)),
    )


@oracle
def test_uncertainty_weighting_equals_torch(compare):
    """The formula written with sigma, and its gradients in losses and log variances."""

    def theirs(torch):
        def function(losses, log_variances):
            sigma = torch.exp(log_variances).sqrt()
            return (losses / (2 * sigma**2) + torch.log(sigma)).sum()

        return function

    draw = random_arrays(3)
    compare(
        unstacked(combining.uncertainty_weighting), theirs, np.abs(draw(3)), draw(3)
    )


@derivative
def test_weighted_sum_derivative():
    """The weight of each loss."""
    check_vjp(
        lambda losses: unstacked(combining.weighted_sum)(losses, [1.0, 0.5, 2.0]),
        random_arrays(4)(3),
    )


@derivative
def test_uncertainty_weighting_derivative():
    """In the losses, and in the log variances."""
    draw = random_arrays(5)
    check_vjp(unstacked(combining.uncertainty_weighting), np.abs(draw(3)), draw(3))


@contract
def test_weighted_sum_refuses_a_loss_without_a_weight():
    """Each has one; zip would leave the last one out in silence."""
    with pytest.raises(ValueError, match="2 losses and 1 weights"):
        combining.weighted_sum([np.array(1.0), np.array(2.0)], [1.0])
    with pytest.raises(ShapeError, match=r"one number, not \(2,\)"):
        combining.weighted_sum([np.zeros(2)], [1.0])


@contract
def test_uncertainty_weighting_refuses_a_loss_without_a_variance():
    """And losses that are not one number each."""
    with pytest.raises(ShapeError, match="2 losses, but log_variances are"):
        combining.uncertainty_weighting([np.array(1.0), np.array(2.0)], np.zeros(3))
    with pytest.raises(ShapeError, match="one number, not an array"):
        combining.uncertainty_weighting([np.zeros(2), np.zeros(2)], np.zeros(2))
