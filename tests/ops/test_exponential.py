"""The spec of refvlm/ops/exponential.py."""

import numpy as np
import pytest
from hypothesis import given

from refvlm import ops

from ..spec import (
    assert_close,
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


@example
def test_exp_of_a_logarithm():
    """e to the log of 2 is 2, and e to 0 is 1."""
    assert_close(ops.exp(np.array([0.0, np.log(2.0)])), np.array([1.0, 2.0]))


@law
@given(tensors((2, 3)), tensors((2, 3)))
def test_exp_turns_sums_into_products(x, y):
    """It is positive, and e^(x + y) = e^x e^y."""
    product = ops.exp(x) * ops.exp(y)
    assert (product > 0).all()
    np.testing.assert_allclose(ops.exp(x + y), product, rtol=1e-12)


@law
@given(tensors((2, 3)))
def test_exp_keeps_the_dtype(x):
    """float16 in, float16 out; and the input was not written to."""
    check_dtype(ops.exp, x)


@oracle
def test_exp_equals_torch(compare):
    """PyTorch's, and its gradient, of any shape down to a number."""
    compare(ops.exp, lambda torch: torch.exp, random_arrays(1)(3, 4))
    compare(ops.exp, lambda torch: torch.exp, np.array(0.5))


@derivative
def test_exp_derivative():
    """The exponential is its own slope."""
    check_vjp(ops.exp, random_arrays(2)(3, 4))


@contract
def test_exp_refuses_integers():
    """The message says what to do about them."""
    with pytest.raises(ValueError, match="floating numbers"):
        ops.exp(np.array([1, 2]))
