"""The spec of refvlm/blocks/convolutional/squeeze_excite.py."""

import numpy as np

from refvlm.blocks.convolutional.squeeze_excite import (
    squeeze_excite,
    squeeze_excite_shapes,
)
from refvlm.checkpoint import Weights

from ...spec import assert_close, example, law, oracle, random_arrays
from ...timm_oracles import compare_block
from ...weights import random_weights


@example
def test_squeeze_excite_by_hand():
    """Means 2 and 4 reduce to 6, expand to 0 and ln 3: channels times 1/2 and 3/4."""
    weights = Weights(
        {
            "fc1.weight": np.ones((1, 2, 1, 1)),
            "fc1.bias": np.zeros(1),
            "fc2.weight": np.array([0.0, np.log(3) / 6]).reshape(2, 1, 1, 1),
            "fc2.bias": np.zeros(2),
        }
    )
    x = np.array([[[[1.0, 3.0]], [[4.0, 4.0]]]])
    expected = np.array([[[[0.5, 1.5]], [[3.0, 3.0]]]])
    assert_close(squeeze_excite(x, weights), expected)


@law
def test_squeeze_excite_never_turns_up():
    """A sigmoid is between 0 and 1, the same for all pixels of a channel."""
    weights = Weights(random_weights(squeeze_excite_shapes(32)))
    x = random_arrays(1)(2, 32, 4, 5)
    ratio = squeeze_excite(x, weights) / x
    assert (ratio > 0).all() and (ratio < 1).all()
    assert_close(ratio, np.broadcast_to(ratio[..., :1, :1], ratio.shape))


@law
def test_squeeze_excite_does_not_see_where():
    """Shuffled pixels give the shuffled answer: only the average is looked at."""
    weights = Weights(random_weights(squeeze_excite_shapes(16)))
    x = random_arrays(2)(1, 16, 3, 4)
    order = np.random.RandomState(0).permutation(12)

    def shuffled(picture):
        return picture.reshape(1, 16, 12)[..., order].reshape(1, 16, 3, 4)

    assert_close(
        squeeze_excite(shuffled(x), weights), shuffled(squeeze_excite(x, weights))
    )


@oracle
def test_squeeze_excite_equals_timm(compare):
    """timm's SEModule with a sixteenth of the channels, and its gradients."""

    def build(fastvit):
        return fastvit.SqueezeExcite(40, rd_divisor=1)

    compare_block(
        compare,
        build,
        lambda x, weights, training: squeeze_excite(x, weights),
        squeeze_excite_shapes(40),
        random_arrays(3)(2, 40, 3, 5),
    )
