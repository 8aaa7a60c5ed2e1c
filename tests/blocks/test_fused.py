"""The spec of refvlm/blocks/fused.py."""

import numpy as np
import pytest

from refvlm import ops
from refvlm.autodiff import Variable
from refvlm.blocks import fused

from ..spec import assert_close, contract, law, random_arrays


def network(images=2, channels=5, hidden=7, size=(9, 6), dtype=np.float64):
    """x and the weights of a ConvFFN's two 1 x 1 convolutions."""
    draw = random_arrays(31)
    shapes = (
        (images, channels, *size),
        (hidden, channels, 1, 1),
        (hidden,),
        (channels, hidden, 1, 1),
        (channels,),
    )
    return tuple(draw(*shape).astype(dtype) for shape in shapes)


@law
@pytest.mark.parametrize("pixels", [1, 7, 256])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pointwise_mlp_is_the_three_operators(pixels, dtype, monkeypatch):
    """Convolution, GELU, convolution: fused in pieces of any size."""
    monkeypatch.setattr(fused, "PIXELS", pixels)
    x, weight_1, bias_1, weight_2, bias_2 = network(dtype=dtype)
    hidden = ops.gelu(ops.conv2d(x, weight_1, bias_1))
    expected = ops.conv2d(hidden, weight_2, bias_2)
    assert_close(fused.pointwise_mlp(x, weight_1, bias_1, weight_2, bias_2), expected)


@law
@pytest.mark.parametrize("columns", [1, 4, 512])
@pytest.mark.parametrize("tokens", [(3,), (1, 40), (2, 3, 11)])
def test_gated_linear_is_the_four_operators(tokens, columns, monkeypatch):
    """linear, SiLU, linear, multiply; one token or many, some columns at a time."""
    monkeypatch.setattr(fused, "COLUMNS", columns)
    draw = random_arrays(34)
    x, gate, up = draw(*tokens, 5), draw(9, 5, scale=30.0), draw(9, 5)
    expected = ops.silu(ops.linear(x, gate)) * ops.linear(x, up)
    assert_close(fused.gated_linear(x, gate, up), expected)


@law
@pytest.mark.parametrize("order", ["C", "F"])
def test_add_scaled_is_the_residual_with_layer_scale(order):
    """x + gamma * branch, however the branch lies in memory; x stays as it was."""
    draw = random_arrays(32)
    x, branch, gamma = draw(2, 3, 4, 5), draw(2, 3, 4, 5), draw(3, 1, 1)
    expected, before = x + gamma * branch, x.copy()
    assert_close(fused.add_scaled(x, np.array(branch, order=order), gamma), expected)
    np.testing.assert_array_equal(x, before)


@law
def test_fused_gelu_is_gelu_in_place():
    """Written over its input, for which a Variable has none to give."""
    x = random_arrays(33)(2, 3, 4, 5)
    expected = ops.gelu(x)
    assert_close(fused.gelu(Variable(x)).value, expected)
    out = fused.gelu(x)
    assert out is x
    assert_close(out, expected)


@law
def test_fusible_is_no_for_a_variable_and_for_half_precision():
    """One needs a derivative, the other a product that BLAS does not have."""
    x = np.zeros(1, np.float32)
    assert fused.fusible(x, x)
    assert not fused.fusible(x, Variable(x))
    assert not fused.fusible(x, x.astype(np.float16))


@contract
def test_fused_kernels_refuse_a_variable():
    """Better an error than a gradient that is silently missing."""
    x, *weights = network()
    with pytest.raises(TypeError, match="pointwise_mlp is for inference"):
        fused.pointwise_mlp(Variable(x), *weights)
    with pytest.raises(TypeError, match="add_scaled is for inference"):
        fused.add_scaled(x, Variable(x), np.ones((5, 1, 1)))
