"""The spec of refvlm/blocks/fusion/merging.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.autodiff import value_and_grad
from refvlm.blocks.fusion import merging
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
    out = merging.gated_fusion(np.array([8.0]), np.array([0.0]), weights)
    assert_close(out, np.array([6.0]))


@example
def test_late_mlp_of_two_numbers():
    """3 and 5 side by side; a row adds them, the ReLU keeps 8, and ten times it comes
    out."""
    weights = {"fc1.weight": np.array([[1.0, 1.0]]), "fc2.weight": np.array([[10.0]])}
    pair = np.array([3.0]), np.array([5.0])
    out = merging.late_mlp(*pair, weights=Weights(weights), activation=ops.relu)
    assert_close(out, np.array([80.0]))


@example
def test_seen_prefix_mask_of_two_and_two():
    """Two of the picture see each other; the first word sees them and itself."""
    rows = ["1100", "1100", "1110", "1111"]
    expected = np.array([[c == "1" for c in row] for row in rows])
    np.testing.assert_array_equal(merging.seen_prefix_mask(2, 2), expected)


@law
def test_late_mlp_is_a_sum_that_is_bent():
    """Side by side under one matrix is a sum of two linear maps: what a small network
    adds to a sum is the bend, and without it they are the same."""
    weights = Weights(random_weights(MLP | {"fc1.weight": (9, 2 * DIM)}))
    v, t = random_arrays(12)(3, DIM), random_arrays(13)(3, DIM)
    matrix, bias = weights["fc1.weight"], weights["fc1.bias"]
    each = v @ matrix[:, :DIM].T, t @ matrix[:, DIM:].T + bias
    bent = ops.gelu(merging.late_sum(*each)) @ weights["fc2.weight"].T
    assert_close(merging.late_mlp(v, t, weights=weights), bent)


@law
def test_early_fusion_keeps_every_token():
    """Nothing is mixed yet: the tokens stand as they were, each with its type."""
    draw = random_arrays(1)
    vision, text, sound, types = (
        *(draw(2, n, DIM) for n in (3, 2, 5)),
        draw(3, DIM),
    )
    out = merging.early_fusion(vision, text, sound, types=types)
    assert_close(out[:, :3] - types[0], vision)
    assert_close(out[:, 3:5] - types[1], text)
    assert_close(out[:, 5:] - types[2], sound)


@law
@given(st.integers(0, 5), st.integers(0, 5))
def test_seen_prefix_mask_is_causal_but_for_the_picture(prefix, tokens):
    """Without a picture it is the causal mask; without words nothing is hidden; and no
    token of the picture sees a word."""
    mask = merging.seen_prefix_mask(prefix, tokens)
    np.testing.assert_array_equal(mask[prefix:, prefix:], ops.causal_mask(tokens))
    assert mask[:, :prefix].all() and not mask[:prefix, prefix:].any()


@law
@given(vectors, vectors, vectors, vectors, tensors((DIM,)))
def test_late_sum_cannot_let_the_question_choose(v, other, t, asked, w):
    """What a linear map reads from it is additive: changing the picture moves the
    answer as far for this question as for that one."""
    moved = [
        (merging.late_sum(v, q) - merging.late_sum(other, q)) @ w for q in (t, asked)
    ]
    np.testing.assert_allclose(*moved, rtol=1e-9, atol=1e-9)


@law
def test_late_product_lets_the_question_choose():
    """Two questions order two pictures the other way round: no sum can."""
    pictures, questions = np.eye(2), np.eye(2)
    answers = [[merging.late_product(v, q).sum() for v in pictures] for q in questions]
    assert answers == [[1.0, 0.0], [0.0, 1.0]]


@law
def test_late_sum_and_product_do_not_know_the_order_of_modalities():
    """Three of them, picture, text and sound: any two may change places."""
    a, b, c = (random_arrays(seed)(3, DIM) for seed in range(3))
    for join in (merging.late_sum, merging.late_product):
        assert_close(join(c, a, b), join(a, b, c))
        assert_close(join(join(a, b), c), join(a, b, c))


@law
@given(vectors, vectors)
def test_gated_fusion_lies_between_the_two(v, t):
    """A gate weighs; it cannot say what neither said."""
    weights = random_weights(GATE)
    out = merging.gated_fusion(v, t, weights)
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
    assert_close(merging.gated_fusion(t, v, other), merging.gated_fusion(v, t, weights))


@law
def test_gated_fusion_of_two_pathways():
    """Maps of a whole and of its details, gated pixel by pixel: as if each were a
    vector of its own."""
    weights = random_weights(GATE)
    whole, detail = random_arrays(4)(2, 3, 5, DIM), random_arrays(5)(2, 3, 5, DIM)
    out = merging.gated_fusion(whole, detail, weights)
    assert_close(
        out[1, 2, 3], merging.gated_fusion(whole[1, 2, 3], detail[1, 2, 3], weights)
    )


@law
@pytest.mark.parametrize("join", ["sum", "product", "mlp", "gated", "early"])
def test_merging_keeps_the_dtype_and_empty_batches(join):
    """float32 in, float32 out; no samples, no answers."""
    mlp = Weights(cast(random_weights(MLP | {"fc1.weight": (9, 2 * DIM)})))
    joined = {
        "sum": merging.late_sum,
        "product": merging.late_product,
        "mlp": lambda v, t: merging.late_mlp(v, t, weights=mlp),
        "gated": lambda v, t: merging.gated_fusion(v, t, cast(random_weights(GATE))),
        "early": merging.early_fusion,
    }[join]
    x = np.ones((2, 3, DIM), np.float32)
    assert joined(x, x).dtype == np.float32
    assert joined(x[:0], x[:0]).shape[0] == 0
    assert joined(x[:, :0], x[:, :0]).size == 0


def cast(weights):
    return {name: array.astype(np.float32) for name, array in weights.items()}


@oracle
def test_late_sum_and_product_equal_torch(compare):
    """Of three modalities, one number at a time."""
    draw = random_arrays(6)
    three = draw(3, DIM), draw(3, DIM), draw(3, DIM)
    compare(merging.late_sum, lambda torch: lambda a, b, c: a + b + c, *three)
    compare(merging.late_product, lambda torch: lambda a, b, c: a * b * c, *three)


@oracle
@pytest.mark.parametrize("biases", ["both", "first", "second", "none"])
def test_late_mlp_equals_torch(compare, biases):
    """Linear, GELU, Linear of torch.cat, for three modalities; and every gradient. A
    bias that is there is added, and one that is not there is not."""
    draw = random_arrays(6)
    three = draw(3, DIM), draw(3, DIM), draw(3, DIM)
    left_out = {
        "both": set(),
        "first": {"fc2.bias"},
        "second": {"fc1.bias"},
        "none": {"fc1.bias", "fc2.bias"},
    }[biases]
    shapes = {n: s for n, s in (MLP | {"fc2.bias": (2,)}).items() if n not in left_out}
    weights = random_weights(shapes, seed=7)

    def ask(torch):
        x = {n: torch.tensor(w, requires_grad=True) for n, w in weights.items()}
        together = torch.cat([torch.from_numpy(m) for m in three], -1)
        functional = torch.nn.functional
        wide = functional.linear(together, x["fc1.weight"], x.get("fc1.bias"))
        bent = functional.gelu(wide)
        out = functional.linear(bent, x["fc2.weight"], x.get("fc2.bias"))
        return answers_of(out, x)

    answers = compare.answers(ask, (three, weights))
    check(lambda w: merging.late_mlp(*three, weights=w), weights, answers)


@oracle
def test_gated_fusion_equals_torch(compare):
    """A sigmoid of torch.cat, and the weighted sum; and every gradient."""
    draw = random_arrays(6)
    v, t = draw(3, DIM), draw(3, DIM)
    weights = random_weights(GATE, seed=8)

    def ask(torch):
        x = {n: torch.tensor(w, requires_grad=True) for n, w in weights.items()}
        v_, t_ = torch.from_numpy(v), torch.from_numpy(t)
        gate = torch.sigmoid(torch.cat([v_, t_], -1) @ x["weight"].T + x["bias"])
        return answers_of(gate * v_ + (1 - gate) * t_, x)

    answers = compare.answers(ask, (v, t, weights))
    check(lambda w: merging.gated_fusion(v, t, w), weights, answers)


def answers_of(out, leaves):
    (out**2).sum().backward()
    gradients = {f"gradient.{name}": leaf.grad.numpy() for name, leaf in leaves.items()}
    return {"out": out.detach().numpy()} | gradients


def check(join, weights, answers):
    assert_close(join(Weights(weights)), answers["out"])
    found = value_and_grad(lambda leaves: (join(Weights(leaves)) ** 2).sum())(weights)[
        1
    ]
    for name, gradient in found.items():
        assert_close(gradient, answers[f"gradient.{name}"])


@derivative
def test_gated_fusion_derivative():
    """By differences, in both modalities: the gate moves with what it weighs."""
    weights = random_weights(GATE, seed=9)
    v, t = random_arrays(10)(2, DIM), random_arrays(11)(2, DIM)

    def loss(pair):
        return (merging.gated_fusion(pair["v"], pair["t"], weights) ** 2).sum()

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
    for join in (merging.late_sum, merging.late_product):
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
        merging.gated_fusion(np.zeros((2, 3, DIM)), np.zeros((2, 1, DIM)), gate)
    with pytest.raises(ShapeError, match="gated_fusion"):
        merging.gated_fusion(x, wide, gate)
    with pytest.raises(ShapeError, match=r"\[first; second\] is \(2, 10\), but weight"):
        merging.gated_fusion(wide, wide, gate)
    mlp = Weights(random_weights(MLP))
    with pytest.raises(
        ShapeError, match=r"late_mlp: what is joined is \(2, 8\), but fc1"
    ):
        merging.late_mlp(x, x, weights=mlp)
    with pytest.raises(ShapeError, match="only their last axes may differ"):
        merging.late_mlp(x, x[:1], weights=mlp)


@contract
def test_early_fusion_refuses_what_does_not_fit():
    """Sequences of two batches or widths, vectors, and a type too few."""
    x = np.zeros((2, 3, DIM))
    for other in (np.zeros((1, 3, DIM)), np.zeros((2, 3, DIM + 1)), np.zeros((2, DIM))):
        with pytest.raises(ShapeError, match="early_fusion: the sequences are"):
            merging.early_fusion(x, other)
    with pytest.raises(ShapeError, match=r"types is \(1, 4\), .* makes \(2, 4\)"):
        merging.early_fusion(x, x, types=np.zeros((1, DIM)))
    with pytest.raises(ValueError, match="two or more modalities"):
        merging.early_fusion(x)
    with pytest.raises(ValueError, match="prefix must be a whole number"):
        merging.seen_prefix_mask(-1, 2)
