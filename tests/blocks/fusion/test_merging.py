"""The spec of refvlm/blocks/fusion/merging.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.autodiff import value_and_grad
from refvlm.blocks.fusion.merging import (
    early_fusion,
    gated_fusion,
    late_mlp,
    late_product,
    late_sum,
    seen_prefix_mask,
)
from refvlm.checkpoint import Weights
from refvlm.shapes import ShapeError

from ...spec import (
    assert_close,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
    tensors,
)
from ...weights import random_weights

DIM = 4
MLP = {"fc1.weight": (9, 3 * DIM), "fc1.bias": (9,), "fc2.weight": (2, 9)}
GATE = {"weight": (DIM, 2 * DIM), "bias": (DIM,)}
vectors = tensors((3, DIM))


@example
def test_gated_fusion_of_three_quarters():
    """sigmoid(log 3) = 3/4: three parts of 8 and one of 0."""
    weights = {"weight": np.zeros((1, 2)), "bias": np.log([3.0])}
    out = gated_fusion(np.array([8.0]), np.array([0.0]), weights)
    assert_close(out, np.array([6.0]))


@law
def test_early_fusion_keeps_every_token():
    """Nothing is mixed yet: the tokens stand as they were, each with its type."""
    draw = random_arrays(1)
    vision, text, sound, types = (
        *(draw(2, n, DIM) for n in (3, 2, 5)),
        draw(3, DIM),
    )
    out = early_fusion(vision, text, sound, types=types)
    assert_close(out[:, :3] - types[0], vision)
    assert_close(out[:, 3:5] - types[1], text)
    assert_close(out[:, 5:] - types[2], sound)


@law
@given(st.integers(0, 5), st.integers(0, 5))
def test_seen_prefix_mask_is_causal_but_for_the_picture(prefix, tokens):
    """Without a picture it is the causal mask; without words nothing is hidden; and no
    token of the picture sees a word."""
    mask = seen_prefix_mask(prefix, tokens)
    np.testing.assert_array_equal(mask[prefix:, prefix:], ops.causal_mask(tokens))
    assert mask[:, :prefix].all() and not mask[:prefix, prefix:].any()


@law
@given(vectors, vectors, vectors, vectors, tensors((DIM,)))
def test_late_sum_cannot_let_the_question_choose(v, other, t, asked, w):
    """What a linear map reads from it is additive: changing the picture moves the
    answer as far for this question as for that one."""
    moved = [(late_sum(v, q) - late_sum(other, q)) @ w for q in (t, asked)]
    np.testing.assert_allclose(*moved, rtol=1e-9, atol=1e-9)


@law
def test_late_product_lets_the_question_choose():
    """Two questions order two pictures the other way round: no sum can."""
    pictures, questions = np.eye(2), np.eye(2)
    answers = [[late_product(v, q).sum() for v in pictures] for q in questions]
    assert answers == [[1.0, 0.0], [0.0, 1.0]]


@law
def test_late_sum_and_product_do_not_know_the_order_of_modalities():
    """Three of them, picture, text and sound: any two may change places."""
    a, b, c = (random_arrays(seed)(3, DIM) for seed in range(3))
    for join in (late_sum, late_product):
        assert_close(join(c, a, b), join(a, b, c))
        assert_close(join(join(a, b), c), join(a, b, c))


@law
@given(vectors, vectors)
def test_gated_fusion_lies_between_the_two(v, t):
    """A gate weighs; it cannot say what neither said."""
    weights = random_weights(GATE)
    out = gated_fusion(v, t, weights)
    slack = 1e-9 * (1 + np.maximum(np.abs(v), np.abs(t)))
    assert (out >= np.minimum(v, t) - slack).all()
    assert (out <= np.maximum(v, t) + slack).all()


@law
def test_gated_fusion_is_even_handed():
    """Turn the two round, and the gate's sign: nothing changes."""
    weights = random_weights(GATE)
    v, t = random_arrays(2)(3, DIM), random_arrays(3)(3, DIM)
    turned = np.concatenate([weights["weight"][:, DIM:], weights["weight"][:, :DIM]], 1)
    other = {"weight": -turned, "bias": -weights["bias"]}
    assert_close(gated_fusion(t, v, other), gated_fusion(v, t, weights))


@law
def test_gated_fusion_of_two_pathways():
    """Maps of a whole and of its details, gated pixel by pixel: as if each were a
    vector of its own."""
    weights = random_weights(GATE)
    whole, detail = random_arrays(4)(2, 3, 5, DIM), random_arrays(5)(2, 3, 5, DIM)
    out = gated_fusion(whole, detail, weights)
    assert_close(out[1, 2, 3], gated_fusion(whole[1, 2, 3], detail[1, 2, 3], weights))


@law
@pytest.mark.parametrize("join", ["sum", "product", "mlp", "gated", "early"])
def test_merging_keeps_the_dtype_and_empty_batches(join):
    """float32 in, float32 out; no samples, no answers."""
    mlp = Weights(cast(random_weights(MLP | {"fc1.weight": (9, 2 * DIM)})))
    joined = {
        "sum": late_sum,
        "product": late_product,
        "mlp": lambda v, t: late_mlp(v, t, weights=mlp),
        "gated": lambda v, t: gated_fusion(v, t, cast(random_weights(GATE))),
        "early": early_fusion,
    }[join]
    x = np.ones((2, 3, DIM), np.float32)
    assert joined(x, x).dtype == np.float32
    assert joined(x[:0], x[:0]).shape[0] == 0
    assert joined(x[:, :0], x[:, :0]).size == 0


