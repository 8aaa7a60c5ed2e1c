"""The spec of refvlm/models/qwen2.py."""

import numpy as np
import pytest

from refvlm import ops
from refvlm.autodiff import value_and_grad
from refvlm.blocks.kv_cache import ContextError, Slots
from refvlm.checkpoint import Weights
from refvlm.models import qwen2
from refvlm.models.fields import ConfigError

from ..oracles import import_torchvision, in_double
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

SMALL = qwen2.Qwen2Config(
    vocab_size=37,
    hidden_size=24,
    intermediate_size=40,
    num_hidden_layers=3,
    num_attention_heads=6,
    num_key_value_heads=2,
    head_dim=4,
    max_position_embeddings=64,
    rope_theta=1e4,
)


@pytest.fixture
def weights():
    return Weights(random_weights(qwen2.expected_shapes(SMALL), seed=5))


def embed(weights, ids):
    return weights["embed_tokens.weight"][ids]


IDS = np.random.RandomState(0).randint(0, 37, (2, 9))


@example
@pytest.mark.parametrize(
    "size, hidden, layers, heads, groups, ffn, total",
    [
        ("0.5B", 896, 24, 14, 2, 4864, 494_032_768),
        ("1.5B", 1536, 28, 12, 2, 8960, 1_543_714_304),
    ],
)
def test_expected_shapes_count_the_published_parameters(
    size, hidden, layers, heads, groups, ffn, total
):
    """The shapes of Qwen2-0.5B and 1.5B add up to the published parameter counts."""
    config = qwen2.Qwen2Config(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        intermediate_size=ffn,
        head_dim=hidden // heads,
    )
    shapes = qwen2.expected_shapes(config).values()
    assert sum(int(np.prod(shape)) for shape in shapes) == total


@example
def test_swiglu_of_one_number():
    """SiLU(2) x 3 is what the gate lets through of 3, scaled by 10 on the way down."""
    weights = Weights(
        {
            "gate_proj.weight": np.array([[2.0]]),
            "up_proj.weight": np.array([[3.0]]),
            "down_proj.weight": np.array([[10.0]]),
        }
    )
    silu = 2 / (1 + np.exp(-2.0))
    assert_close(
        qwen2.swiglu(np.ones((1, 1, 1)), weights), np.full((1, 1, 1), 30 * silu)
    )


@law
def test_decoder_layer_adds_to_what_it_reads(weights):
    """With both ways out closed, a layer hands its input on unchanged."""
    layer = weights.scope("layers.0")
    closed = {
        name: np.zeros_like(layer[name])
        for name in ("self_attn.o_proj.weight", "mlp.down_proj.weight")
    }
    layer = Weights({**dict(layer), **closed})
    hidden = embed(weights, IDS)
    rotary = ops.rotary_angles(np.arange(9), SMALL.head_dim)
    out = qwen2.decoder_layer(hidden, layer, SMALL, rotary, None)
    np.testing.assert_array_equal(out, hidden)


@law
def test_qwen2_never_looks_ahead(weights):
    """Change a token, and nothing before it changes."""
    changed = IDS.copy()
    changed[:, 5] = (changed[:, 5] + 1) % 37
    before = qwen2.qwen2(embed(weights, IDS), weights, SMALL)
    after = qwen2.qwen2(embed(weights, changed), weights, SMALL)
    np.testing.assert_allclose(after[:, :5], before[:, :5], rtol=0, atol=1e-12)
    assert np.abs(after[:, 5:] - before[:, 5:]).max() > 1e-3


@law
@pytest.mark.parametrize("cuts", [(9,), (1,) * 9, (4, 1, 1, 3), (2, 7)])
def test_qwen2_with_a_cache_equals_without(weights, cuts):
    """Token by token, or in pieces of any length, the cache changes no number."""
    whole = qwen2.qwen2(embed(weights, IDS), weights, SMALL)
    cache = qwen2.new_cache(SMALL, batch=2, capacity=9, dtype=np.float64)
    pieces, start = [], 0
    for cut in cuts:
        piece = embed(weights, IDS[:, start : start + cut])
        pieces.append(qwen2.qwen2(piece, weights, SMALL, cache=cache))
        start += cut
    assert cache.length == 9
    assert_close(np.concatenate(pieces, axis=1), whole)


