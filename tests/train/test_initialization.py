"""The spec of refvlm/train/initialization.py."""

import numpy as np

from refvlm.train.initialization import initial_weights

from ..spec import example, law

SHAPES = {
    "tower.conv.weight": (64, 32, 3, 3),
    "tower.bn.weight": (64,),
    "tower.bn.bias": (64,),
    "tower.bn.running_mean": (64,),
    "tower.bn.running_var": (64,),
    "tower.layer_scale.gamma": (64, 1, 1),
    "text.q_proj.weight": (128, 128),
    "order.bias_ih_l0": (1024,),
    "looking.in_proj_bias": (1024,),
}


def weights(seed=0):
    rng = np.random.default_rng(seed)
    return initial_weights(SHAPES, rng, narrow=("text",))


@example
def test_initial_weights_of_a_norm_leave_its_input_alone():
    """Scales and variances begin at 1, shifts and means at 0."""
    found = weights()
    for name, value in (("weight", 1), ("bias", 0), ("running_mean", 0)):
        assert (found[f"tower.bn.{name}"] == value).all()
    assert (found["tower.bn.running_var"] == 1).all()
    assert (found["tower.layer_scale.gamma"] == 1).all()


@law
def test_initial_weights_keep_the_size_of_signals():
    """288 inputs: a deviation of 1/sqrt(288); the decoder's is 0.02 at any width."""
    found = weights()
    deviation = found["tower.conv.weight"].std() * np.sqrt(32 * 9)
    assert abs(deviation - 1) < 0.03
    assert abs(found["text.q_proj.weight"].std() / 0.02 - 1) < 0.03


@law
def test_initial_weights_draw_biases_that_have_another_name():
    """The published recipes began there: their numbers follow from it."""
    found = weights()
    for name in ("order.bias_ih_l0", "looking.in_proj_bias"):
        assert abs(found[name].std() - 1) < 0.1


@law
def test_initial_weights_follow_from_the_seed():
    """The same seed gives the same float32 numbers, another seed others."""
    first, again, other = weights(), weights(), weights(1)
    assert all(array.dtype == np.float32 for array in first.values())
    assert all(np.array_equal(first[name], again[name]) for name in SHAPES)
    assert not np.array_equal(first["tower.conv.weight"], other["tower.conv.weight"])
