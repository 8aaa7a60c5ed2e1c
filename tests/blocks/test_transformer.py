"""The spec of refvlm/blocks/transformer.py."""

import numpy as np
import pytest

from refvlm import ops
from refvlm.autodiff import value_and_grad
from refvlm.blocks import transformer
from refvlm.checkpoint import Weights
from refvlm.shapes import ShapeError

from ..spec import (
    assert_close,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
)
from ..weights import random_weights

DIM, HIDDEN, HEADS = 6, 10, 3
TENSORS = random_weights(transformer.transformer_block_shapes(DIM, HIDDEN), seed=4)
WEIGHTS = Weights(TENSORS)
X = random_arrays(1)(2, 5, DIM)


@example
def test_feed_forward_of_one_number():
    """2 is widened to 2 and -2, the ReLU keeps the first, and 10 times it comes out."""
    weights = Weights(
        {
            "fc1.weight": np.array([[1.0], [-1.0]]),
            "fc2.weight": np.array([[10.0, 10.0]]),
            "fc2.bias": np.array([1.0]),
        }
    )
    out = transformer.feed_forward(np.array([[2.0]]), weights, ops.relu)
    np.testing.assert_array_equal(out, [[21.0]])


@example
def test_transformer_block_shapes_count_a_block():
    """12 d^2 + 13 d: four maps of d x d, two of d x 4d, their biases, two norms."""
    shapes = transformer.transformer_block_shapes(768, 4 * 768).values()
    assert sum(int(np.prod(shape)) for shape in shapes) == 12 * 768**2 + 13 * 768


@law
def test_transformer_block_before_norms_adds_to_what_it_reads():
    """With both ways out closed, a pre-norm block hands its input on, bit for bit."""
    closed = {
        name: np.zeros_like(array)
        for name, array in TENSORS.items()
        if name.startswith(("self_attn.out_proj", "mlp.fc2"))
    }
    weights = Weights({**TENSORS, **closed})
    np.testing.assert_array_equal(transformer.transformer_block(X, weights, HEADS), X)


@law
def test_transformer_block_after_norms_gives_normed_tokens():
    """A post-norm block ends in its norm: mean and variance are the norm's own."""
    plain = {
        "layer_norm2.weight": np.ones(DIM),
        "layer_norm2.bias": np.zeros(DIM),
    }
    weights = Weights({**TENSORS, **plain})
    out = transformer.transformer_block(X, weights, HEADS, norm_first=False, eps=0.0)
    assert np.abs(out.mean(axis=-1)).max() < 1e-12
    assert np.abs(out.var(axis=-1) - 1).max() < 1e-12


@law
def test_transformer_block_does_not_know_the_order_of_tokens():
    """Without a mask, shuffled tokens come out shuffled, and nothing else changes."""
    order = [3, 0, 4, 2, 1]
    shuffled = transformer.transformer_block(X[:, order], WEIGHTS, HEADS)
    out = transformer.transformer_block(X, WEIGHTS, HEADS)
    assert_close(shuffled, out[:, order])


@law
def test_transformer_block_never_looks_ahead_where_it_is_causal():
    """Change a token, and no token before it changes."""
    changed = X.copy()
    changed[:, 3] += 1
    out = transformer.transformer_block(X, WEIGHTS, HEADS, is_causal=True)
    after = transformer.transformer_block(changed, WEIGHTS, HEADS, is_causal=True)
    assert_close(after[:, :3], out[:, :3])
    assert np.abs(after[:, 3:] - out[:, 3:]).min(axis=-1).max() > 1e-3


@law
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_transformer_block_keeps_the_dtype(dtype):
    """float16 in, float16 out, under either kind of norm."""
    weights = Weights({name: array.astype(dtype) for name, array in TENSORS.items()})
    for norm_first in (True, False):
        out = transformer.transformer_block(
            X.astype(dtype), weights, HEADS, norm_first=norm_first
        )
        assert out.dtype == dtype


