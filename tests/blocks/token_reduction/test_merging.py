"""The spec of refvlm/blocks/token_reduction/merging.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.blocks.token_reduction import merging
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


def tome(torch, r, class_token):
    """Token Merging as its paper says it: A and B alternate, each a finds its most
    similar b, the r best edges are taken, tokens are summed by size and divided.

    The paper's order is unmerged A, then B; here each token stands at its place.
    """

    def merge(x, sizes, metric):
        n = x.shape[-2]
        unit = metric / metric.norm(dim=-1, keepdim=True)
        scores = torch.einsum(
            "...id,...jd->...ij", unit[..., ::2, :], unit[..., 1::2, :]
        )
        if class_token:
            scores[..., 0, :] = -torch.inf
        best, partner = scores.max(dim=-1)
        merged = best.argsort(dim=-1, descending=True)[..., :r]
        rows = []
        for one, size, gone, to in zip(x, sizes, merged, partner):
            sums = one * size[:, None]
            counts = size.clone()
            for a in gone.tolist():
                b = 2 * to[a].item() + 1
                sums = sums.index_add(0, torch.tensor([b]), sums[2 * a : 2 * a + 1])
                counts[b] = counts[b] + size[2 * a]
            stay = [i for i in range(n) if i % 2 or i // 2 not in gone.tolist()]
            rows.append((sums / counts[:, None])[stay])
        return torch.stack(rows)

    return merge


def distinct(n, d, seed=1):
    """Tokens, sizes and a metric of a batch of two, in which no two pairs tie."""
    draw = random_arrays(seed)
    sizes = np.abs(np.round(draw(2, n))) + 1
    return draw(2, n, d), sizes, draw(2, n, d + 1)


@example
def test_bipartite_matching_of_three_tokens():
    """The third points almost where the second does, and goes to it; the first has only
    the second for a partner as well, and is less like it."""
    metric = np.array([[1.0, 0.0], [0.0, 1.0], [0.1, 1.0]])
    np.testing.assert_array_equal(merging.bipartite_matching(metric, 1), [0, 1, 1])
    np.testing.assert_array_equal(merging.bipartite_matching(metric, 0), [0, 1, 2])


@example
def test_repeated_merge_of_four_tokens_to_one():
    """Two merges, then one: the mean of all four, by their sizes."""
    x, sizes = np.array([[0.0], [4.0], [8.0], [2.0]]), np.array([1.0, 3.0, 2.0, 2.0])
    merged, counts, groups = merging.repeated_merge(x, sizes, 1)
    np.testing.assert_allclose(merged, [[4]], rtol=1e-15)
    np.testing.assert_array_equal(counts, [8])
    np.testing.assert_array_equal(groups, [0, 0, 0, 0])


@example
def test_merge_tokens_by_size():
    """A token of size 3 pulls three times as hard as one of size 1."""
    x, sizes = np.array([[0.0], [4.0], [9.0]]), np.array([1.0, 3.0, 2.0])
    merged, counts = merging.merge_tokens(x, np.array([0, 0, 1]), 2, sizes)
    np.testing.assert_array_equal(merged, [[3], [9]])
    np.testing.assert_array_equal(counts, [4, 2])


@example
def test_size_bias_is_a_logarithm():
    """A token of size 1 is looked at as ever."""
    out = merging.size_bias(np.array([1.0, np.e]))
    assert out.shape == (1, 1, 2)
    np.testing.assert_allclose(out.ravel(), [0, 1])


@law
@given(tensors((2, 9, 3)), st.integers(0, 4), st.booleans())
def test_bipartite_merge_keeps_the_sum_of_size_times_token(x, r, class_token):
    """Nothing is thrown away, however often it is merged."""
    merged, sizes = x, None
    for _ in range(2):
        most = merging.most_merges(merged.shape[1], class_token)
        merged, sizes, _ = merging.bipartite_merge(
            merged, sizes, min(r, most), class_token=class_token
        )
    assert np.abs(sizes.sum(axis=1) - 9).max() < 1e-12
    sums = (sizes[..., None] * merged).sum(axis=1)
    assert np.abs(sums - x.sum(axis=1)).max() < 1e-10


@law
@given(tensors((9, 3)), st.integers(0, 4))
def test_bipartite_matching_numbers_what_is_left_by_place(metric, r):
    """n - r groups in order, each with an odd token or with an even one that stayed."""
    groups = merging.bipartite_matching(metric, r)
    assert sorted(set(groups.tolist())) == list(range(9 - r))
    assert (np.diff(groups[1::2]) > 0).all()  # an odd token never moves
    moved = [i for i in range(0, 9, 2) if (groups == groups[i]).sum() > 1]
    assert len(moved) == r


@law
def test_bipartite_matching_leaves_the_class_token_alone():
    """Even where its most similar token is its very copy."""
    metric = np.ones((7, 2))
    for r in (1, 3):
        groups = merging.bipartite_matching(metric, r, class_token=True)
        assert groups[0] == 0 and (groups[1:] > 0).all()


@law
def test_merging_equal_tokens_loses_nothing():
    """Two copies of each token: half of them go, and a proportional attention over the
    rest says what it said over all of them."""
    draw = random_arrays(2)
    once, query = draw(2, 1, 4, 3), draw(2, 1, 5, 3)
    twice = np.repeat(once, 2, axis=-2)
    merged, sizes, _ = merging.bipartite_merge(twice[:, 0], None, 4)
    assert_close(merged, once[:, 0], 1e-12)
    merged = merged[:, None]
    mask = merging.size_bias(sizes)
    assert_close(
        ops.scaled_dot_product_attention(query, merged, merged, mask),
        ops.scaled_dot_product_attention(query, twice, twice),
        1e-12,
    )


@law
def test_proportional_attention_counts_unequal_sizes():
    """A token of size 3 among others is looked at as three copies of it would be; with
    no logarithm it would be looked at as one."""
    draw = random_arrays(3)
    query, keys = draw(1, 2, 3), draw(1, 2, 3)
    copied = np.repeat(keys, [3, 1], axis=-2)
    mask = merging.size_bias(np.array([3.0, 1.0]))[0]
    wanted = ops.scaled_dot_product_attention(query, copied, copied)
    assert_close(
        ops.scaled_dot_product_attention(query, keys, keys, mask), wanted, 1e-12
    )
    plain = ops.scaled_dot_product_attention(query, keys, keys)
    assert np.abs(plain - wanted).max() > 1e-2


@law
def test_bipartite_merge_keeps_the_dtype():
    """Half precision, too."""
    x, sizes, metric = distinct(7, 3)
    check_dtype(
        lambda *a: merging.bipartite_merge(*a[:2], 3, a[2])[0], x, sizes, metric
    )
    check_dtype(merging.size_bias, sizes)


@law
def test_bipartite_merge_of_no_samples_gives_none():
    """An empty batch goes in, and comes out."""
    merged, sizes, groups = merging.bipartite_merge(np.zeros((0, 5, 2)), None, 2)
    assert merged.shape == (0, 3, 2) and sizes.shape == (0, 3)
    assert groups.shape == (0, 5)


@oracle
@pytest.mark.parametrize("n, r, class_token", [(9, 4, False), (8, 3, True), (12, 6, 0)])
def test_bipartite_merge_equals_its_algorithm_in_torch(compare, n, r, class_token):
    """The paper's algorithm, one edge after the other; and the tokens' gradient."""
    x, sizes, metric = distinct(n, 5, seed=n)

    def reference(torch):
        merge = tome(torch, r, class_token)
        return lambda x: merge(x, *(torch.from_numpy(a).to(x.dtype) for a in constants))

    def ours(x):
        counts, by = (a.astype(x.dtype) for a in constants)
        return merging.bipartite_merge(x, counts, r, by, class_token)[0]

    constants = sizes, metric
    compare(ours, reference, x)


@derivative
def test_merge_tokens_derivative():
    """A token gets its share by size; and its size what it adds to the mean."""
    x, sizes, _ = distinct(5, 3)
    groups = np.array([[0, 1, 1, 2, 0], [2, 2, 0, 1, 2]])
    check_vjp(lambda x, s: merging.merge_tokens(x, groups, 3, s)[0], x, sizes)


@law
@pytest.mark.parametrize("keep", [2, 5, 16, 17])
@pytest.mark.parametrize("class_token", [False, True])
def test_repeated_merge_is_one_merge_of_its_groups(keep, class_token):
    """However often it took, each token is the mean of its group; and x is its own
    metric, unless another is given."""
    x, sizes, _ = distinct(17, 4)
    merged, counts, groups = merging.repeated_merge(x, sizes, keep, None, class_token)
    at_once, added = merging.merge_tokens(x, groups, keep, sizes)
    assert_close(merged, at_once, 1e-12)
    np.testing.assert_array_equal(counts, added)
    same, _, _ = merging.repeated_merge(x, sizes, keep, x, class_token)
    np.testing.assert_array_equal(same, merged)
    if class_token:
        np.testing.assert_array_equal(merged[:, 0], x[:, 0])


@contract
def test_bipartite_matching_refuses_more_pairs_than_there_are():
    """Half of the tokens at once; the class token is none of them."""
    with pytest.raises(ValueError, match="r is 3, but of 5 tokens at most 2"):
        merging.bipartite_matching(np.ones((5, 2)), 3)
    with pytest.raises(
        ValueError, match="of 4 tokens beside the class token at most 2"
    ):
        merging.bipartite_matching(np.ones((5, 2)), 3, class_token=True)
    for wrong in (-1, 1.0):
        with pytest.raises(ValueError, match="r must be a whole number of at least 0"):
            merging.bipartite_matching(np.ones((5, 2)), wrong)


@contract
def test_bipartite_matching_refuses_nan():
    """Nothing is similar to it."""
    with pytest.raises(ValueError, match="metric has NaN"):
        merging.bipartite_matching(np.array([[1.0], [np.nan]]), 1)
    with pytest.raises(ShapeError, match="has no features"):
        merging.bipartite_matching(np.ones((4, 0)), 1)


@contract
def test_merge_tokens_refuses_an_empty_group_and_no_size():
    """No token is the mean of none, and a token of size 0 would be no token."""
    x, groups = np.ones((3, 2)), np.array([0, 0, 2])
    with pytest.raises(ValueError, match="nobody is in group 1 of 3"):
        merging.merge_tokens(x, groups, 3)
    for wrong in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="sizes must be finite and above 0"):
            merging.merge_tokens(x, np.zeros(3, int), 1, np.array([1.0, wrong, 1.0]))
        with pytest.raises(ValueError, match="size_bias: sizes must be finite"):
            merging.size_bias(np.array([wrong]))


@contract
def test_repeated_merge_refuses_what_it_cannot_reach():
    """More tokens than there are, none, or the class token alone."""
    x = np.ones((4, 2))
    with pytest.raises(ValueError, match="repeated_merge: keep is 5, but there are 4"):
        merging.repeated_merge(x, None, 5)
    with pytest.raises(ValueError, match="keep must be a whole number of at least 1"):
        merging.repeated_merge(x, None, 0)
    with pytest.raises(ValueError, match="keep is 1, the class token"):
        merging.repeated_merge(x, None, 1, class_token=True)


@contract
@pytest.mark.parametrize("wrong", [np.inf, -np.inf])
def test_merging_refuses_infinity(wrong):
    """An infinite token is in no direction, and an infinite size makes NaN of inf /
    inf."""
    x = random_arrays(1)(5, 3)
    x[2, 1] = wrong
    with pytest.raises(ValueError, match="metric has NaN or infinity"):
        merging.bipartite_matching(x, 1)
    sizes = np.array([1.0, abs(wrong)])
    with pytest.raises(ValueError, match="merge_tokens: sizes must be finite"):
        merging.merge_tokens(np.ones((2, 3)), np.array([0, 0]), 1, sizes)
    with pytest.raises(ValueError, match="size_bias: sizes must be finite"):
        merging.size_bias(sizes)


@contract
@pytest.mark.parametrize("wrong", [2, -1, "yes", None, 0.5])
def test_bipartite_matching_refuses_a_number_of_class_tokens(wrong):
    """There is one or none, and two would be counted and not spared."""
    with pytest.raises(ValueError, match="class_token is True where the first"):
        merging.bipartite_matching(random_arrays(1)(9, 3), 2, wrong)
