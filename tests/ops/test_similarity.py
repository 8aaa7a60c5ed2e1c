"""The spec of refvlm/ops/similarity.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.shapes import ShapeError

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

rows = tensors((3, 4)).filter(lambda x: np.linalg.norm(x, axis=1).min() > 1e-2)


@example
def test_normalize_of_three_and_four():
    """The vector (3, 4) has length 5."""
    np.testing.assert_allclose(ops.normalize(np.array([[3.0, 4.0]])), [[0.6, 0.8]])


@example
def test_cosine_similarity_of_half_a_right_angle():
    """Between (1, 0) and (1, 1) lie 45 degrees."""
    out = ops.cosine_similarity(np.array([[1.0, 0.0]]), np.array([[1.0, 1.0]]))
    assert_close(out, np.array([np.sqrt(0.5)]))


@example
def test_cosine_similarity_matrix_of_axes():
    """Row i, column j: how well vector i of a agrees with vector j of b."""
    out = ops.cosine_similarity_matrix(np.eye(2), np.array([[5.0, 0.0], [0.0, -2.0]]))
    np.testing.assert_array_equal(out, [[1, 0], [0, -1]])


@law
@given(rows)
def test_normalize_gives_length_one(x):
    """Every row has length 1."""
    length = np.linalg.norm(ops.normalize(x), axis=1)
    assert np.abs(length - 1).max() < 1e-12, f"a row has length {length[0]:.3g}, not 1"


@law
@given(rows, st.floats(0.1, 100))
def test_normalize_forgets_the_length(x, factor):
    """Only the direction is left."""
    assert np.abs(ops.normalize(factor * x) - ops.normalize(x)).max() < 1e-12


@law
def test_normalize_leaves_zero_alone():
    """Zero has no direction; eps keeps 0/0 away."""
    np.testing.assert_array_equal(ops.normalize(np.zeros((2, 3))), np.zeros((2, 3)))


@law
@given(rows)
def test_normalize_keeps_the_dtype(x):
    """float16 in, float16 out; and nothing that came in was written to."""
    check_dtype(ops.normalize, x)


@law
def test_normalize_of_half_precision_does_not_overflow():
    """The square of 300 does not fit float16; the length does."""
    out = ops.normalize(np.array([[300.0, 400.0]], np.float16))
    np.testing.assert_allclose(out, [[0.6, 0.8]], rtol=1e-2)


@law
@given(rows, rows)
def test_cosine_similarity_lies_between_minus_one_and_one(a, b):
    """It is a cosine; and a vector agrees perfectly with itself."""
    assert np.abs(ops.cosine_similarity(a, b)).max() <= 1 + 1e-12
    assert np.abs(ops.cosine_similarity(a, a) - 1).max() < 1e-12
    assert np.abs(ops.cosine_similarity(a, -a) + 1).max() < 1e-12


@law
@given(rows, rows, st.floats(0.1, 100))
def test_cosine_similarity_does_not_look_at_lengths(a, b, factor):
    """Stretch either vector and the angle stays."""
    stretched = ops.cosine_similarity(factor * a, b)
    assert np.abs(stretched - ops.cosine_similarity(a, b)).max() < 1e-12


@law
@given(tensors((3, 4)), tensors((3, 4)))
def test_cosine_similarity_orders_as_distance_on_the_sphere(a, b):
    """Of unit vectors the squared distance is 2 - 2 cos: nearest is most similar."""
    a, b = ops.normalize(a + 11), ops.normalize(b + 11)
    distance = np.square(a - b).sum(axis=1)
    assert np.abs(distance - (2 - 2 * ops.cosine_similarity(a, b))).max() < 1e-12


@law
def test_cosine_similarity_keeps_the_dtype():
    """float16 in, float16 out; and nothing that came in was written to."""
    draw = random_arrays(1)
    check_dtype(ops.cosine_similarity, draw(3, 4, 5), draw(4, 5), dim=-1)


@law
@given(rows, tensors((2, 4)))
def test_cosine_similarity_matrix_holds_every_pair(a, b):
    """One product gives what the pairs give one by one."""
    pairs = [[ops.cosine_similarity(v, w, dim=0) for w in b] for v in a]
    assert np.abs(ops.cosine_similarity_matrix(a, b) - pairs).max() < 1e-12


@law
def test_cosine_similarity_matrix_keeps_the_dtype():
    """float16 in, float16 out; and nothing that came in was written to."""
    draw = random_arrays(2)
    check_dtype(ops.cosine_similarity_matrix, draw(3, 4), draw(2, 4))


@oracle
@pytest.mark.parametrize("p, dim", [(2.0, 1), (2.0, -1), (1.0, 0), (3.0, 1)])
def test_normalize_equals_torch(compare, p, dim):
    """PyTorch's normalize and its gradient, for several lengths and axes."""
    x = random_arrays(3)(3, 4, 5)
    compare(ops.normalize, lambda torch: torch.nn.functional.normalize, x, p=p, dim=dim)