def reference(torch, norm_first, eps):
    """torch's layer with our weights: it stacks queries, keys and values."""
    layer = torch.nn.TransformerEncoderLayer(
        DIM,
        HEADS,
        HIDDEN,
        dropout=0.0,
        activation="gelu",
        layer_norm_eps=eps,
        batch_first=True,
        norm_first=norm_first,
    )

    def stacked(kind):
        return np.concatenate([TENSORS[f"self_attn.{n}_proj.{kind}"] for n in "qkv"])

    state = {f"self_attn.in_proj_{kind}": stacked(kind) for kind in ("weight", "bias")}
    for kind in ("weight", "bias"):
        state[f"self_attn.out_proj.{kind}"] = TENSORS[f"self_attn.out_proj.{kind}"]
        for i in (1, 2):
            state[f"linear{i}.{kind}"] = TENSORS[f"mlp.fc{i}.{kind}"]
            state[f"norm{i}.{kind}"] = TENSORS[f"layer_norm{i}.{kind}"]
    layer.double().load_state_dict({n: torch.from_numpy(a) for n, a in state.items()})
    return layer


@oracle
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_transformer_block_equals_torch(compare, norm_first, causal):
    """torch.nn.TransformerEncoderLayer, every parameter random, and its gradient."""
    hides = np.triu(np.ones((5, 5), bool), 1) & causal  # torch's True hides

    def ask(torch):
        layer, x = reference(torch, norm_first, 1e-3), torch.from_numpy(X.copy())
        x.requires_grad_()
        out = layer(x, src_mask=torch.from_numpy(hides))
        (out**3).sum().backward()
        return {"out": out.detach().numpy(), "gradient": x.grad.numpy()}

    answers = compare.answers(ask, (TENSORS, X, hides, norm_first))
    options = {"is_causal": causal, "norm_first": norm_first, "eps": 1e-3}
    out = transformer.transformer_block(X, WEIGHTS, HEADS, **options)
    assert_close(out, answers["out"])
    masked = options | {"is_causal": False, "attn_mask": ~hides}
    assert_close(transformer.transformer_block(X, WEIGHTS, HEADS, **masked), out)

    def loss(x):
        return (transformer.transformer_block(x, WEIGHTS, HEADS, **options) ** 3).sum()

    assert_close(value_and_grad(loss)(X)[1], answers["gradient"])


@derivative
@pytest.mark.parametrize("norm_first", [True, False])
def test_transformer_block_derivative(compare, norm_first):
    """The gradient of every weight, as torch.autograd has it."""

    def ask(torch):
        layer = reference(torch, norm_first, 1e-5)
        (layer(torch.from_numpy(X.copy())) ** 3).sum().backward()
        return {name: tensor.grad.numpy() for name, tensor in layer.named_parameters()}

    answers = compare.answers(ask, (TENSORS, X, norm_first))

    def loss(weights):
        out = transformer.transformer_block(X, weights, HEADS, norm_first=norm_first)
        return (out**3).sum()

    found = value_and_grad(loss)(WEIGHTS)[1]
    for kind in ("weight", "bias"):
        stacked = [found[f"self_attn.{name}_proj.{kind}"] for name in "qkv"]
        stacked = np.concatenate(stacked)
        assert_close(stacked, answers[f"self_attn.in_proj_{kind}"], 1e-11)
        for theirs, ours in {
            "self_attn.out_proj": "self_attn.out_proj",
            **{f"linear{i}": f"mlp.fc{i}" for i in (1, 2)},
            **{f"norm{i}": f"layer_norm{i}" for i in (1, 2)},
        }.items():
            assert_close(found[f"{ours}.{kind}"], answers[f"{theirs}.{kind}"], 1e-11)


@contract
def test_self_attention_needs_heads_that_share_the_features():
    """Six features are three heads of two, and never four."""
    with pytest.raises(ShapeError, match="6 features do not split into 4 heads"):
        transformer.transformer_block(X, WEIGHTS, 4)
    with pytest.raises(ValueError, match="num_heads must be a whole number"):
        transformer.transformer_block(X, WEIGHTS, 0)
