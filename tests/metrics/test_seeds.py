"""The spec of refvlm/metrics/seeds.py."""

import math

import numpy as np
import pytest
from hypothesis import given

from refvlm.metrics import seeds
from refvlm.shapes import ShapeError

from ..spec import assert_close, contract, example, law, oracle, random_arrays, tensors


@example
def test_mean_and_error_of_three():
    """1, 2, 3: their mean is 2, their deviation 1, and the mean's error 1 by root 3."""
    mean, error = seeds.mean_and_error(np.array([1.0, 2.0, 3.0]))
    assert mean == 2 and error == pytest.approx(3**-0.5, rel=1e-12)


@example
def test_paired_difference_of_three():
    """Each is 1 better than its partner, however the partners differ: no error."""
    values = np.array([11.0, 51.0, 31.0])
    assert seeds.paired_difference(values, values - 1) == (1.0, 0.0)


@law
def test_mean_and_error_of_one_draw_is_unknown():
    """One run has a mean, and no spread."""
    mean, error = seeds.mean_and_error(np.array([5.0]))
    assert mean == 5 and math.isnan(error)


@law
@given(tensors(7))
def test_mean_and_error_moves_and_stretches_with_the_draws(values):
    """All draws up by 3: the mean, too, and the error stays; twice as far apart, twice
    the error."""
    mean, error = seeds.mean_and_error(values)
    scale = 1 + np.abs(values).max()
    moved = seeds.mean_and_error(values + 3)
    assert_close(np.array(moved) / scale, np.array([mean + 3, error]) / scale, 1e-9)
    twice = seeds.mean_and_error(2 * values)
    assert_close(np.array(twice) / scale, 2 * np.array([mean, error]) / scale, 1e-9)


@law
def test_mean_and_error_shrinks_with_the_root_of_the_draws():
    """The same draws four times over: about half of the error."""
    values = random_arrays(3)(50)
    _, error = seeds.mean_and_error(values)
    _, smaller = seeds.mean_and_error(np.tile(values, 4))
    assert smaller == pytest.approx(error * (49 / 199) ** 0.5, rel=1e-9)


@law
@given(tensors(6), tensors(6))
def test_paired_difference_changes_its_sign_with_the_sides(values, others):
    """As much better as the other is worse, with the same error."""
    mean, error = seeds.paired_difference(values, others)
    back = seeds.paired_difference(others, values)
    scale = 1 + np.abs(values).max() + np.abs(others).max()
    assert_close(np.array(back) / scale, np.array([-mean, error]) / scale, 1e-9)


@law
def test_paired_difference_takes_away_what_both_share():
    """Luck of a thousand in both of them is gone."""
    draw = random_arrays(4)
    own, luck = draw(2, 9), 1000 * draw(9)
    shared = seeds.paired_difference(own[0] + luck, own[1] + luck)
    assert_close(np.array(shared), np.array(seeds.paired_difference(*own)), 1e-9)


def by_torch(compare, *arrays):
    """The mean and the error of the last array's differences from the first, or of one
    array, as PyTorch has them."""

    def ask(torch):
        given = [torch.from_numpy(array) for array in arrays]
        values = given[0] - given[1] if len(given) == 2 else given[0]
        error = values.std(correction=1) / len(values) ** 0.5
        return {"found": torch.stack([values.mean(), error])}

    return compare.answers(ask, arrays)["found"]


@oracle
def test_mean_and_error_equals_torch(compare):
    """The mean, and the unbiased deviation by the root of how many."""
    values = random_arrays(5)(11)
    found = np.array(seeds.mean_and_error(values))
    assert_close(found, by_torch(compare, values), 1e-12)


@oracle
def test_paired_difference_equals_torch(compare):
    """The same of the differences."""
    values, others = (random_arrays(seed)(7) for seed in (6, 7))
    found = np.array(seeds.paired_difference(values, others))
    assert_close(found, by_torch(compare, values, others), 1e-12)


@contract
def test_mean_and_error_wants_draws():
    """None have no mean, and a table of them is no row."""
    with pytest.raises(ValueError, match="values is empty"):
        seeds.mean_and_error(np.zeros(0))
    with pytest.raises(ShapeError, match="values"):
        seeds.mean_and_error(np.zeros((2, 2)))


@contract
def test_paired_difference_wants_pairs():
    """Each draw has its partner."""
    with pytest.raises(ShapeError, match="others"):
        seeds.paired_difference(np.zeros(3), np.zeros(2))
