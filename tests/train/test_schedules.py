"""The spec of refvlm/train/schedules.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.train import schedules

from ..spec import assert_close, contract, example, law, oracle

PEAK = 3e-3


@example
def test_linear_warmup_climbs_in_equal_steps():
    """A quarter of the peak at each of four steps, and level after that."""
    rates = [schedules.linear_warmup(step, 8.0, 4) for step in range(7)]
    np.testing.assert_array_equal(rates, [0, 2, 4, 6, 8, 8, 8])


@example
def test_cosine_annealing_is_half_way_down_half_way_through():
    """From 8 to 2: 8 at the start, 5 in the middle, 2 at the end and after."""
    rates = [schedules.cosine_annealing(step, 8.0, 4, 2.0) for step in (0, 2, 4, 9)]
    np.testing.assert_allclose(rates, [8, 5, 2, 2])


@example
def test_warmup_cosine_of_six_steps():
    """Two steps up, four steps down."""
    rates = [schedules.warmup_cosine(step, 8.0, 2, 6) for step in (0, 1, 2, 4, 6)]
    np.testing.assert_allclose(rates, [0, 4, 8, 4, 0], atol=1e-15)


@law
@given(st.integers(0, 30), st.integers(1, 30), st.floats(0, 1))
def test_warmup_cosine_never_jumps_and_stays_between_floor_and_peak(
    warmup, rest, floor
):
    """It climbs to the peak, reaches it once, falls to the floor, and stays there."""
    total = warmup + rest
    rates = np.array(
        [schedules.warmup_cosine(s, 1.0, warmup, total, floor) for s in range(99)]
    )
    assert rates[warmup] == 1.0 and np.all(rates[total:] == floor)
    assert np.all(np.diff(rates[: warmup + 1]) > 0)
    assert np.all(np.diff(rates[warmup:]) <= 0)
    steepest = max(1 / max(warmup, 1), np.pi / 2 / rest)
    assert np.abs(np.diff(rates)).max() <= steepest + 1e-12


@law
@given(st.integers(1, 50))
def test_cosine_annealing_spends_half_the_rate(total):
    """The sum over its steps, ends at half weight, is half of peak x steps."""
    rates = [schedules.cosine_annealing(s, 1.0, total) for s in range(total + 1)]
    np.testing.assert_allclose(np.trapezoid(rates), total / 2)


@oracle
def test_linear_warmup_equals_torch(compare):
    """The rates that torch's LambdaLR sets."""

    def ask(torch):
        return {"rates": _rates(torch, "LambdaLR", lambda t: min(1, t / 7))}

    ours = [schedules.linear_warmup(step, PEAK, 7) for step in range(20)]
    assert_close(np.array(ours), compare.answers(ask, 7)["rates"])


@oracle
def test_cosine_annealing_equals_torch(compare):
    """The rates that torch's CosineAnnealingLR sets, up to its last step."""

    def ask(torch):
        return {"rates": _rates(torch, "CosineAnnealingLR", 19, 1e-4)}

    ours = [schedules.cosine_annealing(step, PEAK, 19, 1e-4) for step in range(20)]
    assert_close(np.array(ours), compare.answers(ask, 19)["rates"])


@oracle
@pytest.mark.parametrize("warmup", [0, 7])
def test_warmup_cosine_equals_transformers(compare, warmup):
    """The rates of get_cosine_schedule_with_warmup, up to its last step."""

    def ask(torch):
        from transformers import get_cosine_schedule_with_warmup

        optimizer = _optimizer(torch)
        schedule = get_cosine_schedule_with_warmup(optimizer, warmup, 19)
        return {"rates": _follow(optimizer, schedule)}

    ours = [schedules.warmup_cosine(step, PEAK, warmup, 19) for step in range(20)]
    assert_close(np.array(ours), compare.answers(ask, warmup)["rates"])


def _optimizer(torch):
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], PEAK)


def _rates(torch, name, *arguments):
    optimizer = _optimizer(torch)
    schedule = getattr(torch.optim.lr_scheduler, name)(optimizer, *arguments)
    return _follow(optimizer, schedule)


def _follow(optimizer, schedule):
    rates = []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return np.array(rates)


@contract
def test_schedules_refuse_steps_before_the_first():
    """Steps count from 0, and a warm-up has to fit into the whole."""
    with pytest.raises(ValueError, match="linear_warmup: step is -1"):
        schedules.linear_warmup(-1, 1.0, 2)
    with pytest.raises(ValueError, match="total is -5"):
        schedules.cosine_annealing(0, 1.0, -5)
    with pytest.raises(ValueError, match="a warm-up of 9 steps does not fit in 5"):
        schedules.warmup_cosine(0, 1.0, 9, 5)
