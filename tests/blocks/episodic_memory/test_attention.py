"""The spec of refvlm/blocks/episodic_memory/attention.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.blocks.episodic_memory import attention
from refvlm.shapes import ShapeError

from ...spec import (
    assert_close,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
)


def draws(heads=4, own=2, slot_heads=2, queries=3, keys=5, slots=2, seed=1):
    """query, key, value, memory_key, memory_value: odd sizes, values wider."""
    draw = random_arrays(seed)
    return (
        draw(2, heads, queries, 6),
        draw(2, own, keys, 6),
        draw(2, own, keys, 3),
        draw(2, slot_heads, slots, 6),
        draw(2, slot_heads, slots, 3),
    )


def attend(*given, **options):
    """Through its name, so that a reader's own can take its place."""
    return attention.attention_with_memory(*given, **options)


@example
def test_attention_with_memory_of_equal_keys_counts_the_slot_in():
    """Three keys that match alike: the slot has a third, and with log 1/2 a fifth."""
    query, key = np.zeros((1, 1, 1, 2)), np.zeros((1, 1, 2, 2))
    value, memory = np.zeros((1, 1, 2, 1)), np.ones((1, 1, 1, 1))
    given = query, key, value, key[:, :, :1], memory
    assert_close(attend(*given).ravel(), np.ones(1) / 3)
    half = np.log([[0.5]])
    assert_close(attend(*given, half).ravel(), np.ones(1) / 5)


@law
@given(st.integers(1, 3), st.booleans(), st.sampled_from([2, 4]))
def test_attention_with_memory_of_an_open_gate_is_more_keys(slots, causal, heads):
    """Slots are keys in front: plain attention over what is concatenated, with a mask
    that lets everybody see them."""
    query, key, value, *memory = draws(slots=slots, slot_heads=heads)
    own = ops.causal_mask(3, 5) if causal else np.ones((3, 5), bool)
    mask = np.concatenate([np.ones((3, slots), bool), own], axis=1)
    if heads == 4:
        key, value = np.repeat(key, 2, axis=1), np.repeat(value, 2, axis=1)
    keys = np.concatenate([memory[0], key], axis=2)
    values = np.concatenate([memory[1], value], axis=2)
    expected = ops.scaled_dot_product_attention(
        query, keys, values, mask, enable_gqa=True
    )
    given = {"is_causal": causal, "enable_gqa": True}
    for bias in (None, np.zeros((2, slots))):
        assert_close(
            attend(query, key, value, *memory, bias, **given),
            expected,
        )


@law
@given(st.sampled_from([np.float32, np.float64]), st.booleans())
def test_attention_with_memory_of_a_closed_gate_is_none_to_the_bit(dtype, causal):
    """Nothing of a memory may leak where it is closed, not in the last bit: neither
    where all rows are closed, nor where one of them is."""
    arrays = [a.astype(dtype) for a in draws()]
    own = {"is_causal": causal, "enable_gqa": True}
    alone = ops.scaled_dot_product_attention(*arrays[:3], **own)
    closed = np.full((2, 2), -np.inf, dtype)
    said = (
        "a closed row gets what plain attention gives, to the bit: take it from there"
    )
    np.testing.assert_array_equal(attend(*arrays, closed, **own), alone, said)
    one = closed.copy()
    one[1] = 0
    mixed = attend(*arrays, one, **own)
    np.testing.assert_array_equal(mixed[0], alone[0], said)
    assert np.abs(mixed[1] - alone[1]).max() > 0.1


@law
@given(st.integers(0, 1), st.sampled_from([2, 4]), st.booleans())
def test_attention_with_memory_of_a_closed_slot_leaves_an_open_one(shut, heads, causal):
    """A row is closed if all of its slots are: one closed slot is not there, and the
    open one beside it is heard as if it were alone."""
    query, key, value, *memory = draws(slot_heads=heads)
    own = {"is_causal": causal, "enable_gqa": True}
    bias = np.log([[0.7, 0.7], [0.2, 0.2]])
    bias[:, shut] = -np.inf
    heard = attend(query, key, value, *memory, bias, **own)
    kept = [1 - shut]
    alone = [part[:, :, kept] for part in memory]
    expected = attend(query, key, value, *alone, bias[:, kept], **own)
    silent = ops.scaled_dot_product_attention(query, key, value, **own)
    assert np.abs(heard - silent).max() > 0.05, "one closed slot silenced the other"
    assert_close(heard, expected)


@law
def test_attention_with_memory_is_a_share_of_the_slot():
    """One slot and one's own sequence: the answer lies between both, at the share
    g e^s / (g e^s + Z), with Z the sum of one's own exponentials."""
    query, key, value, *memory = draws(heads=1, own=1, slot_heads=1, slots=1)
    bias = np.log([[0.3], [0.9]])
    score = query @ memory[0].mT / np.sqrt(6) + bias[:, :, None, None]
    z = ops.logsumexp(query @ key.mT / np.sqrt(6), dim=-1, keepdim=True)
    share = ops.sigmoid(score - z)
    alone = ops.scaled_dot_product_attention(query, key, value)
    expected = share * memory[1] + (1 - share) * alone
    assert_close(attend(query, key, value, *memory, bias), expected)