def behind_slots(weights, slots):
    """What becomes of a text whose memory was set before its first token."""
    cache = qwen2.new_cache(SMALL, 2, 9, np.float64)
    cache.slots = slots
    return qwen2.qwen2(embed(weights, IDS), weights, SMALL, cache=cache)


@law
def test_qwen2_behind_slots_of_a_token_is_behind_the_token(weights):
    """A key that is not turned stands at place 0, where the text begins. Turned back
    by one place, what a cache holds of a token is a slot that is that token before the
    text: nothing else of it is ever read."""
    before = qwen2.new_cache(SMALL, 2, 10, np.float64)
    first = embed(weights, np.array([[3], [29]]))
    qwen2.qwen2(first, weights, SMALL, cache=before)
    keys, values = before.keys[:, :, :, :1].copy(), before.values[:, :, :, :1].copy()
    expected = qwen2.qwen2(embed(weights, IDS), weights, SMALL, cache=before)
    cos, sin = ops.rotary_angles(np.array([1]), 4, SMALL.rope_theta)
    back = ops.apply_rotary(keys, cos, -sin)
    assert_close(behind_slots(weights, Slots(back, values)), expected)
    at_home = behind_slots(weights, Slots(keys, values))
    assert np.abs(at_home - expected).max() > 0.01


@law
def test_qwen2_behind_slots_for_all_query_heads_is_that_of_tied_ones(weights):
    """Six heads of slots that are copies of two say what the two say; of their own they
    say more."""
    draw = random_arrays(8)
    few = Slots(draw(3, 2, 2, 4, 4), draw(3, 2, 2, 4, 4), draw(2, 4))
    copies = Slots(few.keys.repeat(3, axis=2), few.values.repeat(3, axis=2), few.bias)
    assert_close(behind_slots(weights, copies), behind_slots(weights, few))
    own = Slots(draw(3, 2, 6, 4, 4), copies.values, few.bias)
    assert np.abs(behind_slots(weights, own) - behind_slots(weights, few)).max() > 0.1


@law
def test_qwen2_behind_closed_slots_has_no_memory(weights):
    """Minus infinity on every slot, and nothing of it is heard."""
    draw = random_arrays(9)
    closed = np.array([[-np.inf, -np.inf], [-np.inf, 0.0]])
    slots = Slots(draw(3, 2, 2, 2, 4), draw(3, 2, 2, 2, 4), closed)
    alone = qwen2.qwen2(embed(weights, IDS), weights, SMALL)
    behind = behind_slots(weights, slots)
    assert_close(behind[:1], alone[:1])
    assert np.abs(behind[1] - alone[1]).max() > 0.1


@law
@pytest.mark.parametrize("last", [1, 4, 9])
def test_qwen2_of_the_last_tokens_is_the_end_of_the_whole(weights, last):
    """Who asks for few states gets those, and the cache holds every token."""
    whole = qwen2.qwen2(embed(weights, IDS), weights, SMALL)
    caches = [qwen2.new_cache(SMALL, 2, 10, np.float64) for _ in range(2)]
    given = embed(weights, IDS)
    few = qwen2.qwen2(given, weights, SMALL, cache=caches[0], last=last)
    qwen2.qwen2(given, weights, SMALL, cache=caches[1])
    assert_close(few, whole[:, -last:])
    after = [
        qwen2.qwen2(given[:, :1], weights, SMALL, cache=cache, last=1)
        for cache in caches
    ]
    assert_close(*after)


@contract
@pytest.mark.parametrize("last", [0, -1, 10, 1.5])
def test_qwen2_has_last_tokens_from_one_to_all(weights, last):
    """Of nine tokens, no last 0 and no last 10: a slice would take what is there."""
    with pytest.raises(ValueError, match="qwen2: .*last"):
        qwen2.qwen2(embed(weights, IDS), weights, SMALL, last=last)


@law
def test_qwen2_does_not_see_padding(weights):
    """Padding on the left, masked out, leaves what follows as it was."""
    alone = qwen2.qwen2(embed(weights, IDS[:, 3:]), weights, SMALL)
    mask = np.ones((2, 9), bool)
    mask[:, :3] = False
    padded = qwen2.qwen2(embed(weights, IDS), weights, SMALL, mask)
    assert_close(padded[:, 3:], alone, 1e-11)


