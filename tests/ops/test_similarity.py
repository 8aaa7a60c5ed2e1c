"""The spec of refvlm/ops/similarity.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.shapes import ShapeError

from ..spec import (
    assert_close,
    call,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
    tensors,
)

draw = random_arrays(2026)
CALLS = {
    "normalize": [
        call(draw(3, 4, 5)),
        call(draw(3, 4, 5), p=3, dim=(0, 2), eps=1e-3),
        call(draw(3, 4), p=0.5, dim=-1),
        call(draw(3, 4), p=np.inf, dim=0),
    ],
    "cosine_similarity": [
        call(draw(3, 4, 5), draw(4, 5), dim=-1),
        call(draw(3, 4), draw(3, 4), eps=1.0),
    ],
    "cosine_similarity_matrix": [
        call(draw(3, 5), draw(4, 5)),
        call(draw(2, 3, 5), draw(4, 5), eps=1.0),
    ],
}
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
@pytest.mark.parametrize("name", ["normalize", "cosine_similarity"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_normalize_keeps_eps_in_half_precision(name, dtype):
    """1e-12 is 0 in float16, and 0/0 is nan, which is PyTorch's answer. Here a zero
    vector stays zero, and is similar to nothing."""
    zero, other = np.zeros((2, 3), dtype), np.ones((2, 3), dtype)
    more = [other] if name == "cosine_similarity" else []
    assert not getattr(ops, name)(zero, *more).any()


@law
@given(rows)
def test_normalize_of_other_lengths(x):
    """The largest entry, the sum of the sizes, the number of entries: whatever the
    length, that of the result is 1 (and a count of n is divided by n)."""
    size = np.abs(x)
    assert_close(np.abs(ops.normalize(x, p=np.inf)).max(axis=1), np.ones(3))
    assert_close(np.abs(ops.normalize(x, p=1)).sum(axis=1), np.ones(3))
    roots = np.sqrt(np.abs(ops.normalize(x, p=0.5))).sum(axis=1)
    assert_close(roots, np.ones(3))
    assert_close(ops.normalize(x, p=0), x / (size > 0).sum(axis=1, keepdims=True))


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
@given(rows, tensors((2, 4)))
def test_cosine_similarity_matrix_holds_every_pair(a, b):
    """One product gives what the pairs give one by one."""
    pairs = [[ops.cosine_similarity(v, w, dim=0) for w in b] for v in a]
    assert np.abs(ops.cosine_similarity_matrix(a, b) - pairs).max() < 1e-12


@oracle
@pytest.mark.parametrize(
    "p, dim",
    [
        (2.0, 1),
        (2.0, -1),
        (1.0, 0),
        (3.0, 1),
        (0.5, 1),
        (0.0, 0),
        (np.inf, 1),
        (-np.inf, 2),
        (-1.5, 1),
    ],
)
def test_normalize_equals_torch(compare, p, dim):
    """PyTorch's normalize and its gradient, for several lengths and axes."""
    x = random_arrays(3)(3, 4, 5)
    compare(ops.normalize, lambda torch: torch.nn.functional.normalize, x, p=p, dim=dim)


@oracle
@pytest.mark.parametrize("p", [np.inf, 0.5, 1.5])
def test_normalize_of_ties_and_zeros_equals_torch(compare, p):
    """The largest entries share the slope of the length, and a zero has none."""
    x = np.array([[3.0, -4.0, 4.0], [0.0, 1.0, 2.0]])
    compare(ops.normalize, lambda torch: torch.nn.functional.normalize, x, p=p)


@oracle
@pytest.mark.parametrize("p", [2.0, 0.0, 3.0, np.inf])
def test_normalize_of_a_number_alone_equals_torch(compare, p):
    """A number has one axis in mind, and its size is its length. Its direction is its
    sign, unless eps is longer."""

    def reference(torch):
        return torch.nn.functional.normalize

    number = np.array(-0.75)
    compare(ops.normalize, reference, number, p=p, dim=-1, gradients=False)
    compare(ops.normalize, reference, number, p=p, dim=0, eps=2.0)


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
@pytest.mark.parametrize("p", [-np.inf, 0.5, 1.0, 2.0, 3.5, np.inf])
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
@pytest.mark.parametrize("p", [np.nan, None, "fro"])
def test_normalize_refuses_a_power_that_is_no_number(p):
    """The message says what was given."""
    with pytest.raises(ValueError, match=f"normalize: p is a number, not {p!r}"):
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
