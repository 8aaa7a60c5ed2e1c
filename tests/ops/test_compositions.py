"""The spec of refvlm/ops/compositions.py."""

import numpy as np
import pytest

from refvlm import ops
from refvlm.autodiff import Variable, value_of
from refvlm.shapes import ShapeError

from ..oracles import import_torchvision
from ..spec import (
    assert_close,
    call,
    check_vjp,
    contract,
    derivative,
    example,
    oracle,
    random_arrays,
)

draw = random_arrays(31)


def mlp(images=2, channels=5, hidden=7, size=(9, 6)):
    """x, and the weights of two 1 x 1 convolutions."""
    return (
        draw(images, channels, *size),
        draw(hidden, channels, 1, 1),
        draw(hidden),
        draw(channels + 1, hidden, 1, 1),
        draw(channels + 1),
    )


def stem(images=2, channels=3, mid=4, out=5, size=(9, 7), kernels=(3, 3)):
    """x, and the weights of the three convolutions of a stem."""
    return (
        draw(images, channels, *size),
        draw(mid, channels, kernels[0], kernels[0]),
        draw(mid),
        draw(mid, 1, kernels[1], kernels[1]),
        draw(mid),
        draw(out, mid, 1, 1),
        draw(out),
    )


CALLS = {
    "gated_linear": [
        call(draw(5), draw(7, 5), draw(7, 5)),
        call(draw(2, 11, 5), draw(7, 5), draw(7, 5)),
    ],
    "pointwise_mlp": [call(*mlp()), call(*mlp(1, 1, 1, (1, 3)))],
    "add_scaled": [
        call(draw(2, 3, 5, 4), draw(2, 3, 5, 4), draw(3, 1, 1)),
        call(draw(1, 3, 4, 5), draw(1, 5, 4, 3).swapaxes(1, 3), draw(3, 1, 1)),
    ],
    "convolutional_stem": [
        call(*stem()),
        call(*stem(1, 2, 1, 2, (5, 8), (2, 5))),
        call(*stem(1, 2, 3, 2, (33, 3), (1, 7))),
    ],
}


@example
def test_gated_linear_lets_through_what_the_gate_says():
    """A gate of 0 is shut, and one of 100 multiplies by 100: SiLU(100) is 100."""
    gate, up = np.array([[0.0], [100.0]]), np.array([[3.0], [3.0]])
    np.testing.assert_allclose(ops.gated_linear(np.ones(1), gate, up), [0.0, 300.0])


@example
def test_pointwise_mlp_of_one_pixel():
    """GELU(-30) is 0 and GELU(20) is 20: 0 x 5 + 20 x 2 + 1 = 41."""
    weight_1, weight_2 = np.array([[-3.0], [2.0]]), np.array([[5.0, 2.0]])
    out = ops.pointwise_mlp(
        np.full((1, 1, 1, 1), 10.0),
        weight_1[:, :, None, None],
        np.zeros(2),
        weight_2[:, :, None, None],
        np.ones(1),
    )
    np.testing.assert_allclose(out, [[[[41.0]]]])


@example
def test_add_scaled_has_a_number_for_each_channel():
    """1 + 2 x 10 and 3 + 4 x 100."""
    x, branch = (np.array(v).reshape(1, 2, 1, 1) for v in ([1.0, 3.0], [2.0, 4.0]))
    gamma = np.array([10.0, 100.0]).reshape(2, 1, 1)
    np.testing.assert_array_equal(ops.add_scaled(x, branch, gamma).ravel(), [21, 403])


@example
def test_convolutional_stem_takes_every_fourth_pixel():
    """With 1 x 1 filters of 1 and large pixels, where GELU changes nothing: each step
    of 2 leaves one pixel of four."""
    x = 100.0 + np.arange(64.0).reshape(1, 1, 8, 8)
    weight, bias = np.ones((1, 1, 1, 1)), np.zeros(1)
    out = ops.convolutional_stem(x, weight, bias, weight, bias, weight, bias)
    np.testing.assert_allclose(out, x[:, :, ::4, ::4])


@oracle
@pytest.mark.parametrize("lead", [(), (3,), (2, 9)])
def test_gated_linear_equals_torch(compare, lead):
    """The product of PyTorch's silu(linear) and linear, and its gradients."""

    def reference(torch):
        functional = torch.nn.functional

        def gated_linear(x, gate, up):
            gated = functional.silu(functional.linear(x, gate))
            return gated * functional.linear(x, up)

        return gated_linear

    draw = random_arrays(41)
    compare(ops.gated_linear, reference, draw(*lead, 5), draw(4, 5), draw(4, 5))


@oracle
def test_pointwise_mlp_equals_torch(compare):
    """PyTorch's conv2d, gelu, conv2d, and its gradients."""

    def reference(torch):
        functional = torch.nn.functional

        def pointwise_mlp(x, weight_1, bias_1, weight_2, bias_2):
            hidden = functional.gelu(functional.conv2d(x, weight_1, bias_1))
            return functional.conv2d(hidden, weight_2, bias_2)

        return pointwise_mlp

    draw = random_arrays(42)
    weights = draw(6, 5, 1, 1), draw(6), draw(4, 6, 1, 1), draw(4)
    compare(ops.pointwise_mlp, reference, draw(2, 5, 3, 4), *weights)


