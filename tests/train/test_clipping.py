"""The spec of refvlm/train/clipping.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.train import clipping

from ..spec import assert_close, contract, example, law, oracle, random_arrays, tensors


@example
def test_global_norm_is_of_all_gradients_together():
    """3 in one array and 4 in another make 5."""
    assert clipping.global_norm({"a": np.array([3.0]), "b": np.array([[4.0]])}) == 5.0


@example
def test_clip_by_global_norm_shortens_all_by_one_factor():
    """(3, 4) has length 5; clipped to 1 it is (0.6, 0.8), but for the 1e-6."""
    long = {"a": np.array([3.0]), "b": np.array([4.0])}
    clipped, norm = clipping.clip_by_global_norm(long, 1.0)
    assert norm == 5.0
    np.testing.assert_allclose(
        [clipped["a"][0], clipped["b"][0]], [0.6, 0.8], rtol=1e-6
    )


@law
@given(tensors((3,)), tensors((2, 2)), st.floats(1e-3, 100))
def test_clip_by_global_norm_keeps_the_direction(a, b, longest):
    """What comes back is no longer than asked, and parallel to what went in."""
    given_ = {"a": a, "b": b}
    clipped, norm = clipping.clip_by_global_norm(given_, longest)
    length = clipping.global_norm(clipped)
    assert length <= longest * (1 + 1e-12)
    for name, gradient in given_.items():
        np.testing.assert_allclose(
            clipped[name] * norm, gradient * length, rtol=1e-9, atol=1e-12
        )


@law
def test_clip_by_global_norm_leaves_short_gradients_alone():
    """Not a bit is changed, and nothing is copied."""
    short = {"a": np.array([0.3, 0.4])}
    clipped, norm = clipping.clip_by_global_norm(short, 1.0)
    assert clipped["a"] is short["a"] and norm == 0.5


@law
def test_clip_by_global_norm_keeps_dtypes_and_inputs():
    """float32 stays float32; the long gradients are as long as before."""
    long = {"a": np.full(3, 10, np.float32), "b": np.full(3, 10, np.float64)}
    clipped, norm = clipping.clip_by_global_norm(long, 1.0)
    assert clipped["a"].dtype == np.float32 and clipped["b"].dtype == np.float64
    assert type(norm) is float
    np.testing.assert_array_equal(long["a"], [10, 10, 10])


@law
def test_global_norm_does_not_depend_on_the_order_of_names():
    """A run that is resumed may meet its names in another order: the same bits."""
    draw = random_arrays(1)
    gradients = {str(i): draw(7, scale=10.0 ** (i % 9 - 4)) for i in range(200)}
    backwards = {name: gradients[name] for name in reversed(gradients)}
    assert clipping.global_norm(gradients) == clipping.global_norm(backwards)


@law
@pytest.mark.parametrize("dtype, large", [(np.float16, 3e4), (np.float32, 1e30)])
def test_global_norm_of_large_gradients_does_not_overflow(dtype, large):
    """The square may be too large for the dtype; the length is not."""
    large = dtype(large)
    norm = clipping.global_norm({"a": np.full(4, large)})
    assert norm == pytest.approx(2 * float(large), rel=1e-6)


@law
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clip_by_global_norm_reports_what_is_not_finite(bad, dtype):
    """The norm says so, and the gradients come back as they were: to be looked at."""
    gradients = {"a": np.array([1.0, bad], dtype), "b": np.ones(2, dtype)}
    clipped, norm = clipping.clip_by_global_norm(gradients, 1.0)
    np.testing.assert_equal(norm, bad)
    np.testing.assert_array_equal(clipped["a"], gradients["a"])
    np.testing.assert_array_equal(clipped["b"], gradients["b"])


@oracle
@pytest.mark.parametrize("longest", [0.5, 1000.0])
def test_clip_by_global_norm_equals_torch(compare, longest):
    """torch.nn.utils.clip_grad_norm_, where it clips and where it does not."""
    draw = random_arrays(2)
    gradients = {"a": draw(3, 5), "b": draw(7, scale=10.0)}

    def ask(torch):
        places = {n: torch.zeros(g.shape).double() for n, g in gradients.items()}
        for name, place in places.items():
            place.grad = torch.tensor(gradients[name])
        norm = torch.nn.utils.clip_grad_norm_(places.values(), longest)
        return {"norm": norm.numpy(), **{n: p.grad.numpy() for n, p in places.items()}}

    answers = compare.answers(ask, (gradients, longest))
    clipped, norm = clipping.clip_by_global_norm(gradients, longest)
    for name, value in {"norm": norm, **clipped}.items():
        assert_close(value, answers[name])


@contract
@pytest.mark.parametrize("longest", [0.0, -1.0, np.nan])
def test_clip_by_global_norm_refuses_a_length_that_is_none(longest):
    """No gradient is shorter than nothing."""
    with pytest.raises(ValueError, match="not above 0"):
        clipping.clip_by_global_norm({"a": np.ones(1)}, longest)