@law
def test_qwen2_keeps_float32(weights):
    """float32 weights give float32 hidden states, close to those in float64."""
    single = Weights({name: weights[name].astype(np.float32) for name in weights})
    hidden = qwen2.qwen2(embed(single, IDS), single, SMALL)
    assert hidden.dtype == np.float32
    exact = qwen2.qwen2(embed(weights, IDS), weights, SMALL)
    assert_close(hidden, exact.astype(np.float32), 1e-5)


def reference(torch, weights, mask=None):
    """transformers' Qwen2Model with our weights, in float64."""
    import_torchvision()
    from transformers import Qwen2Config, Qwen2Model

    model = Qwen2Model(
        Qwen2Config(
            vocab_size=SMALL.vocab_size,
            hidden_size=SMALL.hidden_size,
            intermediate_size=SMALL.intermediate_size,
            num_hidden_layers=SMALL.num_hidden_layers,
            num_attention_heads=SMALL.num_attention_heads,
            num_key_value_heads=SMALL.num_key_value_heads,
            rope_parameters={"rope_theta": SMALL.rope_theta, "rope_type": "default"},
            attn_implementation="sdpa",  # eager makes NaN of a row that sees nothing
        )
    ).double()
    state = {name: torch.from_numpy(weights[name].copy()) for name in weights}
    model.load_state_dict(state)
    in_double(torch, model, SMALL.rope_theta, SMALL.head_dim)
    mask = None if mask is None else torch.from_numpy(mask.astype(np.int64))
    return model, lambda ids: model(torch.from_numpy(ids), attention_mask=mask)[0]


@oracle
@pytest.mark.parametrize("padding", [0, 3])
def test_qwen2_equals_transformers(compare, weights, padding):
    """Hidden states of transformers' Qwen2Model, with and without padding."""
    mask = np.ones((2, 9), bool)
    mask[0, :padding] = False

    def ask(torch):
        _, model = reference(torch, weights, mask)
        return {"hidden": model(IDS).detach().numpy()}

    answer = compare.answers(ask, (dict(weights), IDS, mask))["hidden"]
    assert answer[mask].std() > 0.1
    ours = qwen2.qwen2(embed(weights, IDS), weights, SMALL, mask)
    assert_close(ours[mask], answer[mask], 1e-9)


@derivative
def test_qwen2_derivative_equals_transformers(compare, weights):
    """The gradient of every weight, through all layers, as torch.autograd has it."""

    def ask(torch):
        model, run = reference(torch, weights)
        (run(IDS) ** 3).sum().backward()
        return {n: p.grad.numpy() for n, p in model.named_parameters() if p.ndim == 1}

    answers = compare.answers(ask, (dict(weights), IDS))

    def loss(weights):
        embedded = ops.embedding(IDS, weights["embed_tokens.weight"])
        return (qwen2.qwen2(embedded, weights, SMALL) ** 3).sum()

    _, gradients = value_and_grad(loss)(weights)
    assert set(gradients) == set(weights)
    for name, expected in answers.items():
        assert_close(gradients[name], expected, 1e-9)


@contract
@pytest.mark.parametrize(
    "change, message",
    [
        ({"num_attention_heads": 0}, "num_attention_heads must be a whole number"),
        ({"hidden_size": "896"}, "hidden_size must be a whole number"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu', but only 'silu'"),
        ({"use_sliding_window": True}, "use_sliding_window"),
        ({"layer_types": ["sliding_attention"] * 32}, "layer_types must be"),
        ({"layer_types": ["full_attention"] * 31}, "each of 32 layers"),
        ({"rope_parameters": {"rope_type": "longrope"}}, "rope_type is 'longrope'"),
        ({"num_key_value_heads": 5}, "cannot share"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps must be a number"),
    ],
)
def test_qwen2_config_refuses_what_it_cannot_build(change, message):
    """A configuration that means another model is an error, not another answer."""
    config = {"num_attention_heads": 14, "num_key_value_heads": 2, "hidden_size": 896}
    with pytest.raises(ConfigError, match=message):
        qwen2.Qwen2Config.from_json({**config, **change})


@contract
def test_new_cache_refuses_more_than_the_context():
    """The message says how many tokens there are and how many fit."""
    with pytest.raises(ContextError, match="65 tokens .* context of 64"):
        qwen2.new_cache(SMALL, 1, 65)
