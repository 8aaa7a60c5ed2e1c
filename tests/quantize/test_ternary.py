"""The spec of refvlm/quantize/ternary.py."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops, quantize
from refvlm.autodiff import Variable, backward, grad
from refvlm.shapes import ShapeError

from ..spec import (
    assert_close,
    check_dtype,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
    tensors,
)


@example
def test_ternary_quantize_takes_the_mean_magnitude_for_its_scale():
    """|1|, |-3|, |0|, |4| have the mean 2: 1 is half of it, and becomes 0."""
    values, scale = quantize.ternary_quantize(np.array([1.0, -3.0, 0.0, 4.0]))
    assert values.tolist() == [0, -1, 0, 1] and values.dtype == np.int8
    assert scale == 2 and scale.shape == ()


@example
def test_ternary_dequantize_is_the_scale_and_its_sign():
    """Three values are left: -2, 0 and 2."""
    weights = quantize.ternary_dequantize(np.array([0, -1, 0, 1]), np.array(2.0))
    assert weights.tolist() == [0, -2, 0, 2]


@example
def test_ternary_linear_learns_one_weight_as_if_it_were_not_rounded():
    """One weight is its own scale, so that it is not changed at all: y = w x.

    The gradient of w is x. Where the scale is not held, as in the source's line, w is
    seen twice, and the gradient is 2 x.
    """
    x, weight = np.array([[5.0]]), np.array([[-0.25]])
    assert quantize.ternary_linear(x, weight) == -1.25
    assert grad(lambda w: quantize.ternary_linear(x, w).sum())(weight) == 5


weights = tensors((4, 7), -3, 3)


@law
@given(weights)
def test_ternary_quantize_is_three_cases(w):
    """The source's: 1 above half a scale, -1 below minus half of it, 0 between."""
    values, scale = quantize.ternary_quantize(w)
    normed = w / max(np.abs(w).mean(), 1e-5)
    expected = np.where(normed > 0.5, 1, np.where(normed < -0.5, -1, 0))
    np.testing.assert_array_equal(values, expected)
    assert math.isclose(scale, max(np.abs(w).mean(), 1e-5))


@law
@given(weights, st.integers(-8, 8))
def test_ternary_quantize_sees_no_scale_and_no_sign(w, power):
    """Twice the weights are the same three values, and twice the scale."""
    w = w + np.sign(w)  # far above eps
    values, scale = quantize.ternary_quantize(w, eps=1e-30)
    scaled, larger = quantize.ternary_quantize(-(2.0**power) * w, eps=1e-30)
    np.testing.assert_array_equal(scaled, -values)
    assert larger == 2.0**power * scale or not w.any()


@law
@given(weights)
def test_ternary_weights_are_packed_and_come_back(w):
    """By five to a byte, and by four."""
    values, _ = quantize.ternary_quantize(w)
    packed = quantize.pack_trits(values)
    np.testing.assert_array_equal(quantize.unpack_trits(packed, 7), values)
    packed = quantize.pack_bits(values + 1, 2)
    unpacked = quantize.unpack_bits(packed, 2, 7).astype(np.int8) - 1
    np.testing.assert_array_equal(unpacked, values)


@law
def test_ternary_quantize_of_nothing_but_zeros_is_zeros():
    """The least scale is eps, by which one can divide."""
    values, scale = quantize.ternary_quantize(np.zeros((2, 3), np.float32))
    assert not values.any() and scale == np.float32(1e-5)


@law
def test_ternary_code_of_normal_weights_is_worth_1_583_bits():
    r"""$P(0) = P(|W| < \tfrac12 \overline{|W|}) = \operatorname{erf}(1/(2\sqrt\pi))$.

    For $\overline{|W|} = \sigma\sqrt{2/\pi}$: 31.0 % zeros, and -1 and 1 share the
    rest. A million draws come within five standard errors of it.
    """
    zeros = math.erf(1 / (2 * math.sqrt(math.pi)))
    assert round(zeros, 3) == 0.310
    shares = np.array([zeros, (1 - zeros) / 2, (1 - zeros) / 2])
    bits = -(shares * np.log2(shares)).sum()
    assert round(bits, 3) == 1.583 < math.log2(3)
    values, _ = quantize.ternary_quantize(random_arrays(5)(1000, 1000))
    counted = (values == 0).mean()
    assert abs(counted - zeros) < 5 * math.sqrt(zeros * (1 - zeros) / values.size)
    assert abs(quantize.code_entropy(values) - bits) < 1e-3


@law
def test_ternary_functions_keep_dtypes_and_inputs():
    """A scale in w's dtype, and weights in the scale's."""
    draw = random_arrays(1)
    for dtype in (np.float16, np.float32, np.float64):
        w = draw(5, 6).astype(dtype)
        values, scale = quantize.ternary_quantize(w)
        assert (values.dtype, scale.dtype) == (np.int8, dtype)
        for stored in (values, values.astype(np.int64)):
            assert quantize.ternary_dequantize(stored, scale).dtype == dtype
    check_dtype(quantize.ternary_linear, draw(3, 6), draw(5, 6), draw(5))


