"""The spec of refvlm/blocks/token_reduction/clustering.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refvlm.blocks.token_reduction import clustering
from refvlm.shapes import ShapeError

from ...spec import (
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

few = hnp.arrays(np.float64, (8, 2), elements=st.integers(-2, 2).map(float))


@example
def test_kmeans_of_three_numbers():
    """Started at 0 and 1, the 9 pulls the second centre to itself and frees the 1."""
    centers, groups = clustering.kmeans(
        np.array([[0.0], [1.0], [9.0]]), np.array([[0.0], [1.0]])
    )
    np.testing.assert_array_equal(centers, [[0.5], [9]])
    np.testing.assert_array_equal(groups, [0, 0, 1])


@example
def test_in_order_numbers_groups_by_their_first_tokens():
    """Whoever stands first has group 0."""
    groups = clustering.in_order(np.array([2, 0, 2, 1]), 3)
    np.testing.assert_array_equal(groups, [0, 1, 0, 2])


@law
@given(tensors((2, 8, 3)), st.integers(1, 8))
def test_kmeans_never_makes_the_inertia_larger(x, k):
    """Each of the two steps makes it smaller, or leaves it."""
    start, least = x[:, :k], np.full(2, np.inf)
    for iterations in range(1, 6):
        centers, groups = clustering.kmeans(x, start, iterations)
        now = clustering.inertia(x, centers, groups)
        assert (now <= least + 1e-9).all()
        least = now


@law
@given(few, st.integers(1, 8))
def test_kmeans_leaves_no_cluster_empty(x, k):
    """Even where tokens are the same, and centres begin at one point."""
    for start in (x[:k], np.repeat(x[:1], k, axis=0), x[:k] + 100.0):
        centers, groups = clustering.kmeans(x, start)
        assert set(groups.tolist()) == set(range(k))
        means = np.stack([x[groups == g].mean(axis=0) for g in range(k)])
        assert np.abs(centers - means).max() < 1e-12


@law
@given(tensors((6, 2)), st.integers(0, 9))
def test_kmeans_tokens_of_as_many_as_there_are_changes_nothing(x, seed):
    """A cluster for each token: the same tokens, in the same order."""
    means, sizes, groups = clustering.kmeans_tokens(x, 6, np.random.default_rng(seed))
    np.testing.assert_array_equal(means[groups], x)
    np.testing.assert_array_equal(sizes, np.ones(6))
    np.testing.assert_array_equal(groups, np.arange(6))


@law
def test_kmeans_tokens_keeps_the_sum_of_size_times_token():
    """The means stand for all tokens, and their order is that of their first ones."""
    x = random_arrays(1)(3, 20, 4)
    means, sizes, groups = clustering.kmeans_tokens(x, 6, np.random.default_rng(2))
    assert_close((means * sizes[..., None]).sum(axis=1), x.sum(axis=1), 1e-12)
    for row in groups:
        assert (np.diff([row.tolist().index(g) for g in range(6)]) > 0).all()


@law
def test_kmeans_tokens_follows_its_generator():
    """The same seed, the same clusters; and each picture of a batch has its own."""
    x = random_arrays(3)(2, 20, 4)
    runs = [clustering.kmeans_tokens(x, 5, np.random.default_rng(7)) for _ in range(2)]
    np.testing.assert_array_equal(*(groups for _, _, groups in runs))
    assert (runs[0][2][0] != runs[0][2][1]).any()


@law
def test_kmeans_finds_what_lies_apart():
    """Three heaps far from each other are three clusters, from most beginnings."""
    draw = random_arrays(4)
    heaps = np.repeat(np.array([[0.0, 0], [50, 0], [0, 50]]), 10, axis=0)
    x = heaps + draw(30, 2)
    found = []
    for seed in range(20):
        _, sizes, _ = clustering.kmeans_tokens(x, 3, np.random.default_rng(seed))
        found.append(sizes.tolist() == [10, 10, 10])
    assert sum(found) >= 10


@law
def test_kmeans_keeps_its_digits_far_from_the_origin():
    """10000 away, in float32: what all tokens share is taken off before squares are."""
    x = random_arrays(5)(2, 30, 4).astype(np.float32)
    near, far = (clustering.kmeans(x + c, x[:, :5] + c)[1] for c in (0, 10000))
    assert (near == far).mean() > 0.9


@law
def test_kmeans_tokens_keeps_the_dtype():
    """Half precision, too."""
    x = random_arrays(6)(2, 9, 3)
    check_dtype(
        lambda x: clustering.kmeans_tokens(x, 4, np.random.default_rng(0))[0], x
    )
    check_dtype(lambda x, s: clustering.kmeans(x, s)[0], x, x[:, :3])


@oracle
@pytest.mark.parametrize("k, iterations", [(3, 1), (3, 4), (7, 20)])
def test_kmeans_equals_scipy(compare, k, iterations):
    """scipy's kmeans2 from the same centres: the same centres, the same clusters."""
    x = random_arrays(7)(40, 5)
    start = x[:k].copy()

    def ask(torch):
        from scipy.cluster.vq import kmeans2

        centers, groups = kmeans2(x, start, iter=iterations, minit="matrix")
        return {"centers": centers, "groups": groups.astype(np.int64)}

    answers = compare.answers(ask, (x, start, iterations), library="scipy")
    centers, groups = clustering.kmeans(x, start, iterations)
    assert_close(centers, answers["centers"], 1e-12)
    np.testing.assert_array_equal(groups, answers["groups"])
    single, _ = clustering.kmeans(
        x.astype(np.float32), start.astype(np.float32), iterations
    )
    assert_close(single, answers["centers"].astype(np.float32), 1e-5)