@law
def test_attention_with_memory_of_tied_heads_is_that_of_few():
    """Fourteen heads of slots are two where seven neighbours are copies: the source's
    W_M holds the smaller one, and can say more."""
    few = draws(heads=14, own=2, slot_heads=2)
    copies = [np.repeat(part, 7, axis=1) for part in few[3:]]
    assert_close(
        attend(*few[:3], *copies, enable_gqa=True, is_causal=True),
        attend(*few, enable_gqa=True, is_causal=True),
    )


@law
@pytest.mark.parametrize("kind", ["bool", "additive"])
@pytest.mark.parametrize("gated", [False, True])
def test_attention_with_memory_keeps_ones_own_mask(kind, gated):
    """Padding stays hidden, an additive mask stays added; slots are in neither."""
    query, key, value, *memory = draws()
    seen = np.array([[True, True, False, True, True], [True, False, True, True, False]])
    mask = seen[:, None, None, :]
    if kind == "additive":
        mask = np.where(mask, random_arrays(9)(2, 1, 3, 5), -np.inf)
    bias = np.log([[0.5, 0.25], [0.125, 0.75]]) if gated else None
    given = {"attn_mask": mask, "enable_gqa": True}
    spoilt = np.where(seen[:, None, :, None], value, 1e9)
    out = attend(query, key, spoilt, *memory, bias, **given)
    assert_close(out, attend(query, key, value, *memory, bias, **given))
    columns = np.zeros((2, 1, 3, 2)) if bias is None else bias[:, None, None, :]
    own = ops.additive_mask(mask, float) if kind == "bool" else mask
    full = [
        np.broadcast_to(columns, (2, 1, 3, 2)),
        np.broadcast_to(own, (2, 1, 3, 5)),
    ]
    expected = ops.scaled_dot_product_attention(
        query,
        np.concatenate([memory[0], key], axis=2),
        np.concatenate([memory[1], value], axis=2),
        np.concatenate(full, axis=-1),
        enable_gqa=True,
    )
    assert_close(out, expected)


@law
def test_attention_with_memory_keeps_float32():
    """float32 in, float32 out."""
    single = [a.astype(np.float32) for a in draws()]
    bias = np.log([[0.5, 0.25], [1.0, 0.75]])
    out = attend(*single, bias.astype(np.float32), enable_gqa=True)
    exact = attend(*draws(), bias, enable_gqa=True)
    assert_close(out, exact.astype(np.float32), 1e-5)


@oracle
@pytest.mark.parametrize("slot_heads", [2, 4])
def test_attention_with_memory_equals_torch(compare, slot_heads):
    """scaled_dot_product_attention of what is concatenated, and every gradient, that
    of the gate included."""
    arrays = draws(slot_heads=slot_heads)
    bias = random_arrays(8)(2, 2)

    def ours(*given):
        return attend(*given, is_causal=True, enable_gqa=True)

    def reference(torch):
        def extended(query, key, value, memory_key, memory_value, bias):
            own = torch.ones(3, 5, dtype=torch.bool).tril()
            own = torch.zeros(3, 5, dtype=bias.dtype).masked_fill(~own, -torch.inf)
            columns = bias[:, None, None, :].expand(2, 1, 3, 2)
            mask = torch.cat([columns, own.expand(2, 1, 3, 5)], dim=-1)
            if slot_heads == 4:
                key = key.repeat_interleave(2, dim=1)
                value = value.repeat_interleave(2, dim=1)
            return torch.nn.functional.scaled_dot_product_attention(
                query,
                torch.cat([memory_key, key], dim=2),
                torch.cat([memory_value, value], dim=2),
                mask,
                enable_gqa=True,
            )

        return extended

    compare(ours, reference, *arrays, bias)


@derivative
def test_attention_with_memory_derivative():
    """To queries, keys, values, slots and the gate; where one row is closed, too."""
    bias = np.array([[-0.5, -1.0], [-np.inf, -np.inf]])

    def one_closed(*given):
        return attend(*given, bias, enable_gqa=True)

    check_vjp(one_closed, *draws())


@contract
def test_attention_with_memory_refuses_heads_of_neither():
    """Slots have the heads of the keys or those of the queries."""
    with pytest.raises(ShapeError, match="the memory has 3 heads; the queries have 4"):
        attend(*draws(slot_heads=3), enable_gqa=True)
    with pytest.raises(ShapeError, match="attention_with_memory"):
        attend(*draws(), np.zeros((2, 3)), enable_gqa=True)
