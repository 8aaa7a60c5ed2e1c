"""The spec of refvlm/blocks/token_reduction/pruning.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.blocks.token_reduction import pruning
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


def tokens_and_scores(*shape, seed=1):
    draw = random_arrays(seed)
    return draw(*shape), draw(*shape[:-1])


@example
def test_prune_tokens_keeps_two_of_three():
    """The one with the smallest score goes; the others stand in their old order."""
    kept, places = pruning.prune_tokens(
        np.array([[1.0], [2.0], [3.0]]), np.array([0.5, 0.1, 0.9]), keep=2
    )
    np.testing.assert_array_equal(kept, [[1], [3]])
    np.testing.assert_array_equal(places, [0, 2])


@example
def test_attention_scores_are_means_over_the_heads():
    """One head looks at both alike, the other at the first only."""
    weights = np.array([[[0.5, 0.5]], [[1.0, 0.0]]])
    np.testing.assert_array_equal(pruning.attention_scores(weights), [0.75, 0.25])


@example
def test_token_norms_of_two_tokens():
    """3 and 4 make 5."""
    x = np.array([[3.0, 4.0], [0.0, 1.0]])
    np.testing.assert_array_equal(pruning.token_norms(x), [5, 1])


@law
@given(tensors((2, 7)), st.integers(1, 7))
def test_prune_tokens_drops_none_that_beats_one_that_is_kept(scores, keep):
    """The smallest kept score is at least the largest that goes; places climb."""
    x = random_arrays(2)(2, 7, 3)
    kept, places = pruning.prune_tokens(x, scores, keep)
    for row in range(2):
        gone = np.setdiff1d(np.arange(7), places[row])
        assert len(gone) == 7 - keep and (np.diff(places[row]) > 0).all()
        assert not keep < 7 or scores[row, places[row]].min() >= scores[row, gone].max()
        np.testing.assert_array_equal(kept[row], x[row, places[row]])


@law
def test_prune_tokens_keeps_the_first_of_equals():
    """Where all scores are the same, the first tokens stay."""
    _, places = pruning.prune_tokens(np.zeros((5, 2)), np.ones(5), keep=3)
    np.testing.assert_array_equal(places, [0, 1, 2])


@law
def test_prune_tokens_that_keeps_all_changes_nothing():
    """As many as there are: the same tokens."""
    x, scores = tokens_and_scores(2, 5, 3)
    kept, _ = pruning.prune_tokens(x, scores, keep=5)
    np.testing.assert_array_equal(kept, x)


@law
def test_prune_tokens_keeps_the_dtype():
    """Half precision, too; only tokens are moved about."""
    x, scores = tokens_and_scores(2, 5, 3)
    check_dtype(lambda x, s: pruning.prune_tokens(x, s, 2)[0], x, scores)


@oracle
@pytest.mark.parametrize("keep", [1, 4, 7])
def test_prune_tokens_equals_torch(compare, keep):
    """PyTorch's topk, its places sorted, and gather; and the gradient."""

    def reference(torch):
        def prune(x, scores):
            places = scores.topk(keep, dim=-1).indices.sort(dim=-1).values
            return x.gather(-2, places[..., None].expand(*places.shape, x.shape[-1]))

        return lambda x: prune(x, torch.from_numpy(scores).to(x.dtype))

    x, scores = tokens_and_scores(3, 7, 5, seed=3)

    def ours(x):
        return pruning.prune_tokens(x, scores.astype(x.dtype), keep)[0]

    compare(ours, reference, x)


@oracle
def test_token_norms_equal_torch(compare):
    """PyTorch's vector_norm along the features."""
    x = random_arrays(4)(2, 5, 3)
    compare(
        pruning.token_norms,
        lambda torch: lambda x: torch.linalg.vector_norm(x, dim=-1),
        x,
        gradients=False,
    )


@derivative
def test_prune_tokens_derivative():
    """What is kept has the gradient of its copy; what is gone has none."""
    x, scores = tokens_and_scores(2, 5, 3, seed=5)
    check_vjp(lambda x: pruning.prune_tokens(x, scores, 2)[0], x)


@contract
@pytest.mark.parametrize("keep", [0, -1, 2.0, True])
def test_prune_tokens_refuses_to_keep_none(keep):
    """A whole number of at least 1."""
    with pytest.raises(ValueError, match="prune_tokens: keep must be a whole number"):
        pruning.prune_tokens(*tokens_and_scores(5, 3), keep)


@contract
def test_prune_tokens_refuses_what_is_not_there():
    """More than there are, scores without a number, and scores of other tokens."""
    x, scores = tokens_and_scores(5, 3)
    with pytest.raises(ValueError, match="keep is 6, but there are 5 tokens"):
        pruning.prune_tokens(x, scores, 6)
    with pytest.raises(ValueError, match="scores has NaN"):
        pruning.prune_tokens(x, np.where(scores == scores[0], np.nan, scores), 2)
    with pytest.raises(ShapeError, match=r"prune_tokens: .*scores"):
        pruning.prune_tokens(x, scores[:4], 2)
    with pytest.raises(ShapeError, match=r"scores is \(5,\), but x \(2, 5, 3\)"):
        pruning.prune_tokens(np.stack([x, x]), scores, 2)


@contract
def test_attention_scores_refuse_a_query_that_is_not_there():
    """Of three queries there is no fourth."""
    weights = ops.softmax(random_arrays(6)(2, 3, 4))
    assert_close(pruning.attention_scores(weights, -1), weights[:, 2].mean(axis=0))
    with pytest.raises(ValueError, match="query is 3, but there are 3 queries"):
        pruning.attention_scores(weights, 3)


@contract
@pytest.mark.parametrize("query", [None, 0.0, "0", True])
def test_attention_scores_refuse_a_query_that_is_no_number(query):
    """None would be a new axis, and its mean that of the wrong one."""
    with pytest.raises(ValueError, match="attention_scores: query must be a whole"):
        pruning.attention_scores(np.full((2, 3, 4), 0.25), query)