@derivative
def test_kmeans_tokens_derivative():
    """Through the means; who is in which cluster does not change with a small step."""
    x = random_arrays(8)(2, 9, 3)
    check_vjp(lambda x: clustering.kmeans_tokens(x, 4, np.random.default_rng(1))[0], x)


@contract
def test_kmeans_refuses_more_clusters_than_tokens():
    """As an empty cluster is no token."""
    x, rng = np.ones((4, 2)), np.random.default_rng(0)
    with pytest.raises(ValueError, match="kmeans: k is 5, but there are 4 tokens"):
        clustering.kmeans(x, np.ones((5, 2)))
    with pytest.raises(ValueError, match="kmeans_tokens: k is 5, but there are 4"):
        clustering.kmeans_tokens(x, 5, rng)
    for wrong in (0, -1, 2.0):
        with pytest.raises(ValueError, match="k must be a whole number of at least 1"):
            clustering.kmeans_tokens(x, wrong, rng)
    with pytest.raises(ValueError, match="iterations must be a whole number"):
        clustering.kmeans(x, x[:2], 0)


@contract
def test_kmeans_refuses_what_has_no_distance():
    """NaN and infinities, tokens without features, and a seed for a generator."""
    x, rng = np.ones((4, 2)), np.random.default_rng(0)
    for wrong in (np.nan, np.inf):
        with pytest.raises(ValueError, match="numbers that are not finite"):
            clustering.kmeans_tokens(np.full((4, 2), wrong), 2, rng)
    with pytest.raises(ShapeError, match="has no features"):
        clustering.kmeans_tokens(np.ones((4, 0)), 2, rng)
    with pytest.raises(ValueError, match="kmeans_tokens: rng must be a numpy.random"):
        clustering.kmeans_tokens(x, 2, 7)


@contract
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_kmeans_refuses_a_start_that_is_nowhere(wrong):
    """No distance to it is a number."""
    x = random_arrays(1)(5, 2)
    start = x[:2].copy()
    start[1, 0] = wrong
    with pytest.raises(ValueError, match="kmeans: start holds numbers that are not"):
        clustering.kmeans(x, start)


@contract
@pytest.mark.parametrize("wrong", [-1, 2, 5])
def test_inertia_refuses_a_group_that_has_no_center(wrong):
    """NumPy would take the last for -1."""
    x = random_arrays(2)(3, 2)
    with pytest.raises(ValueError, match="inertia: groups should be from 0 to 1"):
        clustering.inertia(x, x[:2], np.array([0, 1, wrong]))


@contract
@pytest.mark.parametrize("wrong", [-1, 3])
def test_in_order_refuses_a_group_beyond_their_number(wrong):
    """Of 3 groups there is none with the number 3, nor -1."""
    with pytest.raises(ValueError, match="in_order: groups should be from 0 to 2"):
        clustering.in_order(np.array([0, 1, wrong]), 3)


@contract
def test_clusters_are_of_arrays():
    """A list has no shape, and numbers without features are no tokens."""
    rng = np.random.default_rng(1)
    with pytest.raises(TypeError, match="kmeans_tokens: x must be an array, not list"):
        clustering.kmeans_tokens([[1.0], [2.0]], 1, rng)
    with pytest.raises(ShapeError, match="kmeans_tokens: x"):
        clustering.kmeans_tokens(np.ones(3), 1, rng)
    with pytest.raises(TypeError, match="in_order: groups must be an array, not list"):
        clustering.in_order([1, 0], 2)
