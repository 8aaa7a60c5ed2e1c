"""The spec of refvlm/blocks/attention_layers.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.autodiff import value_and_grad
from refvlm.blocks.attention_layers import (
    attention_pool,
    bidirectional_cross_attention,
    merge_heads,
    multi_head_attention,
    split_heads,
)
from refvlm.checkpoint import Weights
from refvlm.shapes import ShapeError

from ..spec import assert_close, contract, example, law, oracle, random_arrays
from ..weights import random_weights

WIDTH, HEADS = 6, 3
SELF = {
    "in_proj_weight": (3 * WIDTH, WIDTH),
    "in_proj_bias": (3 * WIDTH,),
    "out_proj.weight": (WIDTH, WIDTH),
    "out_proj.bias": (WIDTH,),
}
CROSS = {
    "q_proj_weight": (WIDTH, WIDTH),
    "k_proj_weight": (WIDTH, 5),
    "v_proj_weight": (WIDTH, 4),
    "in_proj_bias": (3 * WIDTH,),
    "out_proj.weight": (WIDTH, WIDTH),
    "out_proj.bias": (WIDTH,),
}
UNBIASED = {name: SELF[name] for name in ("in_proj_weight", "out_proj.weight")}


def _identity(width):
    """Projections that do nothing, so that only attention itself is left."""
    return {
        "in_proj_weight": np.tile(np.eye(width), (3, 1)),
        "out_proj.weight": np.eye(width),
    }


@example
def test_multi_head_attention_with_identity_projections():
    """With nothing to project, each head is attention over its own features."""
    x = random_arrays(1)(2, 4, 6)
    out = multi_head_attention(x, x, x, _identity(6), 2)
    for part in (slice(0, 3), slice(3, 6)):
        head = x[..., part]
        assert_close(out[..., part], ops.scaled_dot_product_attention(head, head, head))


@law
def test_split_heads_and_merge_heads_are_inverse():
    """Heads are slices of the features, side by side."""
    x = random_arrays(2)(2, 4, 6)
    np.testing.assert_array_equal(split_heads(x, 3)[:, 1], x[..., 2:4])
    np.testing.assert_array_equal(merge_heads(split_heads(x, 3)), x)


@law
def test_multi_head_attention_of_no_tokens():
    """No question, no answer; and where there is nothing to look at, only the bias."""
    x, weights = random_arrays(9)(2, 4, WIDTH), random_weights(SELF)
    none = x[:, :0]
    assert multi_head_attention(none, x, x, weights, HEADS).shape == (2, 0, WIDTH)
    blind = multi_head_attention(x, none, none, weights, HEADS)
    assert_close(blind, np.broadcast_to(weights["out_proj.bias"], x.shape))


@law
@given(st.permutations(range(5)))
def test_multi_head_attention_of_a_shuffled_sequence_is_shuffled(order):
    """Self-attention without a mask sees a set: it moves with its tokens."""
    x, weights = random_arrays(3)(5, WIDTH), random_weights(SELF)
    out = multi_head_attention(x, x, x, weights, HEADS)
    shuffled = multi_head_attention(x[order], x[order], x[order], weights, HEADS)
    assert_close(shuffled, out[order])


@law
def test_multi_head_attention_returns_the_weights_it_used():
    """need_weights adds them and changes nothing: every head's rows sum to one, and
    with identity projections they average the values into the output."""
    x = random_arrays(4)(2, 4, 6)
    out, weights = multi_head_attention(x, x, x, _identity(6), 2, need_weights=True)
    assert weights.shape == (2, 2, 4, 4)
    assert_close(weights.sum(axis=-1), np.ones((2, 2, 4)))
    assert_close(merge_heads(weights @ split_heads(x, 2)), out)
    assert_close(multi_head_attention(x, x, x, _identity(6), 2), out)


@law
def test_multi_head_attention_keeps_the_dtype():
    """float32 weights and tokens give float32."""
    weights = {n: w.astype(np.float32) for n, w in random_weights(SELF).items()}
    x = np.ones((4, WIDTH), np.float32)
    out, used = multi_head_attention(x, x, x, weights, HEADS, need_weights=True)
    assert out.dtype == used.dtype == np.float32


@law
def test_attention_pool_does_not_count_or_order_tokens():
    """However the tokens are shuffled or repeated all together, the answer stays."""
    shapes = {"probe": (1, 2, WIDTH)} | {f"attention.{n}": s for n, s in SELF.items()}
    weights = Weights(random_weights(shapes))
    x = random_arrays(5)(2, 4, WIDTH)
    pooled = attention_pool(x, weights, HEADS)
    assert pooled.shape == (2, 2, WIDTH)
    assert_close(attention_pool(x[:, [3, 1, 0, 2]], weights, HEADS), pooled)
    assert_close(attention_pool(np.tile(x, (1, 3, 1)), weights, HEADS), pooled)


@law
def test_bidirectional_cross_attention_looks_both_ways():
    """Change one text token: every picture token moves; and the other way round."""
    weights = Weights(random_weights(_both_ways()))
    draw = random_arrays(6)
    vision, text = draw(1, 5, WIDTH), draw(1, 3, WIDTH)
    other = text.copy()
    other[0, 1] += 1
    before = bidirectional_cross_attention(vision, text, weights, HEADS)
    after = bidirectional_cross_attention(vision, other, weights, HEADS)
    assert (np.abs(after[0] - before[0]).max(axis=-1) > 1e-3).all()
    # The other text tokens ask the picture as it was: they do not move.
    np.testing.assert_array_equal(after[1][0, [0, 2]], before[1][0, [0, 2]])


def _both_ways():
    side = {f"attention.{name}": shape for name, shape in SELF.items()}
    side |= {"norm.weight": (WIDTH,), "norm.bias": (WIDTH,)}
    both = {"vision": side, "text": side}
    return {f"{s}.{name}": shape for s in both for name, shape in both[s].items()}


KEPT = np.array([[True] * 5, [True, True, True, False, False]])

CASES = {
    "self": dict(shapes=SELF, widths=(6, 6, 6)),
    "self, causal": dict(shapes=SELF, widths=(6, 6, 6), lengths=(5, 5), causal=True),
    "without biases": dict(shapes=UNBIASED, widths=(6, 6, 6)),
    "cross, padded": dict(shapes=CROSS, widths=(6, 5, 4), kept=KEPT),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request):
    return request.param


@oracle
def test_multi_head_attention_equals_torch(compare, case):
    """nn.MultiheadAttention: output, weights, and the gradient of every parameter."""
    weights = random_weights(case["shapes"])
    draw, (q, k) = random_arrays(7), case.get("lengths", (4, 5))
    tokens = [
        draw(2, length, width) for length, width in zip((q, k, k), case["widths"])
    ]
    kept = case.get("kept")
    answers = compare.answers(
        lambda torch: _module_answers(torch, weights, tokens, case),
        (weights, tokens, case),
    )
    mask = None if kept is None else kept[:, None, None, :]

    def attend(weights):
        return multi_head_attention(
            *tokens, weights, HEADS, mask, case.get("causal", False), need_weights=True
        )

    out, used = attend(weights)
    assert_close(out, answers["output"])
    assert_close(used, answers["weights"])
    direction = random_arrays(99)(*out.shape)
    _, gradients = value_and_grad(lambda w: (attend(w)[0] * direction).sum())(weights)
    for name, gradient in gradients.items():
        assert_close(gradient, answers[f"gradient.{name}"])


def _module_answers(torch, weights, tokens, case):
    _, kdim, vdim = case["widths"]
    module = torch.nn.MultiheadAttention(
        WIDTH,
        HEADS,
        bias="in_proj_bias" in weights,
        kdim=kdim,
        vdim=vdim,
        batch_first=True,
    ).double()
    state = {name: torch.from_numpy(tensor.copy()) for name, tensor in weights.items()}
    module.load_state_dict(state)
    hidden = case.get("kept")
    length = tokens[0].shape[1]
    out, used = module(
        *(torch.from_numpy(x) for x in tokens),
        key_padding_mask=None if hidden is None else torch.from_numpy(~hidden),
        attn_mask=~torch.ones(length, length, dtype=torch.bool).tril()
        if case.get("causal")
        else None,
        average_attn_weights=False,
    )
    out.backward(torch.from_numpy(random_arrays(99)(*out.shape)))
    return {"output": out.detach().numpy(), "weights": used.detach().numpy()} | {
        f"gradient.{name}": parameter.grad.numpy()
        for name, parameter in module.named_parameters()
    }


@oracle
def test_bidirectional_cross_attention_equals_torch(compare):
    """Two modules of nn.MultiheadAttention, each with its residual and its norm."""
    weights = random_weights(_both_ways())
    draw = random_arrays(8)
    vision, text = draw(2, 5, WIDTH), draw(2, 3, WIDTH)

    def ask(torch):
        def side(name, query, other):
            module = torch.nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
            tensors = Weights(weights).scope(name)
            state = {n: torch.from_numpy(tensors[f"attention.{n}"]) for n in SELF}
            module.double().load_state_dict(state)
            norm = [torch.from_numpy(tensors[f"norm.{n}"]) for n in ("weight", "bias")]
            query, other = torch.from_numpy(query), torch.from_numpy(other)
            attended = module(query, other, other, need_weights=False)[0]
            normed = torch.nn.functional.layer_norm(query + attended, (WIDTH,), *norm)
            return normed.detach().numpy()

        return {
            "vision": side("vision", vision, text),
            "text": side("text", text, vision),
        }

    answers = compare.answers(ask, (weights, vision, text))
    ours = bidirectional_cross_attention(vision, text, Weights(weights), HEADS)
    assert_close(ours[0], answers["vision"])
    assert_close(ours[1], answers["text"])


@contract
def test_multi_head_attention_refuses_heads_that_do_not_divide():
    """Six features do not split into four heads."""
    x = np.zeros((2, 6))
    with pytest.raises(ShapeError, match="6 features do not split into 4 heads"):
        multi_head_attention(x, x, x, _identity(6), 4)


@contract
def test_multi_head_attention_refuses_projections_of_another_width():
    """in_proj_weight holds queries, keys and values, one under the other."""
    x = np.zeros((2, 6))
    with pytest.raises(ShapeError, match=r"\(12, 4\), but queries of 6 .* need 18"):
        multi_head_attention(x, x, x, _identity(4), 2)
