"""The spec of refvlm/blocks/adapters.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.autodiff import Variable, backward
from refvlm.blocks import adapters
from refvlm.checkpoint import Weights
from refvlm.shapes import ShapeError

from ..spec import (
    assert_close,
    check_dtype,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
)
from ..weights import random_weights

WIDTHS = st.integers(1, 6)


def a_lora(n_in=5, n_out=4, rank=2, seed=1):
    """x, weight, bias, a, b."""
    draw = random_arrays(seed)
    shapes = ((3, n_in), (n_out, n_in), (n_out,), (rank, n_in), (n_out, rank))
    return tuple(draw(*shape) for shape in shapes)


def an_adapter(width=6, narrow=2, seed=2):
    return random_weights(adapters.bottleneck_adapter_shapes(width, narrow), seed)


@example
def test_lora_linear_adds_a_matrix_of_rank_one():
    """A asks for the sum of the inputs, 3; B sends five times that to the second
    output; alpha and the rank are 1."""
    x, weight = np.array([[1.0, 2.0]]), np.eye(2)
    a, b = np.array([[1.0, 1.0]]), np.array([[0.0], [5.0]])
    out = adapters.lora_linear(x, weight, np.array([0.5, 0.0]), a, b, alpha=1)
    np.testing.assert_array_equal(out, [[1.5, 2.0 + 5.0 * 3.0]])


@example
def test_lora_update_is_an_outer_product():
    """Of rank 1 it is a column times a row: all its rows are multiples of one."""
    a, b = np.array([[1.0, 2.0]]), np.array([[1.0], [0.0], [-3.0]])
    expected = [[2.0, 4.0], [0.0, 0.0], [-6.0, -12.0]]
    np.testing.assert_array_equal(adapters.lora_update(a, b, alpha=2), expected)


@example
def test_bottleneck_adapter_of_one_neuron():
    """The neuron sees 1 - 2 = -1; a ReLU silences it, the identity would not."""
    weights = Weights(
        {"down.weight": np.array([[1.0, -1.0]]), "up.weight": np.array([[1.0], [10.0]])}
    )
    x = np.array([[1.0, 2.0]])
    silent = adapters.bottleneck_adapter(x, weights, ops.relu)
    np.testing.assert_array_equal(silent, x)
    heard = adapters.bottleneck_adapter(x, weights, lambda narrow: narrow)
    np.testing.assert_array_equal(heard, [[0.0, -8.0]])


@law
@given(WIDTHS, WIDTHS, st.integers(1, 3), st.floats(0.1, 64))
def test_lora_linear_starts_as_the_linear_map(n_in, n_out, rank, alpha):
    """With B = 0 every bit of the answer is the old one, whatever A is."""
    x, weight, bias, a, b = a_lora(n_in, n_out, rank)
    out = adapters.lora_linear(x, weight, bias, a, np.zeros_like(b), alpha)
    np.testing.assert_array_equal(out, ops.linear(x, weight, bias))


@law
@given(WIDTHS, WIDTHS, st.integers(1, 3), st.floats(0.1, 64))
def test_merge_lora_says_the_same_in_one_matrix(n_in, n_out, rank, alpha):
    """Adding matrices is adding what they say: the adapter then costs nothing."""
    x, weight, bias, a, b = a_lora(n_in, n_out, rank)
    merged = adapters.merge_lora(weight, a, b, alpha)
    assert_close(
        ops.linear(x, merged, bias),
        adapters.lora_linear(x, weight, bias, a, b, alpha),
        1e-10,
    )


@law
@given(WIDTHS, WIDTHS, st.integers(1, 3))
def test_unmerge_lora_brings_the_weight_back(n_in, n_out, rank):
    """Up to rounding: who needs every bit keeps the old weight."""
    _, weight, _, a, b = a_lora(n_in, n_out, rank)
    merged = adapters.merge_lora(weight, a, b, 8.0)
    assert_close(adapters.unmerge_lora(merged, a, b, 8.0), weight, 1e-10)


@law
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_lora_update_has_no_more_than_its_rank(rank):
    """n_out x n_in numbers, and only `rank` directions among them."""
    _, _, _, a, b = a_lora(n_in=7, n_out=6, rank=rank)
    values = np.linalg.svd(adapters.lora_update(a, b, 4.0), compute_uv=False)
    assert (values[rank:] < 1e-12 * values[0]).all() and values[rank - 1] > 1e-6


@law
def test_lora_update_keeps_its_size_when_the_rank_doubles():
    """alpha / r makes a mean over the rank of what would be a sum: twice the same
    rows change nothing, so alpha need not be tuned again."""
    _, _, _, a, b = a_lora()
    doubled = np.concatenate([a, a]), np.concatenate([b, b], axis=1)
    assert_close(
        adapters.lora_update(*doubled, 4.0), adapters.lora_update(a, b, 4.0), 1e-12
    )


@derivative
def test_lora_linear_leaves_a_way_to_learn():
    """At the start B has a gradient and A has none; had both been zero, neither
    would, and nothing would ever be learnt."""
    x, weight, bias, a, b = a_lora()
    leaves = Variable(a), Variable(np.zeros_like(b))
    out = adapters.lora_linear(x, weight, bias, *leaves, 2.0)
    d_a, d_b = (backward(out, np.ones(out.shape))[leaf] for leaf in leaves)
    assert not d_a.any() and np.abs(d_b).max() > 0.1
    dead = Variable(np.zeros_like(a)), Variable(np.zeros_like(b))
    out = adapters.lora_linear(x, weight, bias, *dead, 2.0)
    assert not any(g.any() for g in backward(out, np.ones(out.shape)).values())


@law
@given(WIDTHS, st.integers(1, 3))
def test_bottleneck_adapter_starts_as_the_identity(width, narrow):
    """With the way up at zero, a trained network does not notice the newcomer."""
    weights = an_adapter(width, narrow)
    weights["up.weight"] = np.zeros_like(weights["up.weight"])
    weights["up.bias"] = np.zeros_like(weights["up.bias"])
    x = random_arrays(3)(2, 4, width)
    np.testing.assert_array_equal(adapters.bottleneck_adapter(x, Weights(weights)), x)


@law
def test_bottleneck_adapter_is_not_a_matrix():
    """f(2x) is not 2 f(x): unlike a LoRA it cannot be merged into its neighbour."""
    weights = an_adapter()
    weights |= {"down.bias": np.zeros(2), "up.bias": np.zeros(6)}
    x = random_arrays(4)(3, 6)
    once = adapters.bottleneck_adapter(x, Weights(weights))
    twice = adapters.bottleneck_adapter(2 * x, Weights(weights))
    assert np.abs(twice - 2 * once).max() > 0.1


@law
def test_bottleneck_adapter_shapes_count_its_numbers():
    """2 n m + n + m: at 896 channels and 8 in the middle, 15,240 of them."""
    shapes = adapters.bottleneck_adapter_shapes(896, 8)
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 15240


@law
def test_lora_linear_keeps_the_dtype():
    """float32 in, float32 out, though alpha / r is a Python number."""
    check_dtype(adapters.lora_linear, *a_lora(), alpha=3)
    _, weight, _, a, b = a_lora()
    check_dtype(adapters.merge_lora, weight, a, b, alpha=3)


@oracle
@pytest.mark.parametrize("alpha", [1, 16.0])
def test_lora_linear_equals_torch(compare, alpha):
    """The frozen map and two thin ones, with all their gradients."""

    def reference(torch):
        linear = torch.nn.functional.linear
        return lambda x, weight, bias, a, b, alpha: (
            linear(x, weight, bias) + linear(linear(x, a), b) * (alpha / a.shape[0])
        )

    compare(adapters.lora_linear, reference, *a_lora(), alpha=alpha)


@oracle
def test_merge_lora_and_unmerge_lora_equal_torch(compare):
    """One addmm forwards, one backwards."""
    _, weight, _, a, b = a_lora()
    for ours, sign in ((adapters.merge_lora, 1), (adapters.unmerge_lora, -1)):
        compare(
            ours,
            lambda torch, sign=sign: (
                lambda weight, a, b, alpha: torch.addmm(
                    weight, b, a, alpha=sign * alpha / a.shape[0]
                )
            ),
            weight,
            a,
            b,
            alpha=8.0,
        )


@oracle
def test_bottleneck_adapter_equals_torch(compare):
    """torch.nn.Sequential(Linear, GELU, Linear) and a skip connection."""

    def ours(x, down, down_bias, up, up_bias):
        names = ("down.weight", "down.bias", "up.weight", "up.bias")
        tensors = dict(zip(names, (down, down_bias, up, up_bias)))
        return adapters.bottleneck_adapter(x, Weights(tensors))

    def reference(torch):
        def composed(x, down, down_bias, up, up_bias):
            linear, gelu = torch.nn.functional.linear, torch.nn.functional.gelu
            return x + linear(gelu(linear(x, down, down_bias)), up, up_bias)

        return composed

    compare(ours, reference, random_arrays(5)(2, 3, 6), *an_adapter().values())


@derivative
def test_lora_linear_derivative():
    """Of x, W, the bias, A and B, against central differences."""
    check_vjp(adapters.lora_linear, *a_lora(), alpha=3.0)


@derivative
def test_bottleneck_adapter_derivative():
    """Through the narrow place and beside it."""

    def applied(x, down, up):
        weights = Weights({"down.weight": down, "up.weight": up})
        return adapters.bottleneck_adapter(x, weights, ops.tanh)

    draw = random_arrays(6)
    check_vjp(applied, draw(3, 4), draw(2, 4), draw(4, 2))


@contract
def test_lora_linear_refuses_matrices_that_do_not_fit():
    """A reads what W reads, B writes what W writes, and they meet in the rank."""
    x, weight, bias, a, b = a_lora()
    for wrong_a, wrong_b, said in (
        (a[:, 1:], b, "n_in = 5"),
        (a, b[1:], "n_out = 4"),
        (a[:1], b, "r = 1"),
    ):
        with pytest.raises(ShapeError, match=said):
            adapters.lora_linear(x, weight, bias, wrong_a, wrong_b, 1.0)


@contract
def test_lora_update_refuses_a_rank_of_nothing():
    """alpha / 0 would be a nan that spreads through the model."""
    with pytest.raises(ValueError, match="rank of at least 1"):
        adapters.lora_update(np.zeros((0, 3)), np.zeros((2, 0)), 1.0)