@oracle
def test_add_scaled_equals_timm(compare):
    """timm's LayerScale2d, added to x, and its gradients."""

    def reference(torch):
        import_torchvision()
        from timm.models.fastvit import LayerScale2d

        def add_scaled(x, branch, gamma):
            layer = LayerScale2d(3)
            layer.double()
            return x + torch.func.functional_call(layer, {"gamma": gamma}, branch)

        return add_scaled

    draw = random_arrays(43)
    branch, gamma = draw(2, 3, 4, 5), draw(3, 1, 1)
    compare(ops.add_scaled, reference, draw(2, 3, 4, 5), branch, gamma)


@oracle
@pytest.mark.parametrize("size", [(8, 12), (5, 7)])
def test_convolutional_stem_equals_torch(compare, size):
    """PyTorch's conv2d and gelu three times, and its gradients."""

    def reference(torch):
        functional = torch.nn.functional

        def convolutional_stem(x, *weights):
            strides, groups = (2, 2, 1), (1, 4, 1)
            for weight, bias, stride, group in zip(
                weights[::2], weights[1::2], strides, groups
            ):
                x = functional.conv2d(
                    x, weight, bias, stride, weight.shape[-1] // 2, groups=group
                )
                x = functional.gelu(x)
            return x

        return convolutional_stem

    draw = random_arrays(44)
    weights = (
        draw(4, 3, 3, 3),
        draw(4),
        draw(4, 1, 5, 5),
        draw(4),
        draw(5, 4, 1, 1),
        draw(5),
    )
    compare(ops.convolutional_stem, reference, draw(2, 3, *size), *weights)


@derivative
@pytest.mark.parametrize("name", sorted(CALLS))
def test_compositions_say_the_same_of_what_is_traced(name):
    """A Variable goes step by step, and the result is that of the plain arrays."""
    for case in CALLS[name]:
        traced = getattr(ops, name)(*map(Variable, case.args))
        assert_close(traced.value, getattr(ops, name)(*case.args))


@derivative
@pytest.mark.parametrize("traced", [(), (0,), (0, 1, 2, 3, 4)])
def test_compositions_of_half_precision_are_rounded_once(traced):
    """Traced or not, the wide map is in float32: 300 x 300 does not overflow."""
    x, weight = np.full((1, 1, 1, 1), 300.0), np.full((1, 1, 1, 1), 300.0)
    arrays = x, weight, np.zeros(1), weight / 90_000, np.ones(1)
    arrays = [array.astype(np.float16) for array in arrays]
    given = [Variable(a) if i in traced else a for i, a in enumerate(arrays)]
    out = value_of(ops.pointwise_mlp(*given))
    assert_close(out, np.full((1, 1, 1, 1), 301.0, np.float16), 1e-3)


@derivative
def test_gated_linear_derivative():
    """Through both products and the gate."""
    draw = random_arrays(51)
    check_vjp(ops.gated_linear, draw(2, 3), draw(4, 3), draw(4, 3))


@derivative
def test_pointwise_mlp_derivative():
    """Through both layers and the activation between them."""
    draw = random_arrays(52)
    weights = draw(4, 3, 1, 1), draw(4), draw(2, 4, 1, 1), draw(2)
    check_vjp(ops.pointwise_mlp, draw(2, 3, 2, 2), *weights)


@derivative
def test_add_scaled_derivative():
    """x gets what arrives, the branch its share, and gamma the sum over the pixels."""
    draw = random_arrays(53)
    check_vjp(ops.add_scaled, draw(2, 3, 2, 2), draw(2, 3, 2, 2), draw(3, 1, 1))


@derivative
def test_convolutional_stem_derivative():
    """Through all three convolutions."""
    draw = random_arrays(54)
    weights = draw(2, 2, 3, 3), draw(2), draw(2, 1, 3, 3), draw(2), draw(3, 2, 1, 1)
    check_vjp(ops.convolutional_stem, draw(1, 2, 5, 4), *weights, draw(3))


@contract
def test_compositions_refuse_weights_that_do_not_fit():
    """The message names the operator and the argument, traced or not."""
    x, weight_1, bias_1, weight_2, bias_2 = mlp()
    message = r"pointwise_mlp: weight_2 is \(6, 4, 1, 1\), but hidden = 7"
    for given in (x, Variable(x)):
        with pytest.raises(ShapeError, match=message):
            ops.pointwise_mlp(given, weight_1, bias_1, weight_2[:, :4], bias_2)
    with pytest.raises(ShapeError, match=r"gated_linear: up is \(4, 6\), but"):
        ops.gated_linear(np.ones((2, 5)), np.ones((4, 5)), np.ones((4, 6)))
    with pytest.raises(ShapeError, match=r"add_scaled: gamma is \(5,\), but needs 3"):
        ops.add_scaled(x, x, np.ones(5))
    x, *weights = stem()
    weights[2] = np.ones((4, 2, 3, 3))
    message = r"convolutional_stem: weight_2 is \(4, 2, 3, 3\), but needs 1"
    with pytest.raises(ShapeError, match=message):
        ops.convolutional_stem(x, *weights)