def cast(weights):
    return {name: array.astype(np.float32) for name, array in weights.items()}


@oracle
def test_merging_equals_torch(compare):
    """Sum, product, MLP of three modalities and the gate of two, with their gradients
    in every weight."""
    draw = random_arrays(6)
    v, t, a = draw(3, DIM), draw(3, DIM), draw(3, DIM)
    weights = random_weights(MLP, seed=7) | {
        f"gate.{name}": array for name, array in random_weights(GATE, seed=8).items()
    }

    def ask(torch):
        x = {n: torch.tensor(w, requires_grad=True) for n, w in weights.items()}
        v_, t_, a_ = (torch.from_numpy(m) for m in (v, t, a))
        wide = torch.nn.functional.linear(
            torch.cat([v_, t_, a_], -1), x["fc1.weight"], x["fc1.bias"]
        )
        mlp = torch.nn.functional.gelu(wide) @ x["fc2.weight"].T
        gate = torch.sigmoid(
            torch.cat([v_, t_], -1) @ x["gate.weight"].T + x["gate.bias"]
        )
        gated = gate * v_ + (1 - gate) * t_
        ((mlp**2).sum() + (gated**2).sum()).backward()
        out = {"sum": v_ + t_ + a_, "product": v_ * t_ * a_, "mlp": mlp, "gated": gated}
        answers = {name: value.detach().numpy() for name, value in out.items()}
        return answers | {f"gradient.{n}": w.grad.numpy() for n, w in x.items()}

    answers = compare.answers(ask, (v, t, a, weights))
    assert_close(late_sum(v, t, a), answers["sum"])
    assert_close(late_product(v, t, a), answers["product"])

    def mlp(weights):
        return late_mlp(v, t, a, weights=weights)

    def gated(weights):
        return gated_fusion(v, t, weights.scope("gate"))

    assert_close(mlp(Weights(weights)), answers["mlp"])
    assert_close(gated(Weights(weights)), answers["gated"])

    def loss(leaves):
        named = Weights(leaves)
        return (mlp(named) ** 2).sum() + (gated(named) ** 2).sum()

    for name, gradient in value_and_grad(loss)(weights)[1].items():
        assert_close(gradient, answers[f"gradient.{name}"])


@derivative
def test_gated_fusion_derivative():
    """By differences, in both modalities: the gate moves with what it weighs."""
    weights = random_weights(GATE, seed=9)
    v, t = random_arrays(10)(2, DIM), random_arrays(11)(2, DIM)

    def loss(pair):
        return (gated_fusion(pair["v"], pair["t"], weights) ** 2).sum()

    pair = {"v": v, "t": t}
    found = value_and_grad(loss)(pair)[1]
    for name, array in pair.items():
        for index in np.ndindex(array.shape):
            step = np.zeros_like(array)
            step[index] = 1e-6
            change = loss(pair | {name: array + step})
            change -= loss(pair | {name: array - step})
            assert abs(found[name][index] - change / 2e-6) < 1e-6


@contract
def test_merging_refuses_what_does_not_fit():
    """One modality, two shapes, another width, each by the name of the function."""
    x, wide = np.zeros((2, DIM)), np.zeros((2, DIM + 1))
    for join in (late_sum, late_product):
        with pytest.raises(
            ShapeError, match=rf"{join.__name__}: .* \(2, 4\), \(2, 5\)"
        ):
            join(x, wide)
        with pytest.raises(
            ValueError, match="two or more modalities are joined, not 1"
        ):
            join(x)
    gate = random_weights(GATE)
    with pytest.raises(ShapeError, match="gated_fusion: the modalities are .* pooling"):
        gated_fusion(np.zeros((2, 3, DIM)), np.zeros((2, 1, DIM)), gate)
    with pytest.raises(ShapeError, match="gated_fusion"):
        gated_fusion(x, wide, gate)
    with pytest.raises(ShapeError, match=r"\[first; second\] is \(2, 10\), but weight"):
        gated_fusion(wide, wide, gate)
    mlp = Weights(random_weights(MLP))
    with pytest.raises(
        ShapeError, match=r"late_mlp: what is joined is \(2, 8\), but fc1"
    ):
        late_mlp(x, x, weights=mlp)
    with pytest.raises(ShapeError, match="only their last axes may differ"):
        late_mlp(x, x[:1], weights=mlp)


@contract
def test_early_fusion_refuses_what_does_not_fit():
    """Sequences of two batches or widths, vectors, and a type too few."""
    x = np.zeros((2, 3, DIM))
    for other in (np.zeros((1, 3, DIM)), np.zeros((2, 3, DIM + 1)), np.zeros((2, DIM))):
        with pytest.raises(ShapeError, match="early_fusion: the sequences are"):
            early_fusion(x, other)
    with pytest.raises(ShapeError, match=r"types is \(1, 4\), .* makes \(2, 4\)"):
        early_fusion(x, x, types=np.zeros((1, DIM)))
    with pytest.raises(ValueError, match="two or more modalities"):
        early_fusion(x)
    with pytest.raises(ValueError, match="prefix must be a whole number"):
        seen_prefix_mask(-1, 2)