@oracle
def test_normalize_of_short_vectors_equals_torch(compare):
    """A vector shorter than eps is divided by eps."""
    x = random_arrays(4)(3, 4) * np.array([[1.0], [1e-3], [0.0]])
    compare(ops.normalize, lambda torch: torch.nn.functional.normalize, x, eps=0.1)


@oracle
@pytest.mark.parametrize("dim", [1, 2, -1])
def test_cosine_similarity_equals_torch(compare, dim):
    """PyTorch's cosine_similarity and its gradients; the two sides broadcast."""
    draw = random_arrays(5)

    def reference(torch):
        return torch.nn.functional.cosine_similarity

    pair = draw(3, 4, 5), draw(2, 3, 4, 5)
    compare(ops.cosine_similarity, reference, *pair, dim=dim)


@oracle
def test_cosine_similarity_of_short_vectors_equals_torch(compare):
    """Each length is kept above eps by itself, not the product of the two."""
    draw = random_arrays(6)
    short = draw(3, 4) * np.array([[1.0], [1e-3], [0.0]])

    def reference(torch):
        return torch.nn.functional.cosine_similarity

    pair = short, draw(3, 4)
    compare(ops.cosine_similarity, reference, *pair, eps=0.1, gradients=False)


@oracle
def test_cosine_similarity_matrix_equals_torch(compare):
    """PyTorch's cosine_similarity of every pair, and its gradients."""
    draw = random_arrays(7)

    def reference(torch):
        function = torch.nn.functional.cosine_similarity
        return lambda a, b: function(a[:, None], b[None, :], dim=-1)

    compare(ops.cosine_similarity_matrix, reference, draw(3, 5), draw(4, 5))


@derivative
@pytest.mark.parametrize("p", [1.0, 2.0, 3.5])
def test_normalize_derivative(p):
    """What would only lengthen the vector is taken out of the gradient."""
    check_vjp(ops.normalize, random_arrays(8)(3, 4), p=p)


@derivative
def test_normalize_derivative_of_short_vectors():
    """Below eps the length is a constant, and so is the divisor."""
    x = random_arrays(9)(3, 4) * np.array([[1.0], [1e-3], [0.0]])
    check_vjp(ops.normalize, x, eps=0.1)


@derivative
@pytest.mark.parametrize("eps", [1e-8, 0.5])
def test_cosine_similarity_derivative(eps):
    """Turn towards the other; the closer, the less."""
    draw = random_arrays(10)
    short = draw(3, 4) * np.array([[1.0], [1.0], [1e-2]])
    check_vjp(ops.cosine_similarity, short, draw(1, 4), eps=eps)


@contract
@pytest.mark.parametrize("p", [0.5, np.inf])
def test_normalize_refuses_lengths_that_it_does_not_know(p):
    """Below 1 it is no length, and at infinity it has no derivative."""
    with pytest.raises(ValueError, match="p is a finite number from 1"):
        ops.normalize(np.ones((2, 3)), p=p)


@contract
def test_cosine_similarity_refuses_what_does_not_broadcast():
    """The message gives both shapes."""
    with pytest.raises(ShapeError, match=r"x2 is \(2, 4\).* do not broadcast"):
        ops.cosine_similarity(np.ones((2, 3)), np.ones((2, 4)))


@contract
def test_cosine_similarity_matrix_refuses_vectors_of_other_lengths():
    """The message gives both shapes."""
    with pytest.raises(ShapeError, match=r"b is \(2, 4\), but d = 3 \(from a \(2, 3\)"):
        ops.cosine_similarity_matrix(np.ones((2, 3)), np.ones((2, 4)))