def weight_quant(torch, w, eps=1e-5):
    """BitNet b1.58's, as its authors print it."""
    scale = 1.0 / w.abs().mean().clamp_(min=eps)
    return (w * scale).round().clamp_(-1, 1) / scale


@oracle
@pytest.mark.parametrize("shape", [(3, 5), (64, 33), (1, 1)])
def test_ternary_weights_equal_bitnet(compare, shape):
    """Its codes, its scale, its weights; it multiplies by 1/s where we divide by s."""
    w = random_arrays(2)(*shape, scale=0.03)

    def ask(torch):
        tensor = torch.from_numpy(w)
        rounded = weight_quant(torch, tensor)
        return {
            "weights": rounded.numpy(),
            "values": rounded.sign().to(torch.int8).numpy(),
            "scale": tensor.abs().mean().numpy(),
        }

    theirs = compare.answers(ask, w)
    values, scale = quantize.ternary_quantize(w)
    np.testing.assert_array_equal(values, theirs["values"])
    assert_close(scale, theirs["scale"])
    assert_close(quantize.ternary_dequantize(values, scale), theirs["weights"])


@oracle
def test_ternary_linear_equals_torch(compare):
    """Values, and the gradients of all three, with the rounding detached whole."""
    draw = random_arrays(3)

    def reference(torch):
        def ternary_linear(x, weight, bias=None):
            rounded = weight + (weight_quant(torch, weight) - weight).detach()
            return torch.nn.functional.linear(x, rounded, bias)

        return ternary_linear

    compare(quantize.ternary_linear, reference, draw(2, 3, 5), draw(7, 5), draw(7))
    compare(quantize.ternary_linear, reference, draw(4, 5), draw(6, 5))


@derivative
@given(tensors((3, 4), -2, 2), weights)
def test_ternary_linear_has_the_gradient_of_the_weight_that_it_uses(d_out, weight):
    r"""$\bar W = \bar y^\top x$ and $\bar x = \bar y \hat W$, to the bit those of a
    linear map with $\hat W$ in it: nothing comes through the scale."""
    x = random_arrays(4)(3, 7)
    rounded = quantize.ternary_dequantize(*quantize.ternary_quantize(weight))
    answers = []
    for function, given_weight in (
        (quantize.ternary_linear, weight),
        (ops.linear, rounded),
    ):
        leaves = Variable(x), Variable(given_weight)
        gradients = backward(function(*leaves), d_out)
        answers.append([gradients[leaf] for leaf in leaves])
    for ours, linear in zip(*answers):
        np.testing.assert_array_equal(ours, linear)


@contract
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_ternary_functions_refuse_what_is_no_number(wrong):
    """A NaN would be the mean of all, and an infinity make every other weight 0."""
    w = np.array([[1.0, wrong]])
    with pytest.raises(ValueError, match="ternary_quantize: w holds 1 number that"):
        quantize.ternary_quantize(w)
    with pytest.raises(ValueError, match="ternary_linear: weight holds 1 number that"):
        quantize.ternary_linear(np.ones((1, 2)), w)
    with pytest.raises(ValueError, match="ternary_linear: x holds 1 number that"):
        quantize.ternary_linear(w, np.ones((1, 2)))
    with pytest.raises(ValueError, match="ternary_dequantize: scale holds 1 number"):
        quantize.ternary_dequantize(np.array([1]), np.array(wrong))


@contract
def test_ternary_quantize_refuses_nothing_and_no_scale():
    """Of no weights there is no mean, and eps is what is divided by at worst."""
    with pytest.raises(ShapeError, match=r"ternary_quantize: w is \(0, 3\)"):
        quantize.ternary_quantize(np.zeros((0, 3)))
    with pytest.raises(ShapeError, match=r"ternary_linear: weight is \(0, 3\)"):
        quantize.ternary_linear(np.zeros((2, 3)), np.zeros((0, 3)))
    for eps in (0, -1.0, np.nan, np.inf, None, "1"):
        with pytest.raises(ValueError, match="ternary_quantize: eps is a number above"):
            quantize.ternary_quantize(np.ones(3), eps)


@contract
def test_ternary_dequantize_refuses_other_codes_and_other_scales():
    """Three values, and one scale for all of them."""
    with pytest.raises(ValueError, match="values reach from -2 to 1, but are -1, 0"):
        quantize.ternary_dequantize(np.array([-2, 1]), np.array(1.0))
    for scale in (0.0, -1.0):
        with pytest.raises(ValueError, match="ternary_dequantize: scale is .* above 0"):
            quantize.ternary_dequantize(np.array([1]), np.array(scale))
    with pytest.raises(ShapeError, match=r"scale is \(2,\), but is one number"):
        quantize.ternary_dequantize(np.array([1, 0]), np.array([1.0, 2.0]))
    with pytest.raises(TypeError, match="ternary_dequantize: scale must be an array"):
        quantize.ternary_dequantize(np.array([1]), 1.0)


@contract
def test_ternary_linear_says_which_axes_part():
    """As a linear map does, by its own name."""
    with pytest.raises(ShapeError, match="ternary_linear: weight is "):
        quantize.ternary_linear(np.ones((2, 3)), np.ones((4, 2)))
