"""The spec of refvlm/analysis/scaling_laws.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.analysis import scaling_laws

from ..spec import assert_close, contract, example, law, oracle, random_arrays


@example
def test_scaling_loss_of_chinchilla():
    """70 B parameters, 1.4 T tokens: 1.69 + 0.084 + 0.163, by hand."""
    loss = scaling_laws.scaling_loss(70e9, 1.4e12)
    assert loss == pytest.approx(1.69 + 0.0835 + 0.1632, abs=1e-3)


@example
def test_fit_power_law_of_a_halving():
    """Four times the size, half the loss: the exponent is 1/2."""
    a, alpha = scaling_laws.fit_power_law([1, 4, 16], [8, 4, 2])
    np.testing.assert_allclose([a, alpha], [8, 0.5])


@law
@given(st.floats(1e6, 1e12), st.floats(1e8, 1e13), st.floats(1.1, 100))
def test_scaling_loss_falls_with_both_towards_the_floor(parameters, tokens, more):
    """More of either is better, and no amount reaches what cannot be known."""
    loss = scaling_laws.scaling_loss(parameters, tokens)
    assert scaling_laws.scaling_loss(more * parameters, tokens) < loss
    assert scaling_laws.scaling_loss(parameters, more * tokens) < loss
    assert loss > scaling_laws.FLOOR


@law
@given(st.floats(1e18, 1e26))
def test_compute_optimal_spends_the_budget_and_beats_its_neighbours(flops):
    """6 N D is the budget, and a model larger or smaller by a tenth does worse."""
    parameters, tokens = scaling_laws.compute_optimal(flops)
    assert 6 * parameters * tokens == pytest.approx(flops)
    best = scaling_laws.scaling_loss(parameters, tokens)
    for factor in (0.9, 1.1):
        other = scaling_laws.scaling_loss(factor * parameters, tokens / factor)
        assert other > best


@law
@given(st.floats(0.1, 100), st.floats(-2, 2), st.floats(0, 5))
def test_fit_power_law_recovers_what_made_the_points(a, alpha, floor):
    """Points on a power law give back its coefficient and its exponent."""
    x = np.array([1.0, 3.0, 10.0, 50.0])
    found = scaling_laws.fit_power_law(x, floor + a * x**-alpha, floor)
    np.testing.assert_allclose(found, [a, alpha], rtol=1e-6, atol=1e-6)


@law
def test_compute_optimal_gives_chinchilla_its_tokens_by_the_fitted_constants():
    """70 billion parameters saw 1.4 trillion tokens, twenty for each. The constants
    that were fitted again agree; the printed ones, rounded, want four times as many."""
    budget = 6 * 70e9 * 1.4e12
    fitted, tokens = scaling_laws.compute_optimal(budget, *scaling_laws.REFIT[1:])
    assert 15 < tokens / fitted < 25 and 0.9 < fitted / 70e9 < 1.1
    printed, tokens = scaling_laws.compute_optimal(budget, *scaling_laws.ROUNDED[1:])
    assert tokens / printed > 80


@oracle
def test_fit_power_law_equals_torch(compare):
    """Noisy points: least squares by torch.linalg.lstsq."""
    draw = random_arrays(1)
    x, y = np.exp(draw(20)), np.exp(draw(20))

    def ask(torch):
        columns = torch.tensor(np.stack([np.ones(20), np.log(x)], axis=1))
        answer = torch.linalg.lstsq(columns, torch.tensor(np.log(y))[:, None])
        return {"line": answer.solution[:, 0].numpy()}

    a, alpha = scaling_laws.fit_power_law(x, y)
    line = compare.answers(ask, (x, y))["line"]
    assert_close(np.array([np.log(a), -alpha]), line)


@contract
@pytest.mark.parametrize(
    "x, y, message",
    [
        ([1.0, 1.0], [2.0, 3.0], "two points or more"),
        ([1.0, 2.0], [2.0], "two points or more"),
        ([0.0, 1.0], [2.0, 3.0], "above 0"),
        ([1.0, 2.0], [2.0, 0.0], "above the floor"),
    ],
)
def test_fit_power_law_refuses_what_has_no_logarithm(x, y, message):
    """One point, or a loss that is at its floor already."""
    with pytest.raises(ValueError, match=message):
        scaling_laws.fit_power_law(x, y)
