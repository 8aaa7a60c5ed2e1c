"""The spec of refvlm/train/quantization_aware.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.autodiff import Variable, grad, value_and_grad
from refvlm.checkpoint import MissingTensorError, Weights
from refvlm.models.qwen2 import Qwen2Config, expected_shapes, qwen2
from refvlm.train import quantization_aware as aware
from refvlm.train.optimizers import AdamW

from ..spec import assert_close, contract, example, law, oracle
from ..spec import random_arrays as arrays
from ..weights import random_weights

CONFIG = Qwen2Config(
    vocab_size=11,
    hidden_size=8,
    intermediate_size=12,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=4,
)


def to_quarters(array):
    """A rounding that a person can check."""
    return np.rint(array * 4).astype(array.dtype) / 4


def a_decoder():
    """The weights of a Qwen2 of two layers, and the names of its matrices."""
    weights = Weights(random_weights(expected_shapes(CONFIG), 1))
    return weights, [n for n in weights if n.endswith("_proj.weight")]


def loss_of(weights):
    """What a decoder makes of random embeddings, as one number."""
    return (qwen2(arrays(2)(2, 5, CONFIG.hidden_size), weights, CONFIG) ** 2).mean()


@example
def test_with_rounded_of_one_matrix():
    """0.4 is shown as 0.5 and 1.6 as 1.5; twice the shown number is the gradient of its
    square, and it arrives at the fine one."""
    weights = {"w": np.array([[0.4, 1.6]]), "b": np.array([0.4])}
    shown = aware.with_rounded(weights, ["w"], to_quarters)
    np.testing.assert_array_equal(shown["w"], [[0.5, 1.5]])
    assert shown["b"] is weights["b"]

    def loss(weights):
        return (aware.with_rounded(weights, ["w"], to_quarters)["w"] ** 2).sum()

    value, gradients = value_and_grad(loss)(weights)
    assert value == 2.5
    np.testing.assert_array_equal(gradients["w"], [[1.0, 3.0]])


@law
def test_with_rounded_value_is_that_of_rounded_weights():
    """Every bit of what a whole decoder answers, with Variables and without."""
    weights, names = a_decoder()
    plain = Weights(aware.round_off(weights, names, to_quarters))
    shown = aware.with_rounded(weights, names, to_quarters)
    expected = loss_of(plain)
    np.testing.assert_array_equal(loss_of(shown), expected)
    traced = value_and_grad(
        lambda w: loss_of(aware.with_rounded(w, names, to_quarters))
    )
    np.testing.assert_array_equal(traced(weights)[0], expected)
    assert abs(expected - loss_of(weights)) > 1e-4


@law
def test_with_rounded_gradient_is_that_of_rounded_weights():
    """Of every tensor, rounded or not, bit for bit: the way back is the same one."""
    weights, names = a_decoder()
    plain = Weights(aware.round_off(weights, names, to_quarters))
    found = grad(lambda w: loss_of(aware.with_rounded(w, names, to_quarters)))(weights)
    expected = grad(loss_of)(plain)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        np.testing.assert_array_equal(found[name], gradient)


@law
@given(st.integers(0, 2**32 - 1))
def test_with_rounded_of_what_is_round_changes_nothing(seed):
    """A rounding that is done twice is done once."""
    weights = {"w": arrays(seed)(3, 5)}
    once = aware.round_off(weights, ["w"], to_quarters)
    twice = aware.round_off(once, ["w"], to_quarters)
    np.testing.assert_array_equal(twice["w"], once["w"])


@law
def test_with_rounded_changes_the_named_and_no_others():
    """All else is the same array, in the same order, and nothing is written to."""
    weights, names = a_decoder()
    before = {name: weights[name].copy() for name in weights}
    shown = aware.with_rounded(weights, names, to_quarters)
    assert list(shown) == list(weights)
    assert {n for n in weights if shown[n] is not weights[n]} == set(names)
    for name, array in before.items():
        np.testing.assert_array_equal(weights[name], array)


@law
def test_with_rounded_sees_through_a_scope():
    """A layer that knows its own names alone rounds its own matrices alone."""
    weights, _ = a_decoder()
    layer = weights.scope("layers.1.mlp")
    shown = aware.with_rounded(layer, ["up_proj.weight"], to_quarters)
    name = "layers.1.mlp.up_proj.weight"
    np.testing.assert_array_equal(shown["up_proj.weight"], to_quarters(weights[name]))
    assert shown.prefix == layer.prefix
    assert shown["down_proj.weight"] is weights["layers.1.mlp.down_proj.weight"]


@law
def test_with_rounded_keeps_tied_matrices_one():
    """Under both names stands one Variable, rounded once, with the sum of both
    gradients: as where it is not rounded."""
    matrix, calls = arrays(3)(4, 3), []

    def counted(array):
        calls.append(array)
        return to_quarters(array)

    def loss(weights):
        shown = aware.with_rounded(weights, ["head", "embedding"], counted)
        assert shown["head"] is shown["embedding"]
        assert type(shown["head"]) is Variable
        return (shown["head"] ** 2).sum() + shown["embedding"].sum()

    gradients = grad(loss)({"head": matrix, "embedding": matrix})
    assert len(calls) == 1
    np.testing.assert_array_equal(gradients["head"], 2 * to_quarters(matrix) + 1)
    np.testing.assert_array_equal(gradients["embedding"], gradients["head"])


@law
def test_with_rounded_learns_between_the_steps():
    """Steps of a hundredth never leave a grid of quarters: rounded after each, nothing
    is learnt. With fine numbers behind it, the loss falls to what the grid allows."""
    draw = arrays(4)
    x, target = draw(60, 5), draw(3, 5, scale=0.7)
    wanted = x @ target.T

    def loss(weights):
        return ((ops.linear(x, weights["w"]) - wanted) ** 2).mean()

    def shown(weights):
        return loss(aware.with_rounded(weights, ["w"], to_quarters))

    optimizer = AdamW(weight_decay=0.0)
    fine = coarse = {"w": np.zeros((3, 5))}
    fine_state, coarse_state = optimizer.init(fine), optimizer.init(coarse)
    for _ in range(200):
        fine, fine_state = optimizer.step(fine, grad(shown)(fine), fine_state, 0.01)
        coarse, coarse_state = optimizer.step(
            coarse, grad(loss)(coarse), coarse_state, 0.01
        )
        coarse = aware.round_off(coarse, ["w"], to_quarters)
    nearest = loss(aware.round_off({"w": target}, ["w"], to_quarters))
    assert not coarse["w"].any()
    assert shown(fine) < 1.5 * nearest < loss(coarse) / 20


@oracle
def test_with_rounded_equals_torch(compare):
    """`w + (round(w) - w).detach()` there: value and gradient of a line of two."""
    draw = arrays(5)
    x, w, b = draw(4, 6), draw(3, 6), draw(3)

    def ask(torch):
        fine = torch.tensor(w, requires_grad=True)
        bias = torch.tensor(b, requires_grad=True)
        shown = fine + (torch.round(fine * 4) / 4 - fine).detach()
        loss = torch.nn.functional.linear(torch.tensor(x), shown, bias).square().mean()
        loss.backward()
        return {
            "loss": loss.detach().numpy(),
            "w": fine.grad.numpy(),
            "b": bias.grad.numpy(),
        }

    def loss(weights):
        shown = aware.with_rounded(weights, ["w"], to_quarters)
        return (ops.linear(x, shown["w"], shown["b"]) ** 2).mean()

    answers = compare.answers(ask, (x, w, b))
    value, gradients = value_and_grad(loss)({"w": w, "b": b})
    assert_close(value, answers["loss"], 1e-12)
    for name, gradient in gradients.items():
        assert_close(gradient, answers[name], 1e-12)


@contract
def test_with_rounded_refuses_what_it_cannot_round():
    """A name that is not there, whole numbers, and a rounding that changes more."""
    weights = {"w": np.ones((2, 2)), "ids": np.arange(3)}
    with pytest.raises(MissingTensorError, match="no tensor 'v'"):
        aware.with_rounded(weights, ["v"], to_quarters)
    with pytest.raises(ValueError, match="ids is int64, and only floats are rounded"):
        aware.with_rounded(weights, ["ids"], to_quarters)
    for wrong in (lambda w: w[:1], lambda w: w.astype(np.float32)):
        with pytest.raises(ValueError, match="a rounding keeps both"):
            aware.with_rounded(weights, ["w"], wrong)
