"""The spec of refvlm/blocks/convolutional/layer_scale.py."""

import numpy as np

from refvlm.autodiff import Variable
from refvlm.blocks.convolutional.layer_scale import add_residual, layer_scale
from refvlm.blocks.training_mode import Training

from ...spec import assert_close, example, law, oracle, random_arrays
from ...timm_oracles import compare_block


@example
def test_layer_scale_turns_each_channel_by_its_own_knob():
    """Knobs of 2 and 10: all pixels of a channel are scaled alike."""
    x = np.array([[[[1.0, 3.0]], [[1.0, 1.0]]]])
    gamma = np.array([2.0, 10.0]).reshape(2, 1, 1)
    np.testing.assert_array_equal(
        layer_scale(x, gamma), [[[[2.0, 6.0]], [[10.0, 10.0]]]]
    )


@law
def test_add_residual_is_the_same_for_arrays_and_variables():
    """Traced or not, the same numbers are added up, and x stays as it was."""
    draw = random_arrays(1)
    x, branch, gamma = draw(2, 3, 4, 5), draw(2, 3, 4, 5), draw(3, 1, 1)
    expected = x + gamma * branch
    traced = add_residual(x, Variable(branch.copy()), gamma)
    assert_close(traced.value, expected)
    kept = x.copy()
    assert_close(add_residual(x, branch.copy(), gamma), expected)
    np.testing.assert_array_equal(x, kept)


@law
def test_add_residual_takes_a_branch_that_lies_crosswise():
    """A map made of tokens is a transposed view: the batch must not be mixed up."""
    draw = random_arrays(2)
    x, gamma = draw(2, 3, 4, 5), draw(3, 1, 1)
    tokens = draw(2, 20, 3)
    branch = tokens.swapaxes(1, 2).reshape(2, 3, 4, 5)
    assert_close(add_residual(x, branch, gamma), x + gamma * branch)


@law
def test_add_residual_drops_whole_samples():
    """Stochastic depth: a branch is there, scaled up, or gone for all its pixels."""
    draw = random_arrays(3)
    x, branch, gamma = draw(64, 2, 3, 3), draw(64, 2, 3, 3), np.ones((2, 1, 1))
    training = Training(np.random.default_rng(0))
    share = (add_residual(x, branch, gamma, 0.25, training) - x) / branch
    first = share[:, :1, :1, :1]
    assert_close(share, np.broadcast_to(first, share.shape), 1e-9)
    kept = first > 0.5
    assert_close(first[kept], np.full(kept.sum(), 4 / 3), 1e-6)
    assert 32 < kept.sum() < 64


@oracle
def test_layer_scale_equals_timm(compare):
    """timm's LayerScale2d and its gradients."""
    compare_block(
        compare,
        lambda fastvit: fastvit.LayerScale2d(5),
        lambda x, weights, training: layer_scale(x, weights["gamma"]),
        {"gamma": (5, 1, 1)},
        random_arrays(4)(2, 5, 3, 4),
    )
